"""Lists of the categories an image shows: our own JSON, and GPT-4o's as the authors publish it.

The authors' files map the id of an image to what the model wrote: its classes by number and name,
and how sure it is of each, e.g. ``"[2: 'bicycle', 15: 'person'], [100%, 60%]"``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from ovseg_ros.folders import LISTS
from ovseg_ros.types import normalise_name, spelling_key

SURE = 70
"""Per cent above which the authors believe GPT-4o."""

_WHOLE = 3
"""Most words of a class's name that a list writes as if they were names of their own."""

_BLOCK = re.compile(r"\[(.*?)\]", re.DOTALL)
_ENTRY = re.compile(r"(\d+)\s*:\s*(?:'([^']*)'|\"([^\"]*)\"|([^,]*))")


class Listed(NamedTuple):
    """What an image shows.

    Attributes:
        names: Names; each may have several, the first that a vocabulary knows counts.
        first: Whether an empty list means the first name of the vocabulary, as the authors have it.
    """

    names: tuple[tuple[str, ...], ...]
    first: bool = False

    def find(self, vocabulary: Sequence[str]) -> list[int]:
        """Return the indices of a vocabulary's names that are listed, ascending."""
        keys = {spelling_key(name): index for index, name in reversed(list(enumerate(vocabulary)))}
        lines = _lines(frozenset(keys))
        found = set()
        for names in self.names:
            whole, parts = names[:_WHOLE], names[_WHOLE:]
            said = (key for some in (whole, parts) for key in _said(some, lines))
            index = next((keys[key] for key in said if key in keys), None)
            if index is not None:
                found.add(index)
        return sorted(found) if found or not self.first else [0]


def read_list(listed: object) -> Listed:
    """Read one entry of a file of lists.

    Args:
        listed: A list of names, or what GPT-4o wrote.

    Raises:
        ValueError: saying what was expected.
    """
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return Listed(tuple((normalise_name(name),) for name in listed))
    if not isinstance(listed, str):
        raise ValueError(f"expected lists of names, or text of them, got {listed!r}")
    blocks = _BLOCK.findall(listed) if "[" in listed else [listed]
    entries = [
        (number, single or double or bare.strip())
        for number, single, double, bare in _ENTRY.findall(blocks[0])
    ]
    if blocks[0].strip() and not entries:
        raise ValueError(f"expected entries like \"15: 'person'\", got {listed[:80]!r}")
    sure = [float(value) for value in re.findall(r"\d+(?:\.\d+)?", blocks[1])] if blocks[1:] else []
    if sure and max(sure) <= 1 and "%" not in blocks[1]:
        sure = [100 * share for share in sure]
    kept = [
        _alternatives([part.strip().lower() for part in name.split(";") if part.strip()])
        for index, (_, name) in enumerate(entries)
        if not sure or any(share > SURE for share in sure[index : index + 1])
    ]
    return Listed(tuple(names for names in kept if names), first=True)


def _alternatives(parts: list[str]) -> tuple[str, ...]:
    """Return what "coffee;table;cocktail;table" may mean: its first words together, then each."""
    first = [" ".join(parts[:count]) for count in range(_WHOLE, 0, -1) if count <= len(parts)]
    return tuple(dict.fromkeys([*first, *parts]))


def _said(names: Sequence[str], lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the keys of names, then those of what class lists call the same."""
    keys = [spelling_key(name) for name in names]
    others = [other for key in keys for line in lines if key in line for other in line]
    return [*keys, *others]


@cache
def _lines(vocabulary: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    """Return the keys of every line of the class lists: a class and its further names.

    The list that knows most of the vocabulary's keys comes first: a television is VOC's monitor and
    no monitor in ADE20K.
    """
    lists = [
        [
            tuple(spelling_key(name) for name in line.partition(":")[2].split(","))
            for line in (LISTS / "classes" / f"{name}.txt").read_text().splitlines()
        ]
        for name in ("voc", "context59", "ade150", "coco_stuff")
    ]
    lists.sort(key=lambda lines: -sum(not vocabulary.isdisjoint(line) for line in lines))
    return tuple(line for lines in lists for line in lines)
