"""COCO's three ground truths: stuff and things, objects with background, panoptic."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ovseg_ros.evaluation.datasets.classes import bundled_classes
from ovseg_ros.evaluation.datasets.masks import MaskDataset, Pair, list_files, read_mask
from ovseg_ros.evaluation.datasets.panoptic import PanopticAnnotations, PanopticDataset

_STUFF_FOLDERS = ("coco_stuff164k", "coco-stuff", "cocostuff")
"""Names under which toolkits keep COCO-Stuff; its masks are those of stuffthingmaps."""

_LAST_OBJECT, _VOID = 90, 255
_BACKGROUND = 1000
"""Our value for everything that is no object; the masks are 8 bit and do not use it."""


def coco_stuff(root: Path, split: str) -> MaskDataset:
    """COCO-Stuff, 171 classes: masks hold category id - 1, with gaps, and 255 for void."""
    return MaskDataset(f"coco_stuff/{split}", _pairs(root, split), bundled_classes("coco_stuff"))


def coco_object(root: Path, split: str) -> MaskDataset:
    """COCO's 80 objects, from the same masks: all stuff is the class "background"."""
    objects = bundled_classes("coco_stuff").select(range(_LAST_OBJECT))
    return MaskDataset(
        f"coco_object/{split}",
        _pairs(root, split),
        objects.with_background(_BACKGROUND),
        read=read_objects,
        background="background",
    )


def read_objects(path: Path) -> np.ndarray:
    """Read a mask of stuffthingmaps with one value for all stuff, (H, W) int64."""
    values = read_mask(path)
    return np.where((values >= _LAST_OBJECT) & (values != _VOID), _BACKGROUND, values)


def coco_panoptic(root: Path, split: str) -> PanopticDataset:
    """COCO panoptic: 133 classes, 80 of them things."""
    base, year = root / "coco", f"{split}2017"
    annotations = PanopticAnnotations(
        base / "annotations" / f"panoptic_{year}.json", base / f"panoptic_{year}"
    )
    return PanopticDataset(f"coco_panoptic/{split}", base / year, annotations)


def _pairs(root: Path, split: str) -> list[Pair]:
    base = next((root / f for f in _STUFF_FOLDERS if (root / f).is_dir()), root / _STUFF_FOLDERS[0])
    masks = base / "annotations" / f"{split}2017"
    images = list_files(base / "images" / f"{split}2017", "*.jpg")
    return [Pair(path.stem, path, masks / f"{path.stem}.png") for path in images]
