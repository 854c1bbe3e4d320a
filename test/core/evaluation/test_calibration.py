"""Calibration by hand-made numbers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ovseg_ros.evaluation.calibration import draw, measure_strangers, reliability
from ovseg_ros.evaluation.datasets import Sample
from ovseg_ros.types import Vocabulary


def test_the_error_is_the_distance_of_confidence_and_accuracy():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.32, 0.32])
    found = reliability(confidence, np.array([1, 1, 1, 0, 0, 0], bool))
    assert found.counts.sum() == 6
    # 4 pixels said 0.9 and 3 were right; 2 said 0.32 and none was.
    assert found.error == pytest.approx((0.15 * 4 + 0.32 * 2) / 6)
    said, true = found.curve()
    assert said == pytest.approx([0.32, 0.9]) and true == pytest.approx([0.0, 0.75])


def test_full_confidence_has_a_place_and_a_picture(tmp_path: Path):
    found = reliability(np.array([0.0, 1.0]), np.array([False, True]))
    assert found.error == 0
    draw({"val": found}, tmp_path / "docs" / "curve.png")
    assert (tmp_path / "docs" / "curve.png").stat().st_size > 1000


class Halves:
    """Says 0.2 on the left, 0.6 on the right."""

    def segment(self, images: np.ndarray, vocabulary: Vocabulary) -> Any:
        assert vocabulary.names == ("mug",)
        confidence = np.full(images.shape[:3], 51, np.uint8)
        confidence[..., images.shape[2] // 2 :] = 153
        return SimpleNamespace(confidence=confidence, labels=np.ones(images.shape[:3], np.uint8))


class Cups(list[Sample]):
    """A data set of one image: mug on the left, another class on the right."""

    classes = ("mug", "shoe")

    def __init__(self, right: int) -> None:
        labels = np.ones((4, 8), np.uint8)
        labels[:, 4:] = right
        super().__init__([Sample(id="one", image=np.zeros((4, 8, 3), np.uint8), labels=labels)])


def test_strangers_are_pixels_whose_name_was_not_given():
    found = measure_strangers(Halves(), Cups(right=2), [0], ["mug"])
    assert (found.known, found.unknown, found.auroc) == pytest.approx((0.2, 0.6, 0.0))
    turned = Cups(right=2)
    turned[0].labels[:] = turned[0].labels[:, ::-1]
    found = measure_strangers(Halves(), turned, [0], ["mug"])
    assert (found.known, found.unknown, found.auroc) == pytest.approx((0.6, 0.2, 1.0))


class HalfNamed(Halves):
    """Leaves the right unlabelled, and is sure of it."""

    def segment(self, images: np.ndarray, vocabulary: Vocabulary) -> Any:
        result = super().segment(images, vocabulary)
        result.labels[..., images.shape[2] // 2 :] = 0
        return result


def test_what_stays_unlabelled_is_sure_of_no_name():
    found = measure_strangers(HalfNamed(), Cups(right=2), [0], ["mug"])
    assert (found.known, found.unknown, found.auroc) == pytest.approx((0.2, 0.0, 1.0))


def test_strangers_need_both_kinds():
    with pytest.raises(ValueError, match="names: expected pixels with and without a name, got 8 a"):
        measure_strangers(Halves(), Cups(right=1), [0], ["mug"])
