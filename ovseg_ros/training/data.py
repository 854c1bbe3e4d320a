"""What a recipe's ``--data`` may name: the robot cell, a public data set, anybody's folder.

- ``robot_cell``: its usual place; ``robot_cell:ROOT``, or a folder of rendered splits
- ``NAME:ROOT``: a public data set of ``ovseg eval`` with masks, in its own layout below ROOT
- a folder with ``images/``, ``masks/`` and ``classes.txt`` (see ``FolderDataset``), or one whose
  folders ``train`` and ``val`` have these. ``captions.jsonl`` in it says more about some images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from ovseg_ros.config import option
from ovseg_ros.evaluation.datasets import Dataset, FolderDataset, Sample, open_dataset
from ovseg_ros.evaluation.datasets.base import Segment, Segments
from ovseg_ros.evaluation.datasets.opening import PUBLIC
from ovseg_ros.evaluation.datasets.robot_cell import RobotCellDataset
from ovseg_ros.folders import data_folder
from ovseg_ros.robot_cell.captions import frame_captions
from ovseg_ros.robot_cell.colors import COLORS
from ovseg_ros.robot_cell.dataset import RobotCell
from ovseg_ros.robot_cell.instances import Instance
from ovseg_ros.robot_cell.objects import CATALOGUE

CELL = "robot_cell"

CAPTIONS = "captions.jsonl"
"""File of captions: one line per image, {"image": NAME, "captions": [TEXT, ...]}."""

ATTRIBUTES = (*COLORS, "wooden")
"""The robot cell's words before nouns, in the order of attribute labels 1, 2, ...; 0 is none."""

_MOST = 255
"""Instances of an image at most; the largest are kept."""


def data_option(default: str = CELL) -> Any:
    """Return the option ``data`` of a recipe."""
    return option(
        default,
        "robot_cell, NAME:ROOT of a public data set, or a folder: rendered splits of the cell, or "
        "images/, masks/ and classes.txt (docs/own_images.md)",
        kind="place",
    )


class Example(Protocol):
    """One image with what it shows.

    Attributes:
        image: RGB, (H, W, 3) uint8.
        labels: Category ids, (H, W) uint8 or uint16; 0 is unlabelled.
        instance_mask: Instance ids, (H, W) uint8.
        instances: The visible instances.
        captions: Sentences about the whole image.
    """

    @property
    def image(self) -> np.ndarray: ...  # noqa: D102
    @property
    def labels(self) -> np.ndarray: ...  # noqa: D102
    @property
    def instance_mask(self) -> np.ndarray: ...  # noqa: D102
    @property
    def instances(self) -> tuple[Instance, ...]: ...  # noqa: D102
    @property
    def captions(self) -> tuple[str, ...]: ...  # noqa: D102


class Source(Protocol):
    """A split to train on.

    Attributes:
        title: The data in a few words, for cards.
        categories: Names of labels 1..K.
        synonyms: Further names of some categories.
        colours: Attributes that instances may have.
        written: Positions of images whose captions somebody wrote.
    """

    title: str
    categories: tuple[str, ...]
    synonyms: Mapping[str, Sequence[str]]
    colours: tuple[str, ...]
    written: frozenset[int]

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, index: int) -> Example:
        """Read one image."""
        ...


class CellSource:
    """A rendered split of the robot cell; its captions are drawn anew for every view."""

    written: frozenset[int] = frozenset()

    def __init__(self, root: Path, split: str) -> None:
        """Open a split.

        Raises:
            ValueError: if it is not there, or was rendered with another catalogue.
        """
        kinds = [kind for kind in CATALOGUE if not kind.novel]
        self._cell = RobotCell(root, split)
        self.title = f"robot cell, split {split}"
        self.categories = tuple(kind.name for kind in kinds)
        self.synonyms: Mapping[str, Sequence[str]] = {kind.name: kind.synonyms for kind in kinds}
        self.colours = ATTRIBUTES
        found = self._cell.categories[1:]
        if found[: len(self.categories)] != self.categories:
            raise ValueError(
                f"data: expected the categories of this version, {', '.join(self.categories)}; "
                f"got {', '.join(found)}; render the split again"
            )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._cell)

    def __getitem__(self, index: int) -> Example:
        """Read one frame."""
        example: Example = self._cell[index]
        return example


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """An :class:`Example` out of a data set."""

    image: np.ndarray
    labels: np.ndarray
    instance_mask: np.ndarray
    instances: tuple[Instance, ...]
    captions: tuple[str, ...]


class DatasetSource:
    """A data set with masks. Captions are written ones, else made of the names of what is there."""

    colours: tuple[str, ...] = ()

    def __init__(
        self, dataset: Dataset, title: str, captions: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        """Wrap a data set.

        Args:
            dataset: The data set.
            title: The data in a few words.
            captions: Written captions by id of the sample.
        """
        self._data, self._captions = dataset, captions or {}
        self.title = title
        self.categories = dataset.classes
        self.synonyms = dataset.synonyms
        ids = getattr(dataset, "ids", ())
        self.written = frozenset(i for i, name in enumerate(ids) if name in self._captions)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._data)

    def __getitem__(self, index: int) -> Example:
        """Read one image."""
        sample = self._data[index]
        labels = sample.labels
        if self._data.background is not None:  # no thing that anybody would name
            void = 1 + self._data.classes.index(self._data.background)
            labels = np.where(labels == void, 0, labels)
        mask, instances = regions(sample, labels, self.categories)
        captions = self._captions.get(sample.id)
        if captions is None:
            rng = np.random.default_rng((index, labels.size))
            captions = frame_captions(instances, labels.size, rng) if instances else ("something",)
        return Labelled(
            image=sample.image,
            labels=labels,
            instance_mask=mask,
            instances=instances,
            captions=captions,
        )


def regions(
    sample: Sample, labels: np.ndarray, categories: Sequence[str]
) -> tuple[np.ndarray, tuple[Instance, ...]]:
    """Return what an image shows as instances.

    A data set without instances has one per category: nobody knows how many there are.

    Args:
        sample: Whose panoptic ground truth is used, if it has one.
        labels: Labels, (H, W); 0 is nothing.
        categories: Names of labels 1..K.

    Returns:
        Instance ids (H, W) uint8, and the instances. Of an instance in several pieces the box is
        that of the largest.
    """
    ids = labels if sample.segments is None else np.where(labels > 0, sample.segments.ids, 0)
    values, counts = np.unique(ids[ids > 0], return_counts=True)
    mask = np.zeros(labels.shape, np.uint8)
    found = []
    for number, place in enumerate(np.argsort(-counts, kind="stable")[:_MOST], start=1):
        inside = ids == values[place]
        mask[inside] = number
        _, _, pieces, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
        x, y, width, height, _ = (int(v) for v in max(pieces[1:], key=lambda piece: piece[4]))
        label = int(np.bincount(labels[inside]).argmax())
        found.append(
            Instance(
                id=number,
                category=categories[label - 1],
                color=None,
                material=None,
                in_tray=False,
                pixels=int(counts[place]),
                bbox_xyxy=(x, y, x + width, y + height),
            )
        )
    return mask, tuple(found)


def open_source(data: str | Path, split: str) -> Source:
    """Open what ``--data`` names.

    Args:
        data: See the module.
        split: train or val.

    Raises:
        FileNotFoundError: if it is not there, naming the path that was looked for.
        ValueError: if it is none of these, or not laid out as it should be.
    """
    name, place = _locate(data, split)
    if name == CELL:
        return CellSource(place or data_folder("robot_cell"), split)
    if name:
        return DatasetSource(open_dataset(name, split=split, root=place), f"{name}, split {split}")
    assert place is not None
    captions = read_captions(place) if captions_file(place) is not None else {}
    return DatasetSource(FolderDataset(place), f"{place.resolve().name}, split {split}", captions)


def open_regions(data: str | Path, split: str) -> Dataset:
    """Open what ``--data`` names as a data set whose samples all have segments.

    Where a data set has no panoptic ground truth, all of a class in an image is one segment:
    nobody knows how many there are.

    Arguments and errors are those of :func:`open_source`.
    """
    name, place = _locate(data, split)
    if name == CELL:
        return RobotCellDataset(place or data_folder("robot_cell"), split)
    if name:
        return _Regions(open_dataset(name, split=split, root=place))
    assert place is not None
    return _Regions(FolderDataset(place))


class _Regions:
    """A data set whose samples have segments, if need be one per class."""

    def __init__(self, dataset: Dataset) -> None:
        self._data = dataset
        self.name, self.classes, self.words = dataset.name, dataset.classes, dataset.words
        self.synonyms, self.background = dataset.synonyms, dataset.background
        self.things = dataset.things

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Sample:
        sample = self._data[index]
        if sample.segments is not None:
            return sample
        none = self.background and 1 + self.classes.index(self.background)
        shown = [int(label) for label in np.unique(sample.labels) if label not in (0, none)]
        of = {label: Segment(label, crowd=False) for label in shown}
        return replace(sample, segments=Segments(ids=sample.labels.astype(np.int32), of=of))


def _locate(data: str | Path, split: str) -> tuple[str, Path | None]:
    """Return (name of a data set, its root if one is given), or ("", folder with images/)."""
    name, _, root = str(data).partition(":")
    if name in (CELL, *PUBLIC) and not Path(data).is_dir():
        return name, Path(root).expanduser() if root else None
    folder = Path(data).expanduser()
    if (folder / split / "frames.jsonl").is_file():
        return CELL, folder
    place = folder_of(folder, split)
    if place is None:
        raise ValueError(
            f"data: expected robot_cell, NAME:ROOT with NAME of {', '.join(PUBLIC)}, a folder with "
            f"images/, masks/ and classes.txt, or one whose {split}/ has these or is a rendered "
            f"split of the cell; got {str(data)!r}"
        )
    return "", place


def draw_names(
    names: Sequence[str],
    synonyms: Sequence[Sequence[str]],
    share: float,
    generator: torch.Generator,
) -> list[str]:
    """Return what a step calls things: a share of those that have synonyms by one of them.

    Args:
        names: Their names.
        synonyms: Their further names, if any, in the same order.
        share: Share that is called by another name, 0..1.
        generator: Source of randomness.
    """
    drawn = []
    for name, others in zip(names, synonyms, strict=True):
        odds, pick = torch.rand(2, generator=generator).tolist()
        drawn.append(others[int(pick * len(others))] if others and odds < share else name)
    return drawn


def has_split(data: str | Path, split: str) -> bool:
    """Tell whether ``--data`` has a split of its own; a plain folder is only its train split."""
    try:
        open_source(data, split)
    except (ValueError, OSError):
        return False
    return not (Path(data) / "images").is_dir()


def folder_of(folder: Path, split: str) -> Path | None:
    """Return the folder of a split with ``images/``: itself, or the one in it; None if neither."""
    for place in (folder / split, folder):
        if (place / "images").is_dir():
            return place
    return None


def captions_file(folder: Path) -> Path | None:
    """Return the captions of a folder, in it or beside the images; None if there are none."""
    places = (folder / CAPTIONS, folder / "images" / CAPTIONS)
    return next((path for path in places if path.is_file()), None)


def read_captions(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the captions of a folder by stem of the image, lower case.

    Raises:
        FileNotFoundError: if there is no such file, or an image that it names is not there.
        ValueError: naming file and line, if one is not as it should be.
    """
    path = captions_file(folder)
    if path is None:
        raise FileNotFoundError(f"data: expected {folder / CAPTIONS}, it is not there")
    found: dict[str, tuple[str, ...]] = {}
    for number, entry in _lines(path):
        where = f"data: {path}, line {number}"
        image = entry.get("image")
        said = entry.get("captions", entry.get("caption"))
        texts = [said] if isinstance(said, str) else said
        if not isinstance(image, str) or not isinstance(texts, list) or not texts:
            raise ValueError(
                f'{where}: expected {{"image": NAME, "captions": [TEXT, ...]}}, got {entry!r}'
            )
        clean = tuple(" ".join(str(text).lower().split()) for text in texts)
        if not all(isinstance(text, str) for text in texts) or not all(clean):
            raise ValueError(f"{where}: expected captions that say something, got {texts!r}")
        if not (folder / "images" / image).is_file():
            raise FileNotFoundError(f"{where}: {folder / 'images' / image} is not there")
        found[Path(image).stem] = found.get(Path(image).stem, ()) + clean
    if not found:
        raise ValueError(f"data: expected captions in {path}, got none")
    return found


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"data: {path}, line {number}: expected JSON ({error})") from None
        if not isinstance(entry, dict):
            raise ValueError(f"data: {path}, line {number}: expected an object, got {entry!r}")
        yield number, entry
