"""Steadiness over time, by hand and by definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ovseg_ros.evaluation.metrics.temporal import (
    label_churn,
    time_to_stable,
    video_consistency,
    vocabulary_jaccard,
)

TRUTH = [np.array([[1, 2, 9, 1]]), np.array([[1, 2, 9, 2]]), np.array([[1, 2, 9, 2]])]
GUESS = [np.array([[1, 2, 1, 1]]), np.array([[1, 1, 2, 2]]), np.array([[1, 2, 3, 2]])]


def test_video_consistency_by_hand():
    # window 0-1: pixels 0 and 1 are steady, 1 is right in frame 0 only; window 1-2: 0, 1, 3
    assert video_consistency(TRUTH, GUESS, window=2, void={9}) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert video_consistency(TRUTH, GUESS, window=3, void={9}) == 0.5
    assert np.isnan(video_consistency(TRUTH, GUESS, window=4, void={9}))


def test_churn_by_hand():
    # 0 -> 1: pixels 0, 1 are static and 1 changes; 1 -> 2: pixels 0, 1, 3, and 1 changes
    assert label_churn(TRUTH, GUESS, void={9}) == pytest.approx(2 / 5)
    assert np.isnan(label_churn(TRUTH[:1], GUESS[:1]))


VIDEO = arrays(np.uint8, (5, 3, 4), elements=st.integers(0, 2))


@settings(max_examples=30, deadline=None)
@given(VIDEO, VIDEO, st.integers(1, 5))
def test_video_consistency_agrees_with_its_definition(truth, guess, window):
    shares = []
    for start in range(5 - window + 1):
        t, g = truth[start : start + window], guess[start : start + window]
        steady = [tuple(p) for p in np.argwhere((t == t[0]).all(0) & (t[0] != 0))]
        right = [p for p in steady if all(g[k][p] == t[k][p] for k in range(window))]
        shares += [len(right) / len(steady)] if steady else []
    value = video_consistency(list(truth), list(guess), window=window, void={0})
    assert value == pytest.approx(np.mean(shares) if shares else np.nan, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(VIDEO)
def test_the_truth_is_consistent_and_steady(truth):
    frames = list(truth)
    assert video_consistency(frames, frames, window=2) in (1.0, pytest.approx(np.nan, nan_ok=True))
    assert label_churn(frames, frames) in (0.0, pytest.approx(np.nan, nan_ok=True))


def test_frames_must_fit():
    with pytest.raises(ValueError, match="predicted: expected 3 frames of one size"):
        label_churn(TRUTH, GUESS[:2])
    with pytest.raises(ValueError, match="predicted: expected 1 frames of one size"):
        video_consistency(TRUTH[:1], [np.zeros((2, 2))], window=1)
    with pytest.raises(ValueError, match="window: expected at least 1"):
        video_consistency(TRUTH, GUESS, window=0)


def test_vocabulary_jaccard_by_hand():
    words = [("mug", "duck"), ("mug",), ("mug",), ("mug", "table", "arm")]
    assert vocabulary_jaccard(words) == pytest.approx((1 / 2 + 1 + 1 / 3) / 3)
    assert vocabulary_jaccard([(), ()]) == 1
    assert np.isnan(vocabulary_jaccard([("mug",)]))


def test_time_to_stable_by_hand():
    words = [("a",), ("a", "b"), ("a", "b"), ("a", "b")]
    assert time_to_stable(words, [2.0, 3.5, 5.0, 6.5]) == 1.5
    assert time_to_stable(words[1:], [0.0, 1.0, 2.0]) == 0
    assert np.isnan(time_to_stable(words[:2], [0.0, 1.0]))
    with pytest.raises(ValueError, match="stamps: expected one for each of 4"):
        time_to_stable(words, [0.0])
