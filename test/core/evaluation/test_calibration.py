"""Calibration by hand-made numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.evaluation.calibration import draw, reliability


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
