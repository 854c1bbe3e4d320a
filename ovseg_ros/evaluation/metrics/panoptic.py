"""Panoptic quality (Kirillov et al., CVPR 2019), with the rules of COCO's evaluation.

A predicted and a true segment of one class match if their IoU is above 0.5. Predicted pixels on
void ground truth leave the union; crowds are neither matched nor missed; an unmatched prediction
that lies by more than half on void or on crowds of its class is no false positive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from ovseg_ros.evaluation.datasets.base import Segments


@dataclass(kw_only=True)
class ClassCounts:
    """What one class's segments add up to.

    Attributes:
        iou: Sum of the IoU of the matched pairs.
        matched: Matched pairs (TP).
        wrong: Predicted segments without partner (FP).
        missed: True segments without partner (FN).
    """

    iou: float = 0.0
    matched: int = 0
    wrong: int = 0
    missed: int = 0

    def add(self, other: ClassCounts) -> None:
        """Add the counts of another image."""
        self.iou += other.iou
        self.matched += other.matched
        self.wrong += other.wrong
        self.missed += other.missed

    @property
    def recognition(self) -> float:
        """RQ, the F1 score of the segments; NaN if there is none."""
        total = self.matched + self.wrong / 2 + self.missed / 2
        return self.matched / total if total else float("nan")

    @property
    def segmentation(self) -> float:
        """SQ, the mean IoU of the matched pairs; 0 if there is none."""
        return self.iou / self.matched if self.matched else 0.0

    @property
    def quality(self) -> float:
        """PQ = SQ x RQ; NaN if there is no segment."""
        return self.segmentation * self.recognition


@dataclass(frozen=True, kw_only=True)
class PanopticScore:
    """Means over the classes that have a segment, true or predicted; NaN without any."""

    pq: float
    sq: float
    rq: float
    classes: int


def score_segments(
    truth: Segments, predicted: np.ndarray, labels: Mapping[int, int]
) -> dict[int, ClassCounts]:
    """Count one image's matched, wrong and missed segments by class.

    Args:
        truth: The panoptic ground truth.
        predicted: Predicted segment of every pixel, (H, W) integer; 0 is none.
        labels: Class 1..K of every predicted segment; segments that are not in it do not count.

    Raises:
        ValueError: if the shapes differ.
    """
    if truth.ids.shape != predicted.shape:
        raise ValueError(f"predicted: expected shape {truth.ids.shape}, got {predicted.shape}")
    true_ids, row = np.unique(truth.ids, return_inverse=True)
    ids, column = np.unique(predicted, return_inverse=True)
    shape = (len(true_ids), len(ids))
    pairs = row.ravel() * shape[1] + column.ravel()
    both = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)  # pixels in common
    true_area, area = both.sum(1), both.sum(0)
    known = np.array([int(i) in truth.of for i in true_ids])
    on_void = both[~known].sum(0)
    true = [truth.of.get(int(i)) for i in true_ids]
    guess = [labels.get(int(i)) if i else None for i in ids]

    counts: dict[int, ClassCounts] = {}
    for label in {t.label for t in true if t and not t.crowd} | {g for g in guess if g}:
        mine = [r for r, t in enumerate(true) if t and t.label == label]
        singles = [r for r in mine if not true[r].crowd]  # type: ignore[union-attr]
        crowds = [r for r in mine if r not in singles]
        found = counts.setdefault(label, ClassCounts())
        for c in [c for c, g in enumerate(guess) if g == label]:
            union = [true_area[r] + area[c] - both[r, c] - on_void[c] for r in singles]
            iou = [float(both[r, c] / u) for r, u in zip(singles, union, strict=True)]
            best = max(iou, default=0.0)
            if best > 0.5:  # at most one true segment can overlap by so much
                found.iou += best
                found.matched += 1
            elif on_void[c] + both[crowds, c].sum() <= area[c] / 2:
                found.wrong += 1
        found.missed = len(singles) - found.matched
    return counts


def mean_quality(
    counts: Mapping[int, ClassCounts], classes: Iterable[int] | None = None
) -> PanopticScore:
    """Average PQ, SQ and RQ over the classes, or over some of them (things, stuff).

    Args:
        counts: Counts of a data set by class.
        classes: The classes to average; all by default.
    """
    chosen = counts.keys() if classes is None else set(classes) & counts.keys()
    used = [counts[label] for label in sorted(chosen) if counts[label].recognition >= 0]
    if not used:
        return PanopticScore(pq=float("nan"), sq=float("nan"), rq=float("nan"), classes=0)
    return PanopticScore(
        pq=float(np.mean([c.quality for c in used])),
        sq=float(np.mean([c.segmentation for c in used])),
        rq=float(np.mean([c.recognition for c in used])),
        classes=len(used),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Regions:
    """A semantic mask cut into segments.

    Attributes:
        ids: Segment of every pixel, (H, W) int32; 0 is none.
        labels: Class of every segment.
    """

    ids: np.ndarray
    labels: dict[int, int] = field(default_factory=dict)


def regions(classes: np.ndarray, things: Iterable[int]) -> Regions:
    """Cut a mask of classes into segments: stuff is one segment, things connected components.

    Args:
        classes: Class of every pixel, (H, W) integer, 1..K; 0 is none.
        things: Classes of which every 8-connected component is an instance.
    """
    ids = np.zeros(classes.shape, np.int32)
    labels: dict[int, int] = {}
    countable = set(things)
    for label in np.unique(classes).tolist():
        if label == 0:
            continue
        mask = (classes == label).astype(np.uint8)
        count, parts = (
            cv2.connectedComponents(mask, connectivity=8) if label in countable else (2, mask)
        )
        ids[mask > 0] = parts[mask > 0].astype(np.int32) + len(labels)
        labels.update((len(labels) + 1, label) for _ in range(count - 1))
    return Regions(ids=ids, labels=labels)
