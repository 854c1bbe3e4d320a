"""CLEAR MOT and HOTA by hand. (TrackEval 1.3 gave the same on random masks, to the last digit.)"""

import math

import numpy as np
import pytest

from .track_scores import TrackScorer


def row(*values):
    return np.array([values])


def scored(*frames):
    scorer = TrackScorer()
    for truth, tracks in frames:
        scorer.add(truth, tracks)
    return scorer.score()


def test_perfect():
    score = scored((row(1, 1, 0, 2), row(7, 7, 0, 3)), (row(0, 1, 2, 2), row(0, 7, 3, 3)))
    assert (score.mota, score.id_switches, score.hota) == (1.0, 0, 1.0)
    assert (score.objects, score.misses, score.false_alarms) == (4, 0, 0)


def test_one_switch():
    # One object, four frames; its track changes from 5 to 6 after two of them.
    score = scored(*[(row(1, 1), row(t, t)) for t in (5, 5, 6, 6)])
    assert score.id_switches == 1
    assert score.mota == pytest.approx(1 - 1 / 4)
    # Each hit shares its track with 2 of the object's 4 frames: 2 / (4 + 2 - 2).
    assert score.deta == 1.0
    assert score.assa == pytest.approx(0.5)
    assert score.hota == pytest.approx(math.sqrt(0.5))


def test_a_return_after_a_miss_under_another_id_is_a_switch():
    score = scored(*[(row(1), row(t)) for t in (5, 0, 6)])
    assert (score.id_switches, score.misses, score.false_alarms) == (1, 1, 0)
    assert score.mota == pytest.approx(1 - 2 / 3)


def test_a_miss_and_a_false_alarm():
    # Frame 1: object 1 found, track 9 on nothing. Frame 2: object 1 missed.
    score = scored((row(1, 1, 0), row(4, 4, 9)), (row(1, 1, 0), row(0, 0, 0)))
    assert (score.misses, score.false_alarms, score.id_switches) == (1, 1, 0)
    assert score.mota == pytest.approx(1 - 2 / 2)
    assert score.deta == pytest.approx(1 / 3)  # one hit, one miss, one false alarm
    assert score.assa == pytest.approx(1 / 2)  # track 4 in one of the object's two frames
    assert score.hota == pytest.approx(math.sqrt(1 / 6))


def test_masks_that_overlap_too_little_are_no_match():
    # IoU 1/3: under CLEAR's 0.5; HOTA counts it up to 0.30, 6 of 19 thresholds.
    score = scored((row(1, 1, 0), row(0, 4, 4)))
    assert (score.misses, score.false_alarms) == (1, 1)
    assert score.hota == pytest.approx(6 / 19)


def test_a_match_that_holds_is_kept_though_another_overlaps_more():
    # Frame 2: track 5 still covers half of object 1 (IoU 0.5), track 6 the other half and more.
    first = (row(1, 1, 1, 1), row(5, 5, 5, 5))
    second = (row(1, 1, 1, 1), row(5, 5, 6, 6))
    score = scored(first, second)
    assert (score.id_switches, score.false_alarms) == (0, 1)


def test_frames_without_tracks_or_objects():
    score = scored((row(1), row(0)), (row(0), row(3)), (row(0), row(0)))
    assert (score.hota, score.misses, score.false_alarms) == (0.0, 1, 1)


def test_what_cannot_be_scored():
    with pytest.raises(ValueError, match="expected frames with objects"):
        scored((row(0), row(3)))
    with pytest.raises(ValueError, match=r"expected \(1, 1\) as truth, got \(1, 2\)"):
        scored((row(1), row(1, 2)))
