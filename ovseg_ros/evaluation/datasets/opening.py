"""Data sets by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ovseg_ros.evaluation.datasets import ade, cityscapes, coco, mapillary, voc
from ovseg_ros.evaluation.datasets.base import Dataset
from ovseg_ros.evaluation.datasets.folder import FolderDataset
from ovseg_ros.evaluation.datasets.robot_cell import open_robot_cell

PUBLIC: dict[str, Callable[[Path, str], Dataset]] = {
    "voc20": voc.voc20,
    "voc21": voc.voc21,
    "voc20b": voc.voc20b,
    "pc59": voc.context59,
    "pc60": voc.context60,
    "pc459": voc.context459,
    "ade150": ade.ade150,
    "ade847": ade.ade847,
    "cityscapes": cityscapes.cityscapes,
    "coco_stuff": coco.coco_stuff,
    "coco_object": coco.coco_object,
    "coco_panoptic": coco.coco_panoptic,
    "mapillary": mapillary.mapillary,
}
"""Public data sets by name; each takes the folder that holds all of them, and a split."""


def open_dataset(name: str, *, split: str | None = None, root: Path | None = None) -> Dataset:
    """Open a data set by name.

    Args:
        name: ``robot_cell``, one of :data:`PUBLIC`, or a folder (see :class:`FolderDataset`).
        split: Split of a named data set: val or train; of the robot cell val, test (the default),
            novel or sequence.
        root: Folder of the public data sets, ``$OVSEG_DATA`` by default; for ``robot_cell`` the
            folder of its splits.

    Raises:
        FileNotFoundError: if the data set is not there, naming the path that was looked for.
        ValueError: if there is no such data set or split.
    """
    if name == "robot_cell":
        return open_robot_cell(root, split or "test")
    if name in PUBLIC:
        place = public_root(root)
        if not place.is_dir():
            raise FileNotFoundError(f"{place}: no such folder")
        return PUBLIC[name](place, split or "val")
    if Path(name).is_dir():
        return FolderDataset(name)
    raise ValueError(
        f"dataset: expected robot_cell, {', '.join(PUBLIC)} or an existing folder, got {name!r}"
    )


def public_root(root: Path | None) -> Path:
    """Return the folder of the public data sets.

    Raises:
        FileNotFoundError: if it is neither given nor in the environment.
    """
    if root is None and not os.environ.get("OVSEG_DATA"):
        raise FileNotFoundError("--root: expected the folder of the data sets, or $OVSEG_DATA")
    return root or Path(os.environ["OVSEG_DATA"]).expanduser()
