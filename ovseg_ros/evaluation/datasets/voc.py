"""PASCAL VOC 2012 and PASCAL Context, in ``VOCdevkit`` as it comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io

from ovseg_ros.evaluation.datasets.classes import bundled_classes
from ovseg_ros.evaluation.datasets.masks import MaskDataset, Pair, read_list


def voc20(root: Path, split: str) -> MaskDataset:
    """VOC 2012, 20 classes: the background (0) is void."""
    return MaskDataset(f"voc20/{split}", _voc_pairs(root, split), bundled_classes("voc"))


def voc21(root: Path, split: str) -> MaskDataset:
    """VOC 2012 with the background (0) as a class."""
    classes = bundled_classes("voc").with_background(0)
    return MaskDataset(f"voc21/{split}", _voc_pairs(root, split), classes, background="background")


def voc20b(root: Path, split: str) -> MaskDataset:
    """VOC 2012 with the background as a class that is spoken of as PASCAL Context's other names.

    The segmenter gets 59 names; what it calls by one of the 39 that are not VOC's is background.
    """
    names = bundled_classes("voc").names
    others = [n for n in bundled_classes("context59").names if n not in (*names, "table")]
    return MaskDataset(
        f"voc20b/{split}",
        _voc_pairs(root, split),
        bundled_classes("voc").with_background(0),
        words=(*names, *others),
        background="background",
    )


def context59(root: Path, split: str) -> MaskDataset:
    """PASCAL Context, 59 classes: the background (0) is void."""
    return MaskDataset(f"pc59/{split}", _context_pairs(root, split), bundled_classes("context59"))


def context60(root: Path, split: str) -> MaskDataset:
    """PASCAL Context with the background (0) as a class."""
    classes = bundled_classes("context59").with_background(0)
    pairs = _context_pairs(root, split)
    return MaskDataset(f"pc60/{split}", pairs, classes, background="background")


def context459(root: Path, split: str) -> MaskDataset:
    """PASCAL Context, all 459 classes, from the MATLAB files it was published as."""
    base = root / "VOCdevkit" / "VOC2010"
    pairs = [
        Pair(name, base / "JPEGImages" / f"{name}.jpg", base / "trainval" / f"{name}.mat")
        for name in _context_names(base, split)
    ]
    return MaskDataset(f"pc459/{split}", pairs, bundled_classes("context459"), read=read_label_map)


def read_label_map(path: Path) -> np.ndarray:
    """Read the ``LabelMap`` of a MATLAB file, (H, W) int64: 1..459.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the path, if it is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        labels = np.asarray(scipy.io.loadmat(path)["LabelMap"])
    except Exception as error:  # scipy raises whatever its parser meets in a damaged file
        raise ValueError(f"{path}: expected a MATLAB file with LabelMap ({error!r})") from None
    if labels.ndim != 2:
        raise ValueError(f"{path}: expected LabelMap (H, W), got {labels.shape}")
    return labels.astype(np.int64)


def _voc_pairs(root: Path, split: str) -> list[Pair]:
    base = root / "VOCdevkit" / "VOC2012"
    pairs = []
    for name in read_list(base / "ImageSets" / "Segmentation" / f"{split}.txt"):
        mask = base / "SegmentationClass" / f"{name}.png"
        augmented = base / "SegmentationClassAug" / f"{name}.png"
        if not mask.exists() and augmented.exists():
            mask = augmented
        pairs.append(Pair(name, base / "JPEGImages" / f"{name}.jpg", mask))
    return pairs


def _context_pairs(root: Path, split: str) -> list[Pair]:
    base = root / "VOCdevkit" / "VOC2010"
    masks = base / "SegmentationClassContext"
    return [
        Pair(name, base / "JPEGImages" / f"{name}.jpg", masks / f"{name}.png")
        for name in _context_names(base, split)
    ]


def _context_names(base: Path, split: str) -> list[str]:
    listed = base / "ImageSets" / "SegmentationContext" / f"{split}.txt"
    other = base / f"pascalcontext_{split}.txt"
    return read_list(other if not listed.exists() and other.exists() else listed)
