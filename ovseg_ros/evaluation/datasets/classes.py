"""Class lists: which value of a mask means what, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ovseg_ros.folders import LISTS
from ovseg_ros.types import normalise_name

CLASS_LISTS = LISTS / "classes"
"""Folder of the bundled class lists."""

_UNMARKED = re.compile(r"\d+[\s,;]+\D")
"""A value and a name with something else than a colon between them."""

_LARGEST = 65_535
"""Largest value of a mask."""


@dataclass(frozen=True, kw_only=True)
class ClassList:
    """Classes in order.

    Attributes:
        names: Normalised class names.
        values: For each class its value in the masks.
        synonyms: For each class its further names.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    synonyms: Mapping[str, Sequence[str]]

    def lookup(self) -> np.ndarray:
        """Return label 1..K by mask value, (65536,) uint16; values without a class are void."""
        table = np.zeros(_LARGEST + 1, np.uint16)
        table[list(self.values)] = np.arange(1, len(self.values) + 1)
        return table

    def select(self, values: Sequence[int]) -> ClassList:
        """Return the classes with these values, in the order of this list."""
        kept = [
            (name, value)
            for name, value in zip(self.names, self.values, strict=True)
            if value in values
        ]
        return ClassList(
            names=tuple(name for name, _ in kept),
            values=tuple(value for _, value in kept),
            synonyms={name: self.synonyms[name] for name, _ in kept},
        )

    def with_background(self, value: int) -> ClassList:
        """Return the list with the class "background" before the others."""
        return ClassList(
            names=("background", *self.names),
            values=(value, *self.values),
            synonyms={"background": (), **self.synonyms},
        )


def bundled_classes(name: str) -> ClassList:
    """Return one of the lists in ``data/classes``."""
    return parse_classes((CLASS_LISTS / f"{name}.txt").read_text(), source=name)


def read_classes(path: Path) -> ClassList:
    """Read a ``classes.txt``; see :func:`parse_classes`.

    Raises:
        ValueError: naming the path, if it is not such a list.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected text in UTF-8") from None
    return parse_classes(text, source=str(path))


def parse_classes(text: str, *, source: str) -> ClassList:
    """Read a class list.

    A line is a value of the masks, the class's name and any synonyms: ``7: mug, cup``. Without
    ``7:`` the value is the number of the line, from 1. Empty lines do not count.

    Args:
        text: The list.
        source: Named in errors.

    Raises:
        ValueError: if a value or a class comes twice, there is none, or values have no colon.
    """
    synonyms: dict[str, tuple[str, ...]] = {}
    values: list[int] = []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and all(_UNMARKED.match(line) for line in lines):
        raise ValueError(f"{source}: expected a colon after the value (0: floor), got {lines[0]!r}")
    for number, line in enumerate(lines, start=1):
        head, colon, tail = line.partition(":")
        value = head.strip() if colon else str(number)
        if not value.isdecimal() or int(value) > _LARGEST or int(value) in values:
            raise ValueError(
                f"{source}: expected a mask value of its own (0..{_LARGEST}) before the colon: "
                f"{line!r}"
            )
        try:
            names = [normalise_name(name) for name in (tail if colon else line).split(",")]
        except ValueError as error:
            raise ValueError(f"{source}: {line!r}: {error}") from None
        if names[0] in synonyms:
            raise ValueError(f"{source}: expected distinct classes, got {names[0]!r} twice")
        synonyms[names[0]] = tuple(names[1:])
        values.append(int(value))
    if not values:
        raise ValueError(f"{source}: expected at least one class, got none")
    return ClassList(names=tuple(synonyms), values=tuple(values), synonyms=synonyms)
