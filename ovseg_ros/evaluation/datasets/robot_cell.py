"""The robot cell as a data set."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ovseg_ros.evaluation.datasets.base import Dataset, Sample, Segment, Segments
from ovseg_ros.folders import data_folder
from ovseg_ros.robot_cell.dataset import RobotCell
from ovseg_ros.robot_cell.objects import CATALOGUE
from ovseg_ros.robot_cell.recording import RecordedSequence

logger = logging.getLogger(__name__)

STUFF = frozenset({"floor", "wall"})
"""Categories of the robot cell without countable instances."""


class RobotCellDataset:
    """A split of the robot cell, with the classes that may appear in it."""

    background: str | None = None

    def __init__(self, root: str | Path, split: str) -> None:
        """Open a rendered split, or the recording that ships with the package ("sequence").

        Raises:
            ValueError: if there is no such split under ``root``.
        """
        self.name = f"robot_cell/{split}"
        self._frames: RobotCell | RecordedSequence = (
            RecordedSequence() if split == "sequence" else RobotCell(root, split)
        )
        kinds = [kind for kind in CATALOGUE if split == "novel" or not kind.novel]
        self.classes = tuple(kind.name for kind in kinds)
        self.words = self.classes
        self.synonyms: Mapping[str, Sequence[str]] = {kind.name: kind.synonyms for kind in kinds}
        self.things = frozenset(self.classes) - STUFF
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
        labels = self._lookup[frame.labels]
        segments = instances_as_segments(frame.instance_mask, labels)
        return Sample(id=name, image=frame.image, labels=labels, segments=segments)


def instances_as_segments(instances: np.ndarray, labels: np.ndarray) -> Segments:
    """Return instances (H, W) that each have one label (H, W) as panoptic ground truth."""
    ids, first = np.unique(instances, return_index=True)
    label_of = {int(i): int(labels.flat[at]) for i, at in zip(ids, first, strict=True) if i}
    known = {i: Segment(label, crowd=False) for i, label in label_of.items() if label}
    return Segments(ids=instances.astype(np.int32), of=known)


def open_robot_cell(root: Path | None, split: str) -> RobotCellDataset:
    """Open a split; one that is not there is rendered, if this machine can.

    Args:
        root: Folder of the splits; ``data_folder("robot_cell")`` by default.
        split: val, test, novel, train or sequence.

    Raises:
        FileNotFoundError: if the split is not there and cannot be rendered, saying how to get it.
        ValueError: if there is no such split.
    """
    root = root or data_folder("robot_cell")
    index = root / split / "frames.jsonl"
    if split != "sequence" and not (index.is_file() and index.stat().st_size):
        _render(root, split)
    dataset = RobotCellDataset(root, split)
    _note_missing_frames(dataset, root, split)
    return dataset


def _render(root: Path, split: str) -> None:
    """Render a split of the robot cell, if this machine can."""
    from ovseg_ros.robot_cell.render import PLANS, render_split

    splits = {*PLANS, "sequence"}
    others = (
        [path.name for path in root.iterdir() if path.name not in splits] if root.is_dir() else []
    )
    if (root / split / "classes.txt").is_file() or others:
        raise FileNotFoundError(
            f"root: expected the robot cell's splits or an empty folder, got {root} with other "
            f"files; nothing is rendered into it (for images of your own: dataset={root})"
        )
    if split not in PLANS:
        raise ValueError(f"split: expected one of {', '.join(PLANS)} or sequence, got {split!r}")
    try:
        import pybullet  # noqa: F401
    except ImportError:
        raise FileNotFoundError(
            f"the robot cell's {split} split is not in {root}, and rendering it needs pybullet: "
            f"pip install pybullet, then ovseg render robot_cell --split {split} "
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
