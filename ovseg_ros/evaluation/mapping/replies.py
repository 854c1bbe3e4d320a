"""What a chat model's reply decides, if anything (AutoSeg's LAVE, arXiv 2312.04539, section 3.4).

A model that cannot decide says so, and names classes while it does: "None of the classes
('aeroplane', 'bicycle') describes a moon". So only names in quotes count, only such as are classes,
and not where the clause around them denies them.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ovseg_ros.evaluation.mapping.lexical import spelling_key, spellings

VOID = "void"
"""What the model answers where no class fits."""

_NOTHING = frozenset(
    {VOID, "background", "none", "nothing", "noclass", "noneoftheabove", "na", "null", "unknown"}
)
"""Keys of quoted answers that mean no class, unless a class is called so."""

_ANSWER = frozenset(
    {"answer", "finalanswer", "class", "category", "label", "result", "match", "bestmatch"}
    | {"prediction", "choice", "output", "closest", "closestclass", "mostsimilar"}
    | {"similarto", "mostsimilarto", "mostsimilarclass"}
)
"""Keys of objects under which the answer stands."""

_THINK = r"think(?:ing)?|reasoning|thoughts?|reflection|scratchpad|analysis"

_THOUGHTS = re.compile(
    rf"(?:<|\[|\u25c1)({_THINK})(?:>|\]|\u25b7).*?(?:<|\[|\u25c1)/\1(?:>|\]|\u25b7)"
    r"|<\|channel\|>(?:analysis|commentary)<\|message\|>.*?(?=<\|channel\|>final|$)",
    re.DOTALL | re.IGNORECASE,
)
"""What a reasoning model says to itself, in the tags of the models there are."""

_THOUGHT = re.compile(rf".*(?:<|\[|\u25c1)/(?:{_THINK})(?:>|\]|\u25b7)", re.DOTALL | re.IGNORECASE)
"""The same where the chat's template has opened it, so that the reply only closes it."""

_THINKING = re.compile(rf"(?:<|\[|\u25c1)(?:{_THINK})(?:>|\]|\u25b7).*", re.DOTALL | re.IGNORECASE)
"""The same where the reply was cut off before it ended."""

_QUOTES = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2039\u203a\uff07\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb`\u300c\u300d\u300e\u300f\uff02", '"'),
    }
)

_LETTER = r"[A-Za-z0-9\u00c0-\u024f]"
"""A quote beside one of these is an apostrophe; Chinese and the like write no spaces."""

_QUOTED = re.compile(rf"(?<!{_LETTER})'([^'\n]{{1,80}})'(?!{_LETTER})|\"([^\"\n]{{1,80}})\"")

_DENIAL = re.compile(
    r"\b(no|not|none|neither|nor|never|cannot|nothing|without|unlike|unrelated|lacks?|different"
    r"|fails?|unable|hardly|less|wrong|incorrect|excluded?|excludes|refuse|avoid|outside|beyond"
    r"|absent|missing|impossible|unclear|ambiguous|dissimilar|unsuitable|inappropriate|irrelevant"
    r"|invalid|unmatched|zero|mismatch(?:es|ed)?|false|ruled? out|rules out|seems? off"
    r"|(?:is|does|do|ca)nt|kein\w*|nicht|nichts|weder|geen|niet|aucune?|ni|pas|non"
    r"|ning[u\u00fa]n[oa]?|tampoco|nessun\w*|nenhum\w*|n\u00e3o|nie|\u017cad\w*|ikke|inte|ingen|hi\u00e7bir\w*"
    r"|de\u011fil)\b|n't\b|\brather than\b|\binstead of\b|\bother than\b"
    r"|\b(?:\u043d\u0435|\u043d\u0438|\u043d\u0435\u0442)\b"  # Russian
    r"|\u6ca1\u6709|\u4e0d|\u7121|\u65e0|\u975e|\u306a\u3044|\u307e\u305b\u3093|\uc5c6|\uc544\ub2c8"
    r"|[\u274c\u2717\u2718\u2716\u00d7]",
    re.IGNORECASE,
)
"""What a clause says that denies, in the languages that models slip into, too."""

_WHOLESALE = re.compile(
    r"\b(none|neither|nothing|no (?:\w+ )?(?:class|category|match|option|one)|kein\w*|aucune?"
    r"|ning[u\u00fa]n[oa]?|nessun\w*|nenhum\w*)\b|\u6ca1\u6709|\u90fd\u4e0d",
    re.IGNORECASE,
)
"""What takes back a list of names before it, unless it speaks of ``_OTHERS``."""

_OTHERS = re.compile(
    r"\b(others?|else|another|remaining|rest|exact|exactly|perfect|direct|closer|better|nearer"
    r"|more|andere\w*|autres?|otr[oa]s?)\b",
    re.IGNORECASE,
)

_REVISION = re.compile(
    r"\banswer\b|\bgo with\b|\bon second thought\b"
    r"|\b(better|closer|nearer|actually|correction|instead)\b"
    r"|\bmore (similar|likely|accurate|appropriate|suitable|fitting)\b"
    r"|^\W*(but|however|yet|wait|hmm|aber|sondern|mais|pero|sino|ma|maar)\b.*\b(closest|nearest"
    r"|best|most|final|correct)\b",
    re.IGNORECASE | re.DOTALL,
)
"""What a clause with one name says that takes the place of the names before it."""

_CHOICE = re.compile(
    r"\b(closest|closer|nearest|nearer|most|best|better|answer|choose|choice|pick|say|select"
    r"|go with|must be|it.s|it is|but|thus|so(?! can| do| is| are)|therefore|hence|however|final"
    r"|right|correct|maps?|mapped|yes|resembles|rather(?! than)"
    r"|sondern|aber|antwort|respuesta|r\u00e9ponse|mais|sino"
    r"|pero|maar|oui|s\u00ed)\b"
    r"|[\u2705\u2713\u2714]|\u7b54\u6848|^\W*$",
    re.IGNORECASE,
)
"""What a clause says that decides, where the reply has denied something before: or nothing else."""

_LIST = re.compile(
    r"\b(class(es)?|category|categories|options?|list(ed)?|choices|given|such as|e\.g|included?"
    r"|includes|including|possible|available|between|out of|among)\b",
    re.IGNORECASE,
)
"""What a clause says that counts up what there is."""

_CLAUSE = re.compile(
    r"[.!?;]+(?=\s|$)|[\u3002\uff01\uff1f\uff1b]|\n+"
    r"|,?\s+(?=(?:but|however|yet|therefore|thus|hence|so(?! can| do| is| are)|whereas|rather than"
    r"|instead of|sondern|aber|mais|sino|pero|maar)\b)"
    r"|,\s*(?=(?:rather(?! than)|not|nor|no|nicht|pas|kein\w*|unlike|less|and not|although|though"
    r"|because|since|closest|nearest|the (?:closest|most|best|nearest|answer)"
    r"|it(?:'s| is| must| has| would)|i would|i'd)\b)"
    r"|,\s*(?=['\"][^'\"\n]+['\"]\s+(?:is|isn't|would|seems|fits|matches|does|doesn't)\b)",
    re.IGNORECASE,
)
"""Where a clause ends and another one may say the opposite."""

_CONCESSION = re.compile(
    r"((?:^|[.!?;:\n])\s*(?:although|though|even though|while|since|as|because|rather than"
    r"|instead of)\b[^,]*),",
    re.IGNORECASE,
)
"""A clause in front of its main clause; the comma after it ends it."""

_LEAD = re.compile(
    r"(?:^|(?<=[.!?;:\n]))\s*(?:between|given|among|from|out of|of)\b[^.;\n]*?,"
    r"(?=\s*(?:['\"][^'\"\n]+['\"] (?:is|would)|it|i|the|none|not|no)\b)",
    re.IGNORECASE,
)
"""What a choice is made from: "Between 'road' and 'car',"."""

_ASIDE = re.compile(r"\(([^()]*)\)")


def parse_reply(
    reply: str,
    classes: Sequence[str],
    *,
    word: str = "",
    most: int = 3,
    bare: bool = False,
) -> str | None:
    """Return the class a reply decides for, or None.

    Only quoted names count, in any kind of quotes; case, plural, hyphens and spaces do not matter.
    The first class wins, in the order of the reply. A reply decides nothing where ``void`` is
    quoted. Names are not heard in a clause that denies them, asks or counts up what there is; after
    a denial only in one that says which it is, or is nothing but the name.

    Args:
        reply: What the model wrote.
        classes: The classes it could choose from.
        word: What was asked; repeating it is no answer (unless it is a class).
        most: With more distinct classes than this the reply decides nothing.
        bare: Also take a reply that is nothing but a class, without quotes.
    """
    by_key = class_keys(classes)
    text = _THINKING.sub("", _THOUGHT.sub("", _THOUGHTS.sub(" ", reply)))
    text = re.sub(r"<\|[^|>]*\|>", " ", text.rpartition("<|channel|>final")[2])
    text = (_written_as_object(text, by_key) or text).translate(_QUOTES)
    text = re.sub(r"[*_]{1,3}(?=['\"])|(?<=['\"])[*_]{1,3}", "", text)  # bold quotes
    if bare and (name := _class_of(text.strip().strip("*_ \n"), by_key)):
        return name
    text = _ASIDE.sub(lambda m: f"; {m[1]};" if _denies(m[1]) else m[0], text)
    text = _CONCESSION.sub(r"\1;", _LEAD.sub(" ", text))
    said: list[str] = []
    refused = False
    for clause in _clauses(text):
        quotes = [single or double for single, double in _QUOTED.findall(clause)]
        rest = _QUOTED.sub(" ", clause)
        named = [_class_of(quote, by_key) for quote in quotes]
        if _denies(clause):
            refused = True
            if not any(named) and _WHOLESALE.search(rest) and not _OTHERS.search(rest):
                said = []
            continue
        for quote, name in zip(quotes, named, strict=True):
            if name is None and spelling_key(quote) in _NOTHING:
                return None
        names = [n for n, q in zip(named, quotes, strict=True) if n and not _same(q, word)]
        asks = clause.rstrip().endswith("?")
        chooses = _CHOICE.search(rest) is not None and (len(names) == 1 or rest.strip(" .,;:()"))
        others = [quote for quote in quotes if not _same(quote, word)]
        lists = len(others) > 1 and _LIST.search(rest) is not None
        if not asks and (chooses or not (refused or lists)):
            if len(names) == 1 and _REVISION.search(rest):
                said = []
            said += names
    distinct = list(dict.fromkeys(said))
    return distinct[0] if distinct and len(distinct) <= most else None


def _written_as_object(text: str, by_key: Mapping[str, str]) -> str | None:
    """Return the quoted answer of a reply that holds a JSON object, or Python's way to write one.

    ``{"candidates": ["road", "car"], "answer": "car"}`` answers 'car', and so do
    ``{"road": false, "car": true}``, ``{"road": 0.1, "car": 0.8}`` and ``{"taxi": "car"}``.
    """
    match = re.search(r"\{[^{}]*\}", text)
    if match is None:
        return None
    found = None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(match.group())
            break
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        return None
    for key, value in found.items():
        if spelling_key(key) in _ANSWER:
            values = value if isinstance(value, list) else [value]
            return " ".join(f"'{one}'" for one in values if isinstance(one, str)) or f"'{VOID}'"
    if all(_class_of(key, by_key) or spelling_key(key) in _NOTHING for key in found):
        shares = {k: float(v) for k, v in found.items() if isinstance(v, (int, float))}
        best = max(shares, key=lambda key: shares[key], default=VOID)
        return f"'{best if shares.get(best, 0) > 0 else VOID}'"
    return " ".join(f"'{value}'" for value in found.values() if isinstance(value, str)) or None


def _denies(clause: str) -> bool:
    return _DENIAL.search(_QUOTED.sub(" ", clause)) is not None


def _same(quote: str, word: str) -> bool:
    return spelling_key(quote) == spelling_key(word)


def class_keys(classes: Sequence[str]) -> dict[str, str]:
    """Return the class of every spelling, by key; the first class wins."""
    found: dict[str, str] = {}
    for name in classes:
        for form in spellings(name):
            found.setdefault(spelling_key(form), name)
    return found


def _class_of(text: str, by_key: Mapping[str, str]) -> str | None:
    clean = " ".join(text.lower().split()).strip(" .,;:!?'\"")
    forms = spellings(clean) if clean else ()
    return next((by_key[spelling_key(f)] for f in forms if spelling_key(f) in by_key), None)


def _clauses(text: str) -> list[str]:
    """Cut a text into clauses; nothing is cut inside quotes or parentheses."""
    masked = re.sub(
        r"\([^()]*\)|'[^'\n]{1,80}'(?!\w)|\"[^\"\n]{1,80}\"",
        lambda match: re.sub(r"[.!?;:,\s]", "\0", match.group()),
        text,
    )
    cuts = [0, *(match.end() for match in _CLAUSE.finditer(masked)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if text[a:b].strip()]
