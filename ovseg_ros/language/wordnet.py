"""WordNet 3.0's nouns: what is a noun, what means the same, what is a kind of what.

The bundle (``data/wordnet_nouns.txt.gz``, made by ``scripts/build_wordnet.py``) stays in memory as
sorted lines of bytes and is looked up by bisection; nothing is parsed before it is asked for.
Nouns are written in lower case with spaces (``"teddy bear"``); underscores and capitals are
accepted. A synset is named by its offset in WordNet 3.0, as in ImageNet's ``n02084071``.
"""

from __future__ import annotations

import gzip
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import chain
from typing import NamedTuple

from ovseg_ros.folders import LISTS

_ENDINGS = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)
"""WordNet's own rules of detachment for nouns."""


class _Tables(NamedTuple):
    synsets: list[bytes]
    words: list[bytes]
    plurals: list[bytes]


@cache
def _tables() -> _Tables:
    packed = (LISTS / "wordnet_nouns.txt.gz").read_bytes()
    synsets, words, plurals = gzip.decompress(packed).split(b"\n\n")
    by_text = sorted(synsets.split(b"\n"))
    return _Tables(by_text, words.split(b"\n"), plurals.rstrip(b"\n").split(b"\n"))


def known(noun: str) -> bool:
    """Return whether WordNet lists the noun in exactly this (singular) form."""
    return bool(synsets(noun))


@lru_cache(maxsize=4096)
def synsets(noun: str) -> tuple[int, ...]:
    """Return the synsets of a noun, most frequent sense first; none for an unknown noun."""
    found = _find(_tables().words, _plain(noun))
    return tuple(int(offset) for offset in found.split()) if found else ()


def lemmas(synset: int) -> tuple[str, ...]:
    """Return the nouns that name a synset, in WordNet's order.

    Raises:
        ValueError: if there is no such synset.
    """
    return _synset(synset)[0]


def parents(synset: int) -> tuple[int, ...]:
    """Return the synsets directly above a synset; none above ``"entity"``.

    Raises:
        ValueError: if there is no such synset.
    """
    return _synset(synset)[1]


def hypernyms(noun: str, *, senses: int | None = None) -> frozenset[str]:
    """Return the nouns of everything above the first ``senses`` senses (all by default)."""
    above = ancestors(synsets(noun)[:senses])
    return frozenset(name for synset in above for name in lemmas(synset))


def is_a(noun: str, ancestor: str, *, senses: int | None = None) -> bool:
    """Return whether ``noun`` means, or is a kind of, ``ancestor``.

    Args:
        noun: The narrower noun.
        ancestor: The wider noun.
        senses: How many senses of each noun count, most frequent first; all by default.
    """
    own = synsets(noun)[:senses]
    return not set(synsets(ancestor)[:senses]).isdisjoint(ancestors(own).union(own))


@lru_cache(maxsize=4096)
def base_form(noun: str) -> str | None:
    """Return the form in which WordNet lists a noun (``"mice"`` -> ``"mouse"``), None if it is not.

    A plural that is listed itself stays (``"scissors"``), unless it is irregular (``"men"``).
    """
    clean = _plain(noun)
    irregular = _find(_tables().plurals, clean)
    if irregular:
        return irregular.decode()
    if known(clean):
        return clean
    return next(iter(detached(clean)), None)


def detached(plural: str) -> tuple[str, ...]:
    """Return the nouns WordNet lists of which ``plural`` is the regular plural, most senses first.

    A word need not be one: of ``"gas"`` (as if of "ga", the element gallium) it says so as well.
    """
    clean = _plain(plural)
    stems = [
        clean[: -len(ending)] + singular
        for ending, singular in _ENDINGS
        if clean.endswith(ending) and len(clean) > len(ending) + 1
    ]
    return tuple(sorted(filter(known, stems), key=lambda stem: -len(synsets(stem))))


def _plain(noun: str) -> str:
    return " ".join(noun.lower().replace("_", " ").split())


def _find(table: list[bytes], key: str) -> bytes:
    """Return what stands after ``key`` and a tab in a sorted table, empty if it is not there."""
    wanted = key.encode(errors="replace") + b"\t"
    index = bisect_left(table, wanted)
    if index < len(table) and table[index].startswith(wanted):
        return table[index][len(wanted) :]
    return b""


@lru_cache(maxsize=16384)
def _synset(synset: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    found = _find(_tables().synsets, str(synset))
    if not found:
        raise ValueError(f"synset: expected the offset of a WordNet 3.0 noun, got {synset}")
    names, _, parents = found.decode().partition("\t")
    return tuple(names.split("|")), tuple(int(parent) for parent in parents.split())


def upwards(*synsets: int) -> Iterator[tuple[int, ...]]:
    """Yield synsets, then those directly above them, and so on; each where it is the nearest."""
    seen: set[int] = set()
    level = dict.fromkeys(synsets)
    while level:
        yield tuple(level)
        seen.update(level)
        level = dict.fromkeys(p for s in level for p in parents(s) if p not in seen)


def ancestors(start: tuple[int, ...]) -> frozenset[int]:
    """Return all synsets above some synsets, without these unless one is above another."""
    above = (parent for synset in start for parent in parents(synset))
    return frozenset(chain.from_iterable(upwards(*above)))


def every_synset() -> tuple[int, ...]:
    """Return all noun synsets."""
    return tuple(int(line.split(b"\t", 1)[0]) for line in _tables().synsets if line)
