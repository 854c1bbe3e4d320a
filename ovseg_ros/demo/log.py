"""What the demo's operator notes down to draw it; needs no ROS.

What is measured is in the evaluation node's record.

All times are nanoseconds of the system clock, which the camera's stamps are of as well.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class FrameNote:
    """A camera picture that arrived: its stamp and its JPEG."""

    stamp: int
    arrival: int
    jpeg: bytes


@dataclass(frozen=True, kw_only=True)
class MaskNote:
    """A label mask that arrived: the ids in it, and its (H, W) labels, compressed."""

    stamp: int
    arrival: int
    ids: frozenset[int]
    packed: bytes
    size_hw: tuple[int, int]
    dtype: str

    @classmethod
    def of(cls, labels: np.ndarray, *, stamp: int, arrival: int) -> MaskNote:
        """Note down a label mask, (H, W) uint8 or uint16."""
        ids = np.flatnonzero(np.bincount(labels.ravel()))
        return cls(
            stamp=stamp,
            arrival=arrival,
            ids=frozenset(ids.tolist()) - {0},
            packed=zlib.compress(np.ascontiguousarray(labels).data, 1),
            size_hw=labels.shape,
            dtype=labels.dtype.str,
        )

    @property
    def labels(self) -> np.ndarray:
        """The label mask, (H, W)."""
        return np.frombuffer(zlib.decompress(self.packed), self.dtype).reshape(self.size_hw)


@dataclass(frozen=True, kw_only=True)
class VocabularyNote:
    """A vocabulary that arrived; ``names`` by id."""

    arrival: int
    version: int
    mode: str
    names: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the demo that is measured."""

    name: str
    start: int
    end: int

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start) / 1e9


@dataclass(kw_only=True)
class DemoLog:
    """Everything the operator noted down, each list in the order of arrival.

    Attributes:
        versions: Vocabulary version of the masks, by stamp.
        status: Newest diagnostics of each node.
        query: Answer of the query, None before.
    """

    frames: list[FrameNote] = field(default_factory=list)
    masks: list[MaskNote] = field(default_factory=list)
    vocabularies: list[VocabularyNote] = field(default_factory=list)
    versions: dict[int, int] = field(default_factory=dict)
    status: dict[str, dict[str, str]] = field(default_factory=dict)
    overlays: int = 0
    query: dict[str, Any] | None = None
    phases: list[Phase] = field(default_factory=list)

    def phase(self, name: str) -> Phase | None:
        """Return the phase with this name if it was reached."""
        return next((phase for phase in self.phases if phase.name == name), None)

    def automatic(self) -> VocabularyNote | None:
        """Return the newest vocabulary that discovery made."""
        found = (note for note in reversed(self.vocabularies) if note.mode == "auto" and note.names)
        return next(found, None)
