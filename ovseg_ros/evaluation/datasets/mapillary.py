"""Mapillary Vistas v1.2."""

from __future__ import annotations

from pathlib import Path

from ovseg_ros.evaluation.datasets.classes import bundled_classes
from ovseg_ros.evaluation.datasets.masks import LONG_NAMES, MaskDataset, Pair, list_files
from ovseg_ros.evaluation.datasets.panoptic import open_masks


def mapillary(root: Path, split: str) -> MaskDataset:
    """Mapillary Vistas: masks 0..64, 65 is void; PQ where ``panoptic/panoptic_2018.json`` is."""
    base = root / "mapillary_vistas" / LONG_NAMES.get(split, split)
    classes = bundled_classes("mapillary")
    return open_masks(
        f"mapillary/{split}",
        [
            Pair(path.stem, path, base / "labels" / f"{path.stem}.png")
            for path in list_files(base / "images", "*.jpg")
        ],
        classes,
        file=base / "panoptic" / "panoptic_2018.json",
        folder=base / "panoptic",
        labels={value + 1: value + 1 for value in classes.values},  # the JSON counts from 1
    )
