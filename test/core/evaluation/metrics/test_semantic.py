"""Metrics against hand-computed tables and independent implementations."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import confusion_matrix, jaccard_score
from torchmetrics.classification import MulticlassJaccardIndex

from ovseg_ros.evaluation.metrics.semantic import (
    VocabularyScore,
    class_agnostic_iou,
    confusion,
    iou_per_class,
    mean_iou,
    vocabulary_score,
    without_boundaries,
)

#           class 0 .. 2 and void (9)         predictions, 7 is no class
TRUTH = np.array([[0, 0, 1, 1], [0, 1, 1, 9]])
GUESS = np.array([[0, 1, 1, 7], [0, 1, 2, 0]])


def test_confusion_by_hand():
    expected = [[2, 1, 0, 0], [0, 2, 1, 1], [0, 0, 0, 0]]
    assert confusion(TRUTH, GUESS, 3).tolist() == expected


def test_iou_by_hand():
    iou = iou_per_class(confusion(TRUTH, GUESS, 3))
    # class 0: hits 2, union 3; class 1: hits 2, union 4 true + 1 more; class 2: predicted only
    assert iou == pytest.approx([2 / 3, 2 / 5, 0])


def test_the_two_averaging_rules_differ_by_the_class_that_is_only_predicted():
    matrix = confusion(TRUTH, GUESS, 4)
    assert mean_iou(matrix) == pytest.approx((2 / 3 + 2 / 5) / 2)
    assert mean_iou(matrix, "mmseg") == pytest.approx((2 / 3 + 2 / 5) / 3)
    assert np.isnan(iou_per_class(matrix)[3])


def test_unlabelled_pixels_count_as_wrong():
    truth = np.zeros((2, 2), np.uint8)
    guess = np.array([[0, 0], [0, 255]], np.uint8)
    assert mean_iou(confusion(truth, guess, 1)) == 0.75


def test_nothing_to_average_is_nan():
    assert np.isnan(mean_iou(np.zeros((2, 3), np.int64)))
    assert np.isnan(mean_iou(np.zeros((2, 3), np.int64), "mmseg"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: confusion(TRUTH, GUESS[:1], 3), r"predicted: expected shape \(2, 4\)"),
        (lambda: class_agnostic_iou(TRUTH, GUESS[:1]), r"predicted: expected shape \(2, 4\)"),
        (lambda: mean_iou(np.zeros((2, 3)), "coco"), "averaging: expected 'detectron2'"),
        (lambda: iou_per_class(np.zeros((2, 2))), r"matrix: expected \(C, C \+ 1\)"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def masks(top):
    return arrays(np.uint8, (6, 7), elements=st.integers(0, top))


@settings(max_examples=40, deadline=None)
@given(masks(5), masks(6))
def test_confusion_agrees_with_scikit_learn(truth, guess):
    """Classes 0..4; truth 5 is void, predictions 5 and 6 are "no class"."""
    known = truth < 5
    expected = np.zeros((5, 6), np.int64)
    if known.any():
        expected = confusion_matrix(truth[known], np.minimum(guess[known], 5), labels=range(6))[:5]
    assert (confusion(truth, guess, 5) == expected).all()


@settings(max_examples=40, deadline=None)
@given(masks(4), masks(4))
def test_iou_agrees_with_scikit_learn_and_torchmetrics(truth, guess):
    matrix = confusion(truth, guess, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = jaccard_score(
            truth.ravel(), guess.ravel(), labels=range(5), average=None, zero_division=0
        )
        macro = MulticlassJaccardIndex(5)(torch.tensor(guess), torch.tensor(truth)).item()
    assert np.nan_to_num(iou_per_class(matrix)) == pytest.approx(expected)
    assert mean_iou(matrix, "mmseg") == pytest.approx(macro, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(masks(4), masks(4))
def test_matrices_of_parts_add_up(truth, guess):
    parts = confusion(truth[:2], guess[:2], 4) + confusion(truth[2:], guess[2:], 4)
    assert (parts == confusion(truth, guess, 4)).all()


def test_class_agnostic_iou_by_hand():
    truth = np.array([[1, 1, 1, 1], [2, 2, 9, 9]])
    guess = np.array([[5, 5, 5, 6], [6, 6, 6, 6]])
    # label 1: segment 5 has 3 of 4; label 2: segment 6 has 2 of (1 + 2) without the void pixels
    assert class_agnostic_iou(truth, guess, void={9}) == pytest.approx((3 / 4 + 2 / 3) / 2)


def test_class_agnostic_iou_does_not_count_the_unlabelled_as_a_segment():
    truth = np.array([[1, 1, 2, 2]])
    assert class_agnostic_iou(truth, np.array([[0, 0, 7, 7]])) == 0.5
    assert class_agnostic_iou(truth, np.zeros_like(truth)) == 0


@settings(max_examples=40, deadline=None)
@given(masks(3), masks(3), st.permutations(range(1, 5)))
def test_class_agnostic_iou_ignores_names_and_agrees_with_its_definition(truth, guess, names):
    guess = guess + 1
    renamed = np.array([0, *names])[guess]
    pairs = {a: [(truth == a, guess == b) for b in range(1, 5)] for a in np.unique(truth)}
    best = [max((t & g).sum() / (t | g).sum() for t, g in pairs[a]) for a in pairs]
    assert class_agnostic_iou(truth, guess) == pytest.approx(np.mean(best))
    assert class_agnostic_iou(truth, renamed) == pytest.approx(np.mean(best))


def test_class_agnostic_iou_without_ground_truth_is_nan():
    assert np.isnan(class_agnostic_iou(np.full((2, 2), 9), np.ones((2, 2)), void={9}))


MAPPING = {"cup": "mug", "mug": "mug", "hawk": None, "duck": "duck", "floor": "floor"}
SHARES = {"mug": 0.02, "floor": 0.6, "duck": 0.002, "cube": 0.0004, "table": 0.3}


def test_vocabulary_score_by_hand():
    score = vocabulary_score(["cup", "mug", "hawk", "duck", "duck"], MAPPING, SHARES)
    # right: cup, mug, duck (0.2 % is visible); asked for: mug, floor, table (duck is too small)
    assert score == VocabularyScore(right=3, discovered=4, found=1, present=3)
    assert score.precision == 0.75
    assert score.recall == pytest.approx(1 / 3)


def test_a_class_too_small_to_be_seen_makes_a_name_wrong():
    assert vocabulary_score(["die"], {"die": "cube"}, SHARES).right == 0


def test_vocabulary_scores_add_up_and_empty_ones_are_nan():
    total = VocabularyScore(right=1, discovered=2) + VocabularyScore(found=3, present=4)
    assert (total.precision, total.recall) == (0.5, 0.75)
    assert np.isnan(VocabularyScore().precision)
    assert np.isnan(VocabularyScore().recall)


def test_borders_are_left_out_by_hand():
    labels = np.array([[1, 1, 1, 1, 2, 2, 2]] * 3, np.uint16)
    inner = without_boundaries(labels, 1, void=0)
    assert inner.tolist() == [[1, 1, 1, 0, 0, 2, 2]] * 3
    assert inner.dtype == labels.dtype
    assert without_boundaries(labels, 2, void=0).tolist() == [[1, 1, 0, 0, 0, 0, 2]] * 3
    assert (without_boundaries(labels, 0, void=0) == labels).all()


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, (6, 7), elements=st.integers(1, 3)), st.integers(1, 2))
def test_borders_agree_with_their_definition(labels, width):
    inner = without_boundaries(labels, width, void=0)
    for (r, c), value in np.ndenumerate(labels):
        near = labels[
            max(r - width, 0) : r + width + 1,
            max(c - width, 0) : c + width + 1,
        ]
        assert inner[r, c] == (value if (near == value).all() else 0)
