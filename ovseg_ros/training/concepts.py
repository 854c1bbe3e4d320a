"""Concepts of a caption: which of its words name something of the concept bank."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Concept:
    """One occurrence of a concept in a caption.

    Attributes:
        label: Index into the concept bank.
        start: First character of its span.
        end: Character after its span.
    """

    label: int
    start: int
    end: int


class ConceptBank:
    """A fixed list of names; finds the longest of them in captions, singular or plural."""

    def __init__(self, names: Sequence[str]) -> None:
        """Compile the names.

        Raises:
            ValueError: if there are none.
        """
        if not names:
            raise ValueError("names: expected at least one concept, got none")
        self.names = tuple(names)
        self._labels = {name: label for label, name in enumerate(self.names)}
        longest_first = sorted(map(re.escape, self.names), key=len, reverse=True)
        self._pattern = re.compile(rf"\b({'|'.join(longest_first)})(?:e?s)?\b")

    def find(self, caption: str) -> list[Concept]:
        """Return the occurrences in a lower-case caption, from left to right."""
        return [
            Concept(self._labels[match.group(1)], match.start(1), match.end())
            for match in self._pattern.finditer(caption)
        ]


def token_spans(
    concepts: Sequence[Concept], offsets: Sequence[tuple[int, int]]
) -> list[tuple[int, list[int]]]:
    """Return (label, token indices) of every concept that kept at least one token.

    Args:
        concepts: Occurrences by characters.
        offsets: For every token its span of characters; (0, 0) for marks.
    """
    spans = []
    for concept in concepts:
        tokens = [
            index
            for index, (start, end) in enumerate(offsets)
            if end > concept.start and start < concept.end and end > start
        ]
        if tokens:
            spans.append((concept.label, tokens))
    return spans
