"""Metrics of segmentations and vocabularies, as pure functions of numpy arrays.

A confusion matrix here is (C, C + 1) int64: row = ground-truth class, column = predicted class,
and the last column counts pixels predicted as none of the classes. Those are wrong, never ignored.
Pixels whose ground truth is void are not in the matrix at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

Averaging = Literal["detectron2", "mmseg"]


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count the pixels of every pair of true and predicted class.

    Args:
        truth: Class indices, any shape, integer; values outside 0..classes-1 are void.
        predicted: Class indices in the same shape; values outside 0..classes-1 mean "no class".
        classes: Number of classes C.

    Returns:
        (C, C + 1) int64, see the module's docstring. Matrices of several images are summed.

    Raises:
        ValueError: if the shapes differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"predicted: expected shape {truth.shape}, got {predicted.shape}")
    true = truth.ravel().astype(np.int64)
    guess = predicted.ravel().astype(np.int64)
    known = (true >= 0) & (true < classes)
    guess = np.where((guess >= 0) & (guess < classes), guess, classes)
    pairs = true[known] * (classes + 1) + guess[known]
    counts = np.bincount(pairs, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1)


def iou_per_class(matrix: np.ndarray) -> np.ndarray:
    """Return the intersection over union of every class, (C,) float64, NaN where undefined.

    Undefined is a class that is neither in the ground truth nor predicted anywhere.
    """
    hits, union = _hits_and_union(matrix)
    with np.errstate(invalid="ignore"):
        return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


def mean_iou(matrix: np.ndarray, averaging: Averaging = "detectron2") -> float:
    """Return the mean IoU over the classes that count.

    Args:
        matrix: A confusion matrix as :func:`confusion` makes it.
        averaging: ``detectron2`` averages over the classes present in the ground truth, ``mmseg``
            over the classes with a non-zero union (a class that is only predicted counts as 0).

    Returns:
        The mean in [0, 1], NaN if no class counts.
    """
    if averaging == "detectron2":
        counts = matrix.sum(1) > 0
    elif averaging == "mmseg":
        counts = _hits_and_union(matrix)[1] > 0
    else:
        raise ValueError(f"averaging: expected 'detectron2' or 'mmseg', got {averaging!r}")
    return float(iou_per_class(matrix)[counts].mean()) if counts.any() else float("nan")


def _hits_and_union(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    classes = len(matrix)
    if matrix.shape != (classes, classes + 1):
        raise ValueError(f"matrix: expected (C, C + 1), got {matrix.shape}")
    hits = np.diagonal(matrix)
    return hits, matrix.sum(1) + matrix[:, :classes].sum(0) - hits


def class_agnostic_iou(
    truth: np.ndarray, predicted: np.ndarray, *, void: Collection[int] = (), unlabelled: int = 0
) -> float:
    """Return one image's class-agnostic mean IoU: does *some* segment cover each true label?

    For every ground-truth label the best IoU over all predicted segments is taken, whatever they
    are called, and averaged over the labels. Pixels with void ground truth are left out.

    Args:
        truth: Labels, (H, W) integer.
        predicted: Segment labels, (H, W) integer; every distinct value but one is a segment.
        void: Values of ``truth`` to leave out.
        unlabelled: The value of ``predicted`` that is no segment.

    Returns:
        The mean in [0, 1], NaN if the image has no ground truth.

    Raises:
        ValueError: if the shapes differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"predicted: expected shape {truth.shape}, got {predicted.shape}")
    known = ~np.isin(truth, list(void))
    if not known.any():
        return float("nan")
    labels, row = np.unique(truth[known], return_inverse=True)
    segments, column = np.unique(predicted[known], return_inverse=True)
    shape = (len(labels), len(segments))
    both = np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape)
    union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
    iou = np.where(segments == unlabelled, 0.0, both / union)
    return float(iou.max(1).mean())


@dataclass(frozen=True, kw_only=True)
class VocabularyScore:
    """How many of an image's names were found, and how many found names are in the image.

    Attributes:
        right: Discovered names that name something in the image.
        discovered: All discovered names.
        found: Classes of the image that some discovered name names.
        present: All classes of the image that are large enough to be asked for.
    """

    right: int = 0
    discovered: int = 0
    found: int = 0
    present: int = 0

    def __add__(self, other: VocabularyScore) -> VocabularyScore:
        """Add the counts of another image."""
        return VocabularyScore(
            right=self.right + other.right,
            discovered=self.discovered + other.discovered,
            found=self.found + other.found,
            present=self.present + other.present,
        )

    @property
    def precision(self) -> float:
        """Share of the discovered names that are right; NaN if none was discovered."""
        return self.right / self.discovered if self.discovered else float("nan")

    @property
    def recall(self) -> float:
        """Share of the present classes that were found; NaN if none is present."""
        return self.found / self.present if self.present else float("nan")


def vocabulary_score(
    names: Iterable[str],
    mapping: Mapping[str, str | None],
    shares: Mapping[str, float],
    *,
    visible: float = 0.001,
    asked: float = 0.005,
) -> VocabularyScore:
    """Score the discovered names of one image against the classes that are in it.

    Args:
        names: Discovered names.
        mapping: For every name its class, or None (see :mod:`ovseg_ros.evaluation.mapping`).
        shares: For every class in the image its share of the image, in [0, 1].
        visible: A name is right if its class covers at least this share.
        asked: A class must be found if it covers at least this share.
    """
    distinct = list(dict.fromkeys(names))
    classes = [mapping[name] for name in distinct]
    seen = {name for name, share in shares.items() if share >= visible}
    wanted = {name for name, share in shares.items() if share >= asked}
    return VocabularyScore(
        right=sum(name in seen for name in classes),
        discovered=len(distinct),
        found=len(wanted & set(classes)),
        present=len(wanted),
    )


def without_boundaries(labels: np.ndarray, width_px: int, *, void: int) -> np.ndarray:
    """Return labels with a band around every border of the ground truth set to void.

    mIoU on the rest ("boundary-free") tells wrong names from ragged edges.

    Args:
        labels: (H, W) uint8 or uint16.
        width_px: Pixels whose square neighbourhood of this radius holds another label go.
        void: What they become.
    """
    if width_px < 1:
        return labels
    kernel = np.ones((2 * width_px + 1, 2 * width_px + 1), np.uint8)
    edge = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    return np.where(edge, labels.dtype.type(void), labels)
