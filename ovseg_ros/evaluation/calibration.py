"""How far a confidence can be trusted: of pixels said to be 80 % sure, are 80 % right?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import mannwhitneyu

from ovseg_ros.evaluation.datasets import Dataset
from ovseg_ros.segmenters.base import Segmenter
from ovseg_ros.types import Vocabulary

BINS = 20


@dataclass(frozen=True)
class Reliability:
    """Pixels by their confidence.

    Attributes:
        counts: Pixels in each of 20 equal ranges of the confidence, (20,) int64.
        right: How many of them have the true label, (20,) int64.
        sums: Sum of their confidences in [0, 1], (20,) float64.
    """

    counts: np.ndarray
    right: np.ndarray
    sums: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of confidence and accuracy, by pixels."""
        total = max(1, int(self.counts.sum()))
        return float(np.abs(self.right - self.sums).sum() / total)

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean confidence and accuracy of the ranges that hold pixels."""
        held = self.counts > 0
        return self.sums[held] / self.counts[held], self.right[held] / self.counts[held]


def reliability(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """Count pixels.

    Args:
        confidence: (N,) in [0, 1].
        right: (N,) bool.
    """
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return Reliability(
        np.bincount(place, minlength=BINS),
        np.bincount(place, weights=right, minlength=BINS).astype(np.int64),
        np.bincount(place, weights=confidence, minlength=BINS),
    )


def measure(segmenter: Segmenter, dataset: Dataset, indices: Sequence[int]) -> Reliability:
    """Segment images with the true classes' names; count every fourth pixel that has a label."""
    vocabulary = Vocabulary.of(*dataset.words)
    confidences, rights = [], []
    for index in indices:
        sample = dataset[index]
        result = segmenter.segment(sample.image[None], vocabulary)
        known = _counted(sample.labels)
        confidences.append(result.confidence[0][known] / 255)
        rights.append(result.labels[0][known] == sample.labels[known])
    return reliability(np.concatenate(confidences), np.concatenate(rights))


def _counted(labels: np.ndarray) -> np.ndarray:
    """Return every fourth pixel that has a label, (H, W) bool."""
    counted = labels > 0
    counted[1::2] = counted[:, 1::2] = False
    return counted


@dataclass(frozen=True)
class Strangers:
    """How sure a segmenter is that a pixel has one of the names; not at all where it gives none.

    Attributes:
        known: Mean confidence in [0, 1] where the true name was given.
        unknown: The same where it was not, and every answer is wrong.
        auroc: Probability that a pixel of the first kind is surer than one of the second.
    """

    known: float
    unknown: float
    auroc: float


def measure_strangers(
    segmenter: Segmenter, dataset: Dataset, indices: Sequence[int], names: Sequence[str]
) -> Strangers:
    """Segment images with only some of their classes' names.

    Args:
        segmenter: The segmenter.
        dataset: Images with labels.
        indices: Which of them.
        names: The names that are given; at least one class must be none of them.

    Raises:
        ValueError: if there is no pixel of either kind.
    """
    vocabulary = Vocabulary.of(*names)
    given = np.array([False, *(name in names for name in dataset.classes)])
    known, unknown = [], []
    for index in indices:
        sample = dataset[index]
        result = segmenter.segment(sample.image[None], vocabulary)
        confidence = np.where(result.labels[0] > 0, result.confidence[0] / 255, 0.0)
        counted = _counted(sample.labels)
        named = given[sample.labels]
        known.append(confidence[counted & named])
        unknown.append(confidence[counted & ~named])
    near, far = np.concatenate(known), np.concatenate(unknown)
    if not (len(near) and len(far)):
        raise ValueError(
            f"names: expected pixels with and without a name, got {len(near)} and {len(far)}"
        )
    auroc = mannwhitneyu(near, far).statistic / (len(near) * len(far))
    return Strangers(float(near.mean()), float(far.mean()), float(auroc))


def draw(curves: dict[str, Reliability], path: Path) -> None:
    """Draw reliability curves, by name, to a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="gray", linestyle=":")
    for name, found in curves.items():
        axes.plot(*found.curve(), marker="o", label=f"{name} (error {found.error:.3f})")
    axes.set(xlabel="confidence", ylabel="share of pixels that are right", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
