"""Mapillary Vistas v1.2."""

from __future__ import annotations

from pathlib import Path

from ovseg_ros.evaluation.datasets.base import Segments
from ovseg_ros.evaluation.datasets.classes import bundled_classes
from ovseg_ros.evaluation.datasets.masks import MaskDataset, Pair, list_files
from ovseg_ros.evaluation.datasets.panoptic import PanopticAnnotations

_FOLDERS = {"val": "validation", "train": "training"}


def mapillary(root: Path, split: str) -> MaskDataset:
    """Mapillary Vistas: masks 0..64, 65 is void; PQ where ``panoptic/panoptic_2018.json`` is."""
    base = root / "mapillary_vistas" / _FOLDERS.get(split, split)
    classes = bundled_classes("mapillary")
    file = base / "panoptic" / "panoptic_2018.json"
    things: list[str] = []
    segments = None
    if file.exists():
        annotations = PanopticAnnotations(file, file.parent)
        labels = {value + 1: value + 1 for value in classes.values}  # the JSON counts from 1
        things = [classes.names[i - 1] for i in sorted(annotations.things) if i in labels]

        def segments(pair: Pair) -> Segments:
            return annotations.read(pair.mask.name, labels)

    return MaskDataset(
        f"mapillary/{split}",
        [
            Pair(path.stem, path, base / "labels" / f"{path.stem}.png")
            for path in list_files(base / "images", "*.jpg")
        ],
        classes,
        segments=segments,
        things=things,
    )
