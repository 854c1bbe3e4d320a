"""Data sets of images and label masks that lie side by side, and how their masks are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ovseg_ros.evaluation.datasets.base import Sample, Segments
from ovseg_ros.evaluation.datasets.classes import ClassList
from ovseg_ros.photographs import read_image

LONG_NAMES = {"val": "validation", "train": "training"}
"""How some data sets name the folders of their splits."""


class Pair(NamedTuple):
    """Where one sample lies."""

    id: str
    image: Path
    mask: Path


class MaskDataset:
    """Images and masks, with a class list that says what a mask's values mean."""

    def __init__(
        self,
        name: str,
        pairs: Iterable[Pair],
        classes: ClassList,
        *,
        read: Callable[[Path], np.ndarray] | None = None,
        segments: Callable[[Pair], Segments | None] | None = None,
        words: Sequence[str] | None = None,
        background: str | None = None,
        things: Iterable[str] = (),
    ) -> None:
        """Combine the parts.

        Args:
            name: Name in reports.
            pairs: Where the samples lie.
            classes: Class of every mask value; other values are void.
            read: Reads a mask as (H, W) integers; :func:`read_mask` by default.
            segments: Reads the panoptic ground truth of a sample.
            words: See ``Dataset.words``; the classes by default.
            background: See ``Dataset.background``.
            things: See ``Dataset.things``.

        Raises:
            FileNotFoundError: if there is no sample.
        """
        self.name = name
        self.classes = classes.names
        self.synonyms = classes.synonyms
        self.words = tuple(words if words is not None else classes.names)
        self.background = background
        self.things = frozenset(things)
        self._pairs = list(pairs)
        self._values = classes.values
        self._lookup = classes.lookup()
        self._read = read or read_mask
        self._segments = segments
        if not self._pairs:
            raise FileNotFoundError(f"{name}: expected at least one image, found none")

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the samples, in order."""
        return tuple(pair.id for pair in self._pairs)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        """Read one image and its mask; see ``Dataset.__getitem__``."""
        pair = self._pairs[index]
        values = self._read(pair.mask)
        image = read_image(pair.image, oriented=False)  # masks are drawn on the pixels as stored
        if image.shape[:2] != values.shape:
            raise ValueError(
                f"{pair.mask}: expected the size of {pair.image}, {image.shape[:2]}, "
                f"got {values.shape}"
            )
        segments = None if self._segments is None else self._segments(pair)
        return Sample(id=pair.id, image=image, labels=self._label(values), segments=segments)

    def _label(self, values: np.ndarray) -> np.ndarray:
        labels = self._lookup[np.clip(values, 0, 65_535)]
        labels[(values < 0) | (values > 65_535)] = 0
        return labels if len(self.classes) > 255 else labels.astype(np.uint8)


def open_mask(path: Path) -> np.ndarray:
    """Read the stored values of an image, (H, W) or (H, W, C): no palette is applied.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the path, if it is no image or a damaged one.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with Image.open(path) as opened:
            opened.load()
            return np.asarray(opened)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        detail = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        raise ValueError(f"{path}: not an image, or a damaged one{detail}") from None


def read_mask(path: Path) -> np.ndarray:
    """Read a mask of one channel, (H, W) int64: 8 bit, palette indices, or 16 bit.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the path, if it is no such mask.
    """
    values = open_mask(path)
    if values.ndim != 2 or values.dtype.kind not in "ui":
        raise ValueError(
            f"{path}: expected one channel of 8 or 16 bit, got {values.shape} {values.dtype}"
        )
    return values.astype(np.int64)


def read_colors(path: Path) -> np.ndarray:
    """Read a mask of three channels, (H, W, 3) int64 in the order R, G, B.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the path, if it is no such mask.
    """
    values = open_mask(path)
    if values.ndim != 3 or values.shape[2] < 3 or values.dtype != np.uint8:
        raise ValueError(
            f"{path}: expected three channels of 8 bit, got {values.shape} {values.dtype}"
        )
    return values[..., :3].astype(np.int64)


def read_list(path: Path) -> list[str]:
    """Return the first word of every line: names of images, as ``ImageSets`` list them.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]


def list_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder that match, sorted.

    Raises:
        FileNotFoundError: if there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found = sorted(folder.glob(pattern))
    if not found:
        raise FileNotFoundError(f"{folder}: expected files like {pattern}, found none")
    return found
