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

from ovseg_ros.evaluation.mapping.lexical import spellings
from ovseg_ros.evaluation.mapping.wordings import (
    ANNOUNCES,
    ASSENT,
    CHOICE,
    CLAUSE,
    CONCESSION,
    DENIAL,
    ENDS,
    EXAMPLE,
    GOVERNED,
    HEADS,
    LEAD,
    LIST,
    OTHERS,
    PICKING,
    QUOTE,
    RETRACTION,
    REVISION,
    SURELY,
    WHOLESALE,
)
from ovseg_ros.types import spelling_key

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

_THOUGHT = re.compile(
    rf"\A.*(?:<|\[|\u25c1)/(?:{_THINK})(?:>|\]|\u25b7)", re.DOTALL | re.IGNORECASE
)
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

_QUOTED = re.compile(
    rf"(?<!{_LETTER})'(?P<single>(?:[^'\n]|(?<={_LETTER})'(?={_LETTER})){{1,80}})'(?!{_LETTER})"
    r"|\"(?P<double>[^\"\n]{1,80})\""
)

_ITEM = re.compile(rf"^(?:(?!{QUOTE})[^\w\n])*(?:\d+|[a-z])[.):]+\s", re.IGNORECASE | re.MULTILINE)
"""The number of an item of a list."""

_LONGEST = 4000
"""Characters of a reply that are read, the last ones: the rules' time grows with the square."""

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
    quoted. Names are heard only in a clause that says which it is, or is nothing but the name; not
    in one that denies them, asks or counts up what there is. What a later clause takes back was not
    said.

    Args:
        reply: What the model wrote.
        classes: The classes it could choose from.
        word: What was asked; repeating it is no answer (unless it is a class).
        most: With more distinct classes than this the reply decides nothing.
        bare: Also take a reply that is nothing but a class, without quotes.
    """
    by_key = class_keys(classes)
    text = _spoken(reply)[-_LONGEST:]
    text = (_written_as_object(text, by_key) or text).translate(_QUOTES)
    text = re.sub(rf"~~.*?~~|</?\w+>|\\(?=['\"])|{QUOTE}", " ", text)  # struck out, tags, escapes
    if bare and (name := class_of(text.strip().strip("*_ \n"), by_key)):
        return name
    text, quotes = _set_aside(text, classes)
    text = SURELY.sub("surely", _ITEM.sub("", text))
    text = _ASIDE.sub(lambda m: f"; {m[1]};" if DENIAL.search(m[1]) else m[0], text)
    text = CONCESSION.sub(r"\1;", LEAD.sub(" ", text))
    said: list[str] = []
    refused = False
    for number, clause in enumerate(_clauses(text)):
        quoted = [quotes[mark] for mark in re.findall(QUOTE, clause)]
        named = [class_of(quote, by_key) for quote in quoted]
        nothing = [
            n is None and spelling_key(q) in _NOTHING for q, n in zip(quoted, named, strict=True)
        ]
        if DENIAL.search(clause):
            refused = True
            if (not quoted and RETRACTION.search(clause)) or (
                not any(named) and WHOLESALE.search(clause) and not OTHERS.search(clause)
            ):
                said = []
            if number == 0 and spelling_key(clause) in _NOTHING:
                return None
            if nothing and all(nothing) and ENDS.search(clause) and not GOVERNED.search(clause):
                return None
            continue
        if any(nothing):
            return None
        names = [n for n, q in zip(named, quoted, strict=True) if n and not _same(q, word)]
        others = sum(not _same(quote, word) for quote in quoted)
        if names and _decides(
            clause, word, alone=len(names) == 1, others=others, refused=refused, first=number == 0
        ):
            if len(names) == 1 and REVISION.search(clause):
                said = []
            said += names
    distinct = list(dict.fromkeys(said))
    return distinct[0] if distinct and len(distinct) <= most else None


def _spoken(reply: str) -> str:
    """Return a reply without what a reasoning model says to itself, and without its marks."""
    text = _THINKING.sub("", _THOUGHT.sub("", _THOUGHTS.sub(" ", reply)))
    return re.sub(r"<\|[^|>]*\|>", " ", text.rpartition("<|channel|>final")[2])


def _set_aside(text: str, classes: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return a text with a character of ``QUOTE`` for everything quoted, and what they stand for.

    Apostrophes inside a name end no quote: 'bird's nest'.
    """
    for name in classes:
        if "'" in (plain := name.translate(_QUOTES)):
            text = re.sub(re.escape(plain), plain.replace("'", ""), text, flags=re.IGNORECASE)
    quotes: dict[str, str] = {}

    def keep(match: re.Match[str]) -> str:
        mark = chr(0xE000 + len(quotes) % 0x1900)
        quotes[mark] = match["single"] or match["double"]
        return mark

    text = _QUOTED.sub(keep, text)
    return re.sub(rf"[*_]{{1,3}}(?={QUOTE})|(?<={QUOTE})[*_]{{1,3}}", "", text), quotes  # bold


def _decides(
    clause: str, word: str, *, alone: bool, others: int, refused: bool, first: bool
) -> bool:
    """Return whether the names of a clause, which denies nothing, are what a reply decides for.

    Args:
        clause: With marks for what is quoted.
        word: What was asked.
        alone: Whether it names one class.
        others: How many things other than the word it quotes.
        refused: Whether something was denied before.
        first: Whether nothing is said before.
    """
    if clause.rstrip().endswith("?"):
        return False
    rest = re.sub(QUOTE, " ", clause)
    lists = others > 1 and LIST.search(rest) is not None
    plain = re.sub(rf"{re.escape(word)}|\b(?:and|or)\b", " ", rest, flags=re.IGNORECASE)
    if re.search(r"\w", plain) is None:
        return not refused or (alone and "(" not in rest)  # nothing but names
    if CHOICE.search(rest):
        return not lists or (alone and not PICKING.search(rest))
    announced = ANNOUNCES.search(clause)
    hears = ASSENT.search(clause) is not None or (first and HEADS.match(clause) is not None)
    if announced and not EXAMPLE.search(announced["before"]):
        hears = hears or announced["mark"] == "," or not LIST.search(announced["before"])
    return hears and not (refused or lists)


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
            return " ".join(f'"{one}"' for one in values if isinstance(one, str)) or f"'{VOID}'"
    if all(class_of(key, by_key) or spelling_key(key) in _NOTHING for key in found):
        shares = {k: float(v) for k, v in found.items() if isinstance(v, (int, float))}
        best = max(shares, key=lambda key: shares[key], default=VOID)
        return f"'{best if shares.get(best, 0) > 0 else VOID}'"
    return " ".join(f'"{value}"' for value in found.values() if isinstance(value, str)) or None


def _same(quote: str, word: str) -> bool:
    return spelling_key(quote) == spelling_key(word)


def class_keys(classes: Sequence[str]) -> dict[str, str]:
    """Return the class of every spelling, by key; the first class wins."""
    found: dict[str, str] = {}
    for name in classes:
        for form in spellings(name):
            found.setdefault(spelling_key(form), name)
    if "person" in found:
        found.setdefault("people", found["person"])
    return found


def class_of(text: str, by_key: Mapping[str, str]) -> str | None:
    """Return the class that a text spells, None if it spells none."""
    clean = " ".join(text.lower().split()).strip(" .,;:!?'\"")
    forms = spellings(clean) if clean else ()
    return next((by_key[spelling_key(f)] for f in forms if spelling_key(f) in by_key), None)


def _clauses(text: str) -> list[str]:
    """Cut a text into clauses; nothing is cut inside parentheses."""
    masked = re.sub(r"\([^()]*\)", lambda match: re.sub(r"[.!?;:,\s]", "\0", match.group()), text)
    cuts = [0, *(match.end() for match in CLAUSE.finditer(masked)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if text[a:b].strip()]
