"""Data sets as the evaluation sees them, and how to open them by name.

Every data set numbers its classes 1..K in the order of ``classes``, the ids that
``Vocabulary.of(*classes)`` gives out; label 0 is void, ground truth that nobody is scored on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ovseg_ros.photographs import SUFFIXES, read_image
from ovseg_ros.types import normalise_name

logger = logging.getLogger(__name__)

VOID = 0
"""Label of pixels that are not scored."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One image with its ground truth.

    Attributes:
        id: Name of the image within its data set.
        image: RGB, (H, W, 3) uint8.
        labels: Labels, (H, W) uint8 or uint16: 1..K as in ``Dataset.classes``, 0 is void.
    """

    id: str
    image: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        """Validate."""
        if self.image.shape != (*self.labels.shape, 3):
            raise ValueError(
                f"{self.id}: the image is {self.image.shape} and its labels {self.labels.shape}"
            )


class Dataset(Protocol):
    """A sequence of samples whose labels have names."""

    name: str
    classes: tuple[str, ...]
    synonyms: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            FileNotFoundError: naming the path, if a file is missing or damaged.
            ValueError: naming the sample, if image and labels do not fit.
        """
        ...


class FolderDataset:
    """Anybody's own data: ``images/``, ``masks/`` and ``classes.txt`` in one folder.

    A mask is a PNG with the stem of its image, 8 or 16 bit. A line of ``classes.txt`` is a value of
    the masks, the class's name and any synonyms: ``7: mug, cup``. Without ``7:`` the value is the
    number of the line, from 1. Values without a line are void.
    """

    def __init__(self, root: str | Path) -> None:
        """Open the folder.

        Raises:
            FileNotFoundError: if the folder lacks one of the three, or has no image.
            ValueError: if ``classes.txt`` is not as described above.
        """
        self.root = Path(root)
        self.name = self.root.resolve().name
        for part in ("images", "masks", "classes.txt"):
            if not (self.root / part).exists():
                raise FileNotFoundError(f"{self.root}: expected images/, masks/ and classes.txt")
        self.synonyms: Mapping[str, Sequence[str]]
        self.classes, self.synonyms, values = _read_classes(self.root / "classes.txt")
        self._lookup = np.zeros(65_536, np.uint16)
        self._lookup[values] = np.arange(1, len(values) + 1)
        self._images = sorted(
            path for path in (self.root / "images").iterdir() if path.suffix.lower() in SUFFIXES
        )
        if not self._images:
            raise FileNotFoundError(f"{self.root / 'images'}: expected at least one image")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        """Read one image and its mask."""
        path = self._images[index]
        mask_path = self.root / "masks" / f"{path.stem}.png"
        mask = cv2.imread(str(mask_path), cv2.IMREAD_UNCHANGED)
        if mask is None:
            raise FileNotFoundError(f"{mask_path} is missing or damaged")
        if mask.ndim != 2 or mask.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"{mask_path}: expected one channel of 8 or 16 bit, got {mask.shape} {mask.dtype}"
            )
        image = read_image(path, oriented=False)  # masks are drawn on the pixels as stored
        return Sample(id=path.stem, image=image, labels=self._lookup[mask])


class RobotCellDataset:
    """A split of the robot cell, with the classes that may appear in it."""

    def __init__(self, root: str | Path, split: str) -> None:
        """Open a rendered split, or the recording that ships with the package ("sequence").

        Raises:
            ValueError: if there is no such split under ``root``.
        """
        from ovseg_ros.robot_cell.dataset import RobotCell
        from ovseg_ros.robot_cell.objects import CATALOGUE
        from ovseg_ros.robot_cell.recording import RecordedSequence

        self.name = f"robot_cell/{split}"
        self._frames: RobotCell | RecordedSequence = (
            RecordedSequence() if split == "sequence" else RobotCell(root, split)
        )
        kinds = [kind for kind in CATALOGUE if split == "novel" or not kind.novel]
        self.classes = tuple(kind.name for kind in kinds)
        self.synonyms: Mapping[str, Sequence[str]] = {kind.name: kind.synonyms for kind in kinds}
        self._lookup = np.zeros(256, np.uint8)
        for value, kind in enumerate(CATALOGUE, start=1):
            if kind in kinds:
                self._lookup[value] = 1 + kinds.index(kind)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        """Read one frame."""
        frame = self._frames[index]
        name = getattr(frame, "name", f"{index:05d}")
        return Sample(id=name, image=frame.image, labels=self._lookup[frame.labels])


def open_dataset(name: str, *, split: str = "test", root: Path | None = None) -> Dataset:
    """Open a data set by name.

    Args:
        name: ``robot_cell``, or a folder as :class:`FolderDataset` describes.
        split: Split of a named data set: of the robot cell val, test, novel or sequence.
        root: Where the data set lies; see :func:`robot_cell_root` for the default. A split of the
            robot cell that is not there is rendered.

    Raises:
        FileNotFoundError: if the data set is not there, saying how to get it.
        ValueError: if there is no such data set or split.
    """
    if name == "robot_cell":
        root = root or robot_cell_root()
        if split != "sequence" and not (root / split / "frames.jsonl").is_file():
            _render(root, split)
        dataset = RobotCellDataset(root, split)
        _note_missing_frames(dataset, root, split)
        return dataset
    if Path(name).is_dir():
        return FolderDataset(name)
    raise ValueError(f"dataset: expected robot_cell or an existing folder, got {name!r}")


def robot_cell_root() -> Path:
    """Return ``$OVSEG_DATA/robot_cell``, or its place in the user's cache."""
    if os.environ.get("OVSEG_DATA"):
        return Path(os.environ["OVSEG_DATA"]).expanduser() / "robot_cell"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ovseg_ros" / "robot_cell"


def _render(root: Path, split: str) -> None:
    """Render a split of the robot cell, if this machine can."""
    from ovseg_ros.robot_cell.render import PLANS, render_split

    if split not in PLANS:
        raise ValueError(f"split: expected one of {', '.join(PLANS)} or sequence, got {split!r}")
    try:
        import pybullet  # noqa: F401
    except ImportError:
        raise FileNotFoundError(
            f"the robot cell's {split} split is not in {root}, and rendering it needs pybullet: "
            f"pip install 'ovseg_ros[render]', then ovseg render robot_cell --split {split} "
            f"--root {root}"
        ) from None
    render_split(root, split, workers=os.cpu_count() or 1)


def _note_missing_frames(dataset: Dataset, root: Path, split: str) -> None:
    """Say so if rendering was cut short: fewer frames are another benchmark."""
    from ovseg_ros.robot_cell.render import PLANS

    if split in PLANS and len(dataset) < PLANS[split].count:
        logger.warning(
            "%s has %d of %d frames; `ovseg render robot_cell --split %s --root %s` completes it",
            dataset.name, len(dataset), PLANS[split].count, split, root,
        )  # fmt: skip


def _read_classes(path: Path) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], list[int]]:
    """Return class names, their synonyms and the mask value of each."""
    synonyms: dict[str, tuple[str, ...]] = {}
    values: list[int] = []
    lines = [line.strip() for line in path.read_text().splitlines()]
    for number, line in enumerate(filter(None, lines), start=1):
        head, colon, tail = line.partition(":")
        value = head.strip() if colon else str(number)
        if not value.isdecimal() or int(value) > 65_535 or int(value) in values:
            raise ValueError(
                f"{path}: expected a mask value of its own (0..65535) before the colon: {line!r}"
            )
        names = [normalise_name(name) for name in (tail if colon else line).split(",")]
        if names[0] in synonyms:
            raise ValueError(f"{path}: expected distinct classes, got {names[0]!r} twice")
        synonyms[names[0]] = tuple(names[1:])
        values.append(int(value))
    if not values:
        raise ValueError(f"{path}: expected at least one class, got none")
    return tuple(synonyms), synonyms, values
