"""ADE20K: the 150 classes of the scene parsing challenge and the 847 of the full data set."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ovseg_ros.evaluation.datasets.classes import bundled_classes
from ovseg_ros.evaluation.datasets.masks import (
    LONG_NAMES,
    MaskDataset,
    Pair,
    list_files,
    read_colors,
)
from ovseg_ros.evaluation.datasets.panoptic import open_masks


def ade150(root: Path, split: str) -> MaskDataset:
    """ADE20K's challenge: masks 1..150, 0 is void; PQ where ``ade20k_panoptic_*`` lies beside."""
    base, folder = root / "ADEChallengeData2016", LONG_NAMES.get(split, split)
    images = list_files(base / "images" / folder, "*.jpg")
    masks = base / "annotations" / folder
    classes = bundled_classes("ade150")
    return open_masks(
        f"ade150/{split}",
        [Pair(path.stem, path, masks / f"{path.stem}.png") for path in images],
        classes,
        file=base / f"ade20k_panoptic_{split}.json",
        folder=base / f"ade20k_panoptic_{split}",
        labels={label - 1: label for label in classes.values},  # the JSON counts from 0
    )


def ade847(root: Path, split: str) -> MaskDataset:
    """ADE20K 2021_17_01: the class of a pixel is ``(R // 10) * 256 + G`` of ``*_seg.png``."""
    base, folder = root / "ADE20K_2021_17_01", LONG_NAMES.get(split, split)
    pairs = []
    for image in _indexed_images(root, base / "index_ade20k.pkl", folder):
        pairs.append(Pair(image.stem, image, image.with_name(f"{image.stem}_seg.png")))
    if not pairs:
        raise FileNotFoundError(f"{base}: expected images of {folder} in index_ade20k.pkl")
    return MaskDataset(f"ade847/{split}", pairs, bundled_classes("ade847"), read=read_full_mask)


def read_full_mask(path: Path) -> np.ndarray:
    """Read the object classes of a ``*_seg.png``, (H, W) int64; 0 is none."""
    colors = read_colors(path)
    return colors[..., 0] // 10 * 256 + colors[..., 1]


def _indexed_images(root: Path, index: Path, folder: str) -> list[Path]:
    """Return the images of a split that the index lists."""
    if not index.is_file():
        raise FileNotFoundError(f"{index}: no such file")
    try:
        with index.open("rb") as stream:
            table: Mapping[str, Any] = _PlainUnpickler(stream).load()
        entries = list(zip(table["folder"], table["filename"], strict=True))
    except (pickle.UnpicklingError, KeyError, TypeError, ValueError, EOFError) as error:
        raise ValueError(f"{index}: expected ADE20K's index ({error})") from None
    return [
        root / str(place) / str(name) for place, name in entries if f"/{folder}/" in f"/{place}/"
    ]


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, text and numpy arrays: a pickle from the net must not run anything else."""

    _ALLOWED = frozenset({"_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"})

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "numpy" and name in self._ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"refused to load {module}.{name}")
