"""What every data set promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

VOID = 0
"""Label of pixels that are not scored."""


def evenly(there: int, wanted: int) -> list[int]:
    """Return which of some images are used, evenly spread; 0: all."""
    count = min(wanted or there, there)
    return [number * there // count for number in range(count)]


class Segment(NamedTuple):
    """One region of the panoptic ground truth.

    Attributes:
        label: Its class, 1..K.
        crowd: Whether it is a group of instances that nobody told apart.
    """

    label: int
    crowd: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Segments:
    """Panoptic ground truth.

    Attributes:
        ids: Region of every pixel, (H, W) int32; 0 is void.
        of: The regions by id.
    """

    ids: np.ndarray
    of: Mapping[int, Segment]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One image with its ground truth.

    Attributes:
        id: Name of the image within its data set.
        image: RGB, (H, W, 3) uint8.
        labels: Labels, (H, W) uint8 or uint16: 1..K as in ``Dataset.classes``, 0 is void.
        segments: Panoptic ground truth of the same size, where the data set has it.
    """

    id: str
    image: np.ndarray
    labels: np.ndarray
    segments: Segments | None = None

    def __post_init__(self) -> None:
        """Validate."""
        if self.image.shape != (*self.labels.shape, 3):
            raise ValueError(
                f"{self.id}: the image is {self.image.shape} and its labels {self.labels.shape}"
            )
        if self.segments is not None and self.segments.ids.shape != self.labels.shape:
            raise ValueError(
                f"{self.id}: the labels are {self.labels.shape} "
                f"and the segments {self.segments.ids.shape}"
            )


class Dataset(Protocol):
    """A sequence of samples whose labels have names.

    Attributes:
        name: Name in reports.
        classes: Class names; label i is ``classes[i - 1]``.
        synonyms: Further names of some classes.
        words: The names a segmenter is given when the vocabulary is the ground truth's. Mostly the
            classes; words that are no class count as ``background``.
        background: The class of everything that is none of the others, or None.
        things: Classes with countable instances; the others are stuff.
    """

    name: str
    classes: tuple[str, ...]
    synonyms: Mapping[str, Sequence[str]]
    words: tuple[str, ...]
    background: str | None
    things: frozenset[str]

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            FileNotFoundError: naming the path, if a file is missing.
            ValueError: naming the path or sample, if a file is damaged, not what it should be, or
                image and labels differ in size.
        """
        ...
