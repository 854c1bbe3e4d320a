"""Concepts of a caption: which of its words name something of the concept bank."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovseg_ros.language.nouns import noun_chunks

MAX_CONCEPTS = 32
"""Concepts of a caption at most, as published."""

MAX_TOKENS = 15
"""Tokens of a concept at most, as published."""


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


class Bank(ABC):
    """Finds the concepts of a fixed list in captions."""

    def __init__(self, names: Sequence[str]) -> None:
        """Keep the names, singular.

        Raises:
            ValueError: if there are none.
        """
        if not names:
            raise ValueError("names: expected at least one concept, got none")
        self.names = tuple(names)
        self._labels = {name: label for label, name in enumerate(self.names)}

    @abstractmethod
    def find(self, caption: str) -> list[Concept]:
        """Return the occurrences in a lower-case caption, from left to right."""


class ConceptBank(Bank):
    """Finds the longest of its names, singular or plural."""

    def __init__(self, names: Sequence[str]) -> None:
        """Compile the names; see :class:`Bank`."""
        super().__init__(names)
        longest_first = sorted(map(re.escape, self.names), key=len, reverse=True)
        self._pattern = re.compile(rf"\b({'|'.join(longest_first)})(?:e?s)?\b")

    def find(self, caption: str) -> list[Concept]:
        """See :meth:`Bank.find`."""
        return [
            Concept(self._labels[match.group(1)], match.start(1), match.end())
            for match in self._pattern.finditer(caption)
        ]


class ChunkBank(Bank):
    """Finds the names that a caption's noun chunks end with.

    A part-of-speech tagger decides what is a noun, so that "an orange cup" names no fruit. Of the
    chunk "kitchen table" the longest ending that the list has is taken: "kitchen table", else
    "table".
    """

    def find(self, caption: str) -> list[Concept]:
        """See :meth:`Bank.find`."""
        found = []
        for chunk in noun_chunks(caption):
            for first, start in enumerate(chunk.starts):
                label = self._labels.get(" ".join(chunk.words[first:]))
                if label is not None:
                    found.append(Concept(label, start, chunk.end))
                    break
        return found


def count_concepts(captions: Iterable[str], *, minimum: int = 10, limit: int = 5000) -> list[str]:
    """Return the concepts that captions name most, the most frequent first.

    Args:
        captions: Lower-case captions.
        minimum: How often a concept must be named.
        limit: Number of concepts at most.
    """
    counts = Counter(
        " ".join(chunk.words) for caption in captions for chunk in noun_chunks(caption)
    )
    return [name for name, count in counts.most_common(limit) if count >= minimum]


def read_concepts(path: Path) -> list[str]:
    """Read a concept list, one name per line; lower case, each once.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has no name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"bank: {path} is not there")
    names = [" ".join(line.lower().split()) for line in path.read_text().splitlines()]
    unique = [name for name in dict.fromkeys(names) if name]
    if not unique:
        raise ValueError(f"bank: expected one concept per line in {path}, got none")
    return unique


def token_spans(
    concepts: Sequence[Concept], offsets: Sequence[tuple[int, int]]
) -> list[tuple[int, list[int]]]:
    """Return (label, token indices) of every concept that kept some of its tokens.

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
        if 0 < len(tokens) <= MAX_TOKENS:
            spans.append((concept.label, tokens))
    return spans[:MAX_CONCEPTS]
