"""What a chat model's reply decides, if anything (AutoSeg's LAVE, arXiv 2312.04539, section 3.4).

A model that cannot decide says so, and names classes while it does: "None of the classes
('aeroplane', 'bicycle') describes a moon". So only names in quotes count, only such as are classes,
and not where the clause around them denies them.
"""

from __future__ import annotations

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

_THOUGHTS = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|$)", re.DOTALL | re.IGNORECASE)
"""What a reasoning model says to itself."""

_QUOTED = re.compile(r"(?<!\w)'([^'\n]{1,80})'(?!\w)|\"([^\"\n]{1,80})\"")

_DENIAL = re.compile(
    r"\b(no|not|none|neither|nor|never|cannot|nothing|without|unlike|unrelated|lacks?|different"
    r"|fails?|unable|hardly|less|wrong|incorrect|excluded|refuse|avoid)\b|n't\b"
    r"|\brather than\b|\binstead of\b|\bother than\b",
    re.IGNORECASE,
)

_CHOICE = re.compile(
    r"\b(closest|closer|nearest|nearer|most|best|better|answer|choose|choice|pick|say|select"
    r"|go with|must be|it.s|it is|but|so|thus|therefore|hence|however|final|correct|maps?|mapped)\b"
    r"|^\W*$",
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
    r"[.!?;]+(?=\s|$)|\n+|,?\s+(?=(?:but|however|yet|therefore|thus|hence|so|whereas|rather than"
    r"|instead of)\b)"
    r"|,\s*(?=(?:not|nor|unlike|less|and not|although|though|because|since|closest|nearest"
    r"|the (?:closest|most|best|nearest|answer)|it(?:'s| is| must| has| would)|i would|i'd)\b)",
    re.IGNORECASE,
)
"""Where a clause ends and another one may say the opposite."""

_CONCESSION = re.compile(
    r"((?:^|[.!?;:\n])\s*(?:although|though|even though|while|since|as|because)\b[^,]*),",
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
    text = _THOUGHTS.sub(" ", reply)
    text = text.translate(str.maketrans("\u2018\u2019\u201c\u201d\u00ab\u00bb`", '\'\'""""\''))
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
            continue
        for quote, name in zip(quotes, named, strict=True):
            if name is None and spelling_key(quote) in _NOTHING:
                return None
        names = [n for n, q in zip(named, quotes, strict=True) if n and not _same(q, word)]
        asks = clause.rstrip().endswith("?")
        chooses = _CHOICE.search(rest) is not None and (len(names) == 1 or rest.strip(" .,;:()"))
        lists = len(names) > 1 and _LIST.search(rest) is not None
        if not asks and (chooses or not (refused or lists)):
            said += names
    distinct = list(dict.fromkeys(said))
    return distinct[0] if distinct and len(distinct) <= most else None


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
