"""Reading a rendered robot cell; needs neither pybullet nor a GPU.

Layout of one split, `ROOT/SPLIT/`:

    classes.json            category names by id (0 is "unlabelled"), synonyms, held-out pairs
    frames.jsonl            one frame per line: names, camera, instances, captions
    rgb/NAME.jpg            8-bit colour, quality 95
    labels/NAME.png         8-bit category ids
    instances/NAME.png      8-bit instance ids
    depth/NAME.png          16-bit millimetres along the optical axis (not for train)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ovseg_ros.robot_cell.instances import Instance
from ovseg_ros.whole_files import whole_lines


@dataclass(frozen=True)
class Frame:
    """One frame of the data set.

    Attributes:
        name: file stem, "SCENE_VIEW".
        image: uint8 RGB (H, W, 3).
        labels: uint8 (H, W), category ids as in `RobotCell.categories`.
        instance_mask: uint8 (H, W), values of `Instance.id`.
        instances: the visible instances.
        captions: sentences about the frame.
        intrinsics: float64 (3, 3), camera matrix K.
        camera_to_world: float64 (4, 4), pose of the optical frame.
        depth_m: float32 (H, W), or None when the split has none.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    instance_mask: np.ndarray
    instances: tuple[Instance, ...]
    captions: tuple[str, ...]
    intrinsics: np.ndarray
    camera_to_world: np.ndarray
    depth_m: np.ndarray | None


class RobotCell(Sequence[Frame]):
    """A split of the robot cell on disk, read frame by frame; also while it is being rendered."""

    def __init__(self, root: str | Path, split: str) -> None:
        """Open a split.

        Args:
            root: folder that holds the splits.
            split: "train", "val", "test" or "novel".

        Raises:
            ValueError: if there is no such split under `root`.
        """
        self.root = Path(root) / split
        self.split = split
        index = self.root / "frames.jsonl"
        if not index.is_file():
            raise ValueError(
                f"split {split!r} is not under {root}; render it first: "
                f"ovseg render robot_cell --split {split} --root {root}"
            )
        self.records = list(read_records(index))
        path = self.root / "classes.json"
        try:
            self.categories: tuple[str, ...] = tuple(json.loads(path.read_bytes())["categories"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{path} is damaged ({error}); render the split again") from None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.records)

    def __getitem__(self, index: Any) -> Any:
        """Read one frame, or a list of frames for a slice."""
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        record = self.records[index]
        name = record["name"]
        image = _read(self.root / "rgb" / f"{name}.jpg", cv2.IMREAD_COLOR)
        depth = None
        if record["depth"]:
            raw = _read(self.root / "depth" / f"{name}.png", cv2.IMREAD_UNCHANGED)
            depth = raw.astype(np.float32) / 1000
        return Frame(
            name=name,
            image=cv2.cvtColor(image, cv2.COLOR_BGR2RGB),
            labels=_read(self.root / "labels" / f"{name}.png", cv2.IMREAD_UNCHANGED),
            instance_mask=_read(self.root / "instances" / f"{name}.png", cv2.IMREAD_UNCHANGED),
            instances=self.instances(index),
            captions=tuple(record["captions"]),
            intrinsics=np.array(record["intrinsics"]),
            camera_to_world=np.array(record["camera_to_world"]),
            depth_m=depth,
        )

    def instances(self, index: int) -> tuple[Instance, ...]:
        """Visible instances of a frame, without reading its images."""
        return tuple(Instance.from_json(entry) for entry in self.records[index]["instances"])

    def captions(self, index: int) -> tuple[str, ...]:
        """Captions of a frame, without reading its images."""
        return tuple(self.records[index]["captions"])


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Read the complete lines of a frames.jsonl; a line still being written is left out."""
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            yield dict(json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}, line {number} is damaged ({error})") from None


def _read(path: Path, flags: int) -> np.ndarray:
    image = cv2.imread(str(path), flags)
    if image is None:
        raise FileNotFoundError(f"{path} is missing or damaged; render the split again")
    return image
