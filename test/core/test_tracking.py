"""Objects keep their ids."""

import itertools

import numpy as np
import pytest

from ovseg_ros.robot_cell.recording import RecordedSequence, category_id
from ovseg_ros.tracking import Tracker, box_overlaps, connected_segments
from ovseg_ros.types import Segment

from .track_scores import TrackScorer


def at(x, y=0, *, category=1, size=10, number=1):
    return Segment(
        id=number, category_id=category, score=1.0, area=size * size, box_xywh=(x, y, size, size)
    )


def test_connected_regions_of_things():
    labels = np.zeros((6, 8), np.uint8)
    labels[0:2, 0:3] = 1
    labels[4:6, 5:8] = 1
    labels[3, 2] = 1  # too small
    labels[0:6, 4] = 2  # stuff
    confidence = np.full(labels.shape, 51, np.uint8)
    ids, segments = connected_segments(labels, confidence, {1, 9}, min_pixels=2)
    assert [(s.id, s.category_id, s.area, s.box_xywh) for s in segments] == [
        (1, 1, 6, (0, 0, 3, 2)),
        (2, 1, 6, (5, 4, 3, 2)),
    ]
    assert segments[0].score == pytest.approx(0.2)
    assert ids.dtype == np.uint16
    assert (ids[0:2, 0:3] == 1).all()
    assert (ids[4:6, 5:8] == 2).all()
    assert np.count_nonzero(ids) == 12


def test_nothing_is_found_in_an_empty_mask():
    ids, segments = connected_segments(np.zeros((4, 4), np.uint16), np.zeros((4, 4), np.uint8), {1})
    assert not ids.any()
    assert segments == ()


def test_overlaps_by_hand():
    # 2x2 boxes: the same; half of each shared (1/3); apart by one (hull 5x2 = 10, union 8).
    first, second = np.array([[0, 0, 2, 2]]), np.array([[0, 0, 2, 2], [1, 0, 3, 2], [3, 0, 5, 2]])
    iou, generalized = box_overlaps(first, second)
    np.testing.assert_allclose(iou, [[1, 1 / 3, 0]])
    np.testing.assert_allclose(generalized, [[1, 1 / 3, -0.2]])


def test_two_objects_of_one_category_pass_each_other():
    tracker, seen = Tracker(), []
    for step in range(11):
        right, left = at(10 * step, 0), at(100 - 10 * step, 8)
        segments = [right, left] if step % 2 else [left, right]  # the order means nothing
        ids = tracker.update(segments, step * 0.1)
        seen.append(ids if step % 2 else ids[::-1])
    assert len(set(seen)) == 1


def test_an_object_comes_back_within_the_gap_only():
    tracker = Tracker(max_gap_s=1.0)
    assert tracker.update([at(0)], 0.0) == (1,)
    assert tracker.update([], 0.5) == ()
    assert tracker.update([at(1)], 1.0) == (1,)
    assert tracker.update([at(1)], 2.1) == (2,)


def test_motion_goes_on_through_lost_images():
    tracker = Tracker(max_gap_s=2.0)
    ids = [tracker.update([at(8 * k)], 0.1 * k)[0] for k in range(5)]
    ids += tracker.update([at(8 * 14)], 1.4)  # 80 pixels, eight boxes, further on
    assert ids == [1] * 6


def test_a_category_that_flickers_is_one_object_and_another_place_is_another():
    tracker = Tracker()
    assert tracker.update([at(0, category=1)], 0.0) == (1,)
    assert tracker.update([at(1, category=2)], 0.1) == (1,)
    assert tracker.update([at(9, category=1)], 0.2) == (2,)


def test_ids_only_rise_and_a_clock_that_is_set_back_begins_anew():
    tracker = Tracker()
    assert tracker.update([at(0), at(50)], 5.0) == (1, 2)
    assert tracker.update([at(0), at(50)], 1.0) == (3, 4)
    assert tracker.update([at(0)], 1.1) == (3,)


def test_one_id_is_never_given_twice_in_an_image():
    rng = np.random.default_rng(0)
    tracker, largest = Tracker(), 0
    for step in range(50):
        segments = [
            at(*rng.integers(0, 40, 2).tolist(), category=int(rng.integers(1, 3)))
            for _ in range(rng.integers(0, 8))
        ]
        ids = tracker.update(segments, step * 0.1)
        assert len(set(ids)) == len(ids)
        new = [i for i in ids if i > largest]
        assert sorted(new) == list(range(largest + 1, largest + 1 + len(new)))
        largest += len(new)


@pytest.mark.parametrize("gap", [-1.0, float("nan")])
def test_a_wrong_gap(gap):
    with pytest.raises(ValueError, match="max_gap_s"):
        Tracker(gap)


@pytest.mark.parametrize("kept", ["all", "a third", "bursts lost"])
def test_objects_of_the_moving_camera_keep_their_ids(kept):
    """With perfect masks every switch would be the tracker's."""
    sequence = RecordedSequence()
    scenery = {"floor", "wall", "table"}
    things = {category_id(n) for n in set(sequence.instance_categories.values()) - scenery}
    stuff = [i for i, name in sequence.instance_categories.items() if name in scenery]
    indices = {
        "all": range(0, 60),
        "a third": range(0, 120, 3),
        "bursts lost": [k for k in range(120) if not (k // 5) % 2],
    }[kept]
    tracker, scorer = Tracker(), TrackScorer()
    for frame in map(sequence.__getitem__, itertools.islice(indices, 60)):
        confidence = np.full_like(frame.labels, 255)
        ids, segments = connected_segments(frame.labels, confidence, things, min_pixels=150)
        tracks = np.array([0, *tracker.update(segments, frame.stamp_s)])
        truth = np.where(np.isin(frame.instance_mask, stuff), 0, frame.instance_mask)
        scorer.add(truth, tracks[ids])
    score = scorer.score()
    assert score.id_switches == 0
    assert score.mota > 0.99
    assert score.hota > 0.99
