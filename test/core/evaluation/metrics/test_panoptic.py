"""Panoptic quality against hand-computed tables and COCO's definition written down anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ovseg_ros.evaluation.datasets import Segment, Segments
from ovseg_ros.evaluation.metrics.panoptic import ClassCounts, mean_quality, regions, score_segments


def truth(ids, **labels):
    """Segments by id: ``s3=1`` is a segment 3 of class 1, ``c3=1`` a crowd."""
    of = {int(k[1:]): Segment(label, crowd=k[0] == "c") for k, label in labels.items()}
    return Segments(ids=np.array(ids, np.int32), of=of)


def test_a_match_by_hand():
    true = truth([[1, 1, 1, 1, 2, 2]], s1=1, s2=1)
    found = score_segments(true, np.array([[1, 1, 1, 2, 2, 2]]), {1: 1, 2: 1})
    # 3 of 4 pixels and 2 of 3: both match
    assert found == {1: ClassCounts(iou=3 / 4 + 2 / 3, matched=2)}
    assert found[1].quality == pytest.approx((3 / 4 + 2 / 3) / 2)


def test_half_is_no_match():
    found = score_segments(truth([[1, 1, 0, 0]], s1=1), np.array([[1, 0, 0, 0]]), {1: 1})
    assert found == {1: ClassCounts(missed=1, wrong=1)}


def test_another_class_is_no_match():
    found = score_segments(truth([[1, 1]], s1=1), np.array([[1, 1]]), {1: 2})
    assert found == {1: ClassCounts(missed=1), 2: ClassCounts(wrong=1)}


def test_predictions_on_void_leave_the_union_and_are_no_false_positives():
    true = truth([[1, 1, 0, 0, 0, 0]], s1=1)
    found = score_segments(true, np.array([[1, 1, 1, 1, 2, 2]]), {1: 1, 2: 1})
    assert found == {1: ClassCounts(iou=1.0, matched=1)}


def test_a_segment_without_meaning_is_void():
    true = truth([[1, 1, 5, 5]], s1=1)  # 5 is in the picture, not in the list
    found = score_segments(true, np.array([[1, 1, 1, 1]]), {1: 1})
    assert found == {1: ClassCounts(iou=1.0, matched=1)}


def test_crowds_are_neither_missed_nor_matched():
    true = truth([[1, 1, 1, 1, 2, 2]], c1=1, s2=2)
    on_crowd = score_segments(true, np.array([[1, 1, 1, 0, 2, 2]]), {1: 1, 2: 2})
    assert on_crowd == {1: ClassCounts(), 2: ClassCounts(iou=1.0, matched=1)}
    assert mean_quality(on_crowd).classes == 1  # class 1 has no segment that counts
    other = score_segments(true, np.array([[1, 1, 1, 0, 0, 0]]), {1: 3})
    assert other == {2: ClassCounts(missed=1), 3: ClassCounts(wrong=1)}


def test_exactly_half_on_void_is_a_false_positive():
    true = truth([[1, 1, 1, 1, 0]], s1=1)
    found = score_segments(true, np.array([[0, 0, 0, 1, 1]]), {1: 1})
    assert found == {1: ClassCounts(missed=1, wrong=1)}


def test_mean_quality_by_hand():
    counts = {
        1: ClassCounts(iou=1.6, matched=2, wrong=1, missed=1),
        2: ClassCounts(missed=2),
        3: ClassCounts(),
    }
    score = mean_quality(counts)
    assert (score.sq, score.rq) == (pytest.approx(0.8 / 2), pytest.approx(2 / 3 / 2))
    assert score.pq == pytest.approx(1.6 / 3 / 2)
    assert score.classes == 2
    assert mean_quality(counts, {1, 9}).pq == pytest.approx(1.6 / 3)
    assert np.isnan(mean_quality(counts, {9}).pq)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"predicted: expected shape \(1, 2\), got \(2, 1\)"):
        score_segments(truth([[1, 1]], s1=1), np.ones((2, 1), int), {1: 1})


def definition(true, predicted, labels):
    """PQ's counts pixel set by pixel set, as the paper and COCO's evaluation state them."""
    t = {i: set(np.flatnonzero(true.ids.ravel() == i).tolist()) for i in np.unique(true.ids)}
    p = {i: set(np.flatnonzero(predicted.ravel() == i).tolist()) for i in np.unique(predicted)}
    void = set().union(*(pixels for i, pixels in t.items() if i not in true.of))
    t = {i: pixels for i, pixels in t.items() if i in true.of}
    p = {i: pixels for i, pixels in p.items() if i in labels}
    result = {}
    for label in {s.label for i, s in true.of.items() if i in t} | {labels[i] for i in p}:
        single = [i for i in t if true.of[i] == Segment(label, crowd=False)]
        crowd = set().union(*(t[i] for i in t if true.of[i] == Segment(label, crowd=True)))
        pairs = [
            (i, j, len(t[i] & p[j]) / len(t[i] | (p[j] - void)))
            for i in single
            for j in p
            if labels[j] == label and (t[i] | (p[j] - void))
        ]
        pairs = [pair for pair in pairs if pair[2] > 0.5]
        alone = [j for j in p if labels[j] == label and j not in {pair[1] for pair in pairs}]
        wrong = [j for j in alone if not len(p[j] & (void | crowd)) / len(p[j]) > 0.5]
        counts = (sum(x[2] for x in pairs), len(pairs), len(wrong), len(single) - len(pairs))
        result[label] = counts
    return result


@settings(max_examples=80, deadline=None)
@given(
    arrays(np.int32, (4, 6), elements=st.integers(0, 4)),
    arrays(np.int32, (4, 6), elements=st.integers(0, 4)),
    st.lists(st.tuples(st.integers(1, 2), st.booleans()), min_size=3, max_size=4),
    st.lists(st.integers(1, 2), min_size=4, max_size=4),
)
def test_agrees_with_the_definition(ids, predicted, meaning, labels):
    of = {i: Segment(label, crowd) for i, (label, crowd) in enumerate(meaning, start=1)}
    true, labels = Segments(ids=ids, of=of), dict(enumerate(labels, start=1))
    found = score_segments(true, predicted, labels)
    expected = definition(true, predicted, labels)
    found = {k: (c.iou, c.matched, c.wrong, c.missed) for k, c in found.items()}
    for label, counts in expected.items():
        assert found.get(label, (0, 0, 0, 0)) == pytest.approx(counts)
    assert set(found) <= set(expected)


def test_regions_of_things_are_components_and_stuff_is_one():
    classes = np.array([[1, 1, 0, 2, 0], [0, 0, 1, 0, 0], [2, 0, 0, 0, 1]])
    found = regions(classes, things={1})
    assert len(found.labels) == 3
    parts = {i: int((found.ids == i).sum()) for i in found.labels}
    assert sorted((found.labels[i], n) for i, n in parts.items()) == [(1, 1), (1, 3), (2, 2)]
    assert ((found.ids > 0) == (classes > 0)).all()


@pytest.mark.parametrize("things", [255, 256, 300])
def test_stuff_after_many_things_is_a_segment(things):
    classes = np.zeros((2, 2 * things), np.uint8)
    classes[0, ::2] = 1
    classes[1, 1:] = 0
    classes[1, -1] = 2
    found = regions(classes, things={1})
    assert len(found.labels) == things + 1
    assert found.labels[int(found.ids[1, -1])] == 2


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, (5, 6), elements=st.integers(0, 3)))
def test_a_mask_scored_by_itself_is_perfect(classes):
    parts = regions(classes, things={1, 2})
    true = Segments(ids=parts.ids, of={i: Segment(c, False) for i, c in parts.labels.items()})
    score = mean_quality(score_segments(true, parts.ids, parts.labels))
    assert score.classes == len(np.unique(classes[classes > 0]))
    if score.classes:
        assert (score.pq, score.sq, score.rq) == (1, 1, 1)
