"""Cityscapes, with the 19 classes of its benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ovseg_ros.evaluation.datasets.base import Segment, Segments
from ovseg_ros.evaluation.datasets.classes import bundled_classes
from ovseg_ros.evaluation.datasets.masks import MaskDataset, Pair, list_files, read_mask

TRAIN_IDS = {
    **{7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10},
    **{24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18},
}
"""Class index by the label id of the published masks; other ids are void."""

_FIRST_THING = 11
_INSTANCES_FROM = 1000
"""From here a value of ``*_instanceIds.png`` is 1000 x label id + number; below, a label id."""


def cityscapes(root: Path, split: str) -> MaskDataset:
    """Cityscapes: ``*_labelTrainIds.png``, else the published ``*_labelIds.png``.

    With ``*_instanceIds.png`` beside them there is panoptic ground truth.
    """
    base = root / "cityscapes"
    pairs, instances = [], True
    for image in list_files(base / "leftImg8bit" / split, "*/*_leftImg8bit.png"):
        name = image.stem.removesuffix("_leftImg8bit")
        stem = base / "gtFine" / split / image.parent.name / f"{name}_gtFine"
        train, published = (
            stem.with_name(f"{stem.name}_{kind}.png") for kind in ("labelTrainIds", "labelIds")
        )
        chosen = published if published.exists() and not train.exists() else train
        pairs.append(Pair(name, image, chosen))
        instances &= _instance_file(chosen).exists()
    classes = bundled_classes("cityscapes")
    return MaskDataset(
        f"cityscapes/{split}",
        pairs,
        classes,
        read=read_labels,
        segments=read_instances if instances else None,
        things=classes.names[_FIRST_THING:],
    )


def read_labels(path: Path) -> np.ndarray:
    """Read a mask of either kind as class indices 0..18, (H, W) int64; -1 is void."""
    values = read_mask(path)
    if path.stem.endswith("_labelTrainIds"):
        return np.where(values < len(TRAIN_IDS), values, -1)
    table = np.full(256, -1)
    table[list(TRAIN_IDS)] = list(TRAIN_IDS.values())
    return table[np.clip(values, 0, 255)]


def read_instances(pair: Pair) -> Segments:
    """Read the panoptic ground truth: groups of things that nobody told apart are crowds."""
    ids = read_mask(_instance_file(pair.mask)).astype(np.int32)
    known = {}
    for value in np.unique(ids).tolist():
        single = value >= _INSTANCES_FROM
        index = TRAIN_IDS.get(value // _INSTANCES_FROM if single else value)
        if index is not None:
            known[value] = Segment(index + 1, crowd=index >= _FIRST_THING and not single)
    return Segments(ids=ids, of=known)


def _instance_file(mask: Path) -> Path:
    return mask.with_name(mask.name.rpartition("_")[0] + "_instanceIds.png")
