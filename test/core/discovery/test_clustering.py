"""Batched k-means, alignment, votes and the majority filter against naive versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from ovseg_ros.discovery import clustering
from ovseg_ros.discovery.clustering import (
    align,
    drop_empty,
    kmeans,
    majority_filter,
    spherical_kmeans,
    vote,
)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _naive(points: np.ndarray, centres: np.ndarray, iterations: int) -> tuple[np.ndarray, float]:
    """Lloyd's k-means one point and one centre at a time."""
    centres = centres.copy()

    def assign() -> tuple[np.ndarray, np.ndarray]:
        distances = np.array([[np.linalg.norm(p - c) for c in centres] for p in points])
        return distances.argmin(1), distances.min(1)

    for _ in range(iterations):
        labels, _ = assign()
        for k in range(len(centres)):
            if (labels == k).any():
                centres[k] = points[labels == k].mean(0)
    labels, distances = assign()
    return labels, float((distances**2).sum())


def test_positional_code_by_hand() -> None:
    code = clustering.positional_code((2, 3), 8)
    assert code.shape == (6, 8)
    row, column = 1, 2
    frequencies = [1.0, 10_000 ** (-2 / 4)]
    expected = [f(row * w) for w in frequencies for f in (np.sin, np.cos)]
    expected += [f(column * w) for w in frequencies for f in (np.sin, np.cos)]
    np.testing.assert_allclose(code[row * 3 + column], expected, rtol=1e-5)


@pytest.mark.parametrize("dims", [-4, 2, 6])
def test_positional_code_wants_multiples_of_four(dims: int) -> None:
    with pytest.raises(ValueError, match="positional_dims"):
        clustering.positional_code((2, 2), dims)


def test_no_positional_code() -> None:
    assert clustering.positional_code((2, 3), 0).shape == (6, 0)


def test_batched_kmeans_equals_naive_loops() -> None:
    points = torch.randn(30, 6, generator=_generator()) + 0.5
    ks, inits, iterations = (2, 3, 5), 3, 12
    starts = torch.rand(len(ks) * inits, 30, generator=_generator(7)).argsort(1).numpy()
    found = kmeans(
        points, ks, inits=inits, iterations=iterations, tolerance=0.0, generator=_generator(7)
    )
    for row, k in enumerate(ks):
        runs = [
            _naive(points.numpy(), points.numpy()[starts[row * inits + i, :k]], iterations)
            for i in range(inits)
        ]
        labels, inertia = min(runs, key=lambda run: run[1])
        np.testing.assert_array_equal(found.labels[row].numpy(), labels)
        assert float(found.inertia[row]) == pytest.approx(inertia, rel=1e-4)


def test_kmeans_is_lloyd_on_raw_vectors_from_the_same_starts() -> None:
    from sklearn.cluster import KMeans

    # Lengths differ: clusters of directions would be others.
    points = torch.randn(120, 8, generator=_generator()) * torch.linspace(0.2, 4, 120)[:, None]
    starts = torch.rand(3, 120, generator=_generator(5)).argsort(1)[:, :6]
    for row in starts:
        reference = KMeans(
            6, init=points[row].numpy(), n_init=1, tol=0, algorithm="lloyd", max_iter=300
        ).fit(points.numpy())
        ours = kmeans(points, [6], inits=1, iterations=300, tolerance=1e-6, starts=row[None])
        np.testing.assert_array_equal(ours.labels[0].numpy(), reference.labels_)
        assert float(ours.inertia[0]) == pytest.approx(reference.inertia_, rel=1e-5)


def test_kmeans_far_from_the_origin() -> None:
    points = torch.randn(80, 5, generator=_generator())
    near, far = (kmeans(p, [4], generator=_generator(1)).labels for p in (points, points + 500))
    assert torch.equal(near, far)


def test_kmeans_is_as_good_as_scikit_learns() -> None:
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    centres = F.normalize(torch.randn(5, 16, generator=_generator()), dim=1)
    truth = torch.arange(200) % 5
    points = F.normalize(
        centres[truth] + 0.1 * torch.randn(200, 16, generator=_generator(1)), dim=1
    )
    reference = KMeans(5, n_init=8, random_state=0).fit_predict(points.numpy())
    ours = kmeans(points, [5], generator=_generator()).labels[0].numpy()
    assert adjusted_rand_score(reference, ours) == 1.0


def test_kmeans_keeps_to_each_k_and_is_deterministic() -> None:
    points = torch.randn(50, 4, generator=_generator())
    first = kmeans(points, range(1, 9), generator=_generator(3))
    again = kmeans(points, range(1, 9), generator=_generator(3))
    other = kmeans(points, range(1, 9), generator=_generator(4))
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, other.labels)
    assert (first.labels.amax(1) < torch.arange(1, 9)).all()
    assert (first.labels[0] == 0).all()


def test_kmeans_of_identical_points() -> None:
    found = kmeans(torch.ones(9, 4), [2, 3], generator=_generator())
    assert torch.isfinite(found.inertia).all()


@pytest.mark.parametrize("ks", [[], [0], [2, 10]])
def test_kmeans_refuses_impossible_k(ks: list[int]) -> None:
    with pytest.raises(ValueError, match="ks: expected"):
        kmeans(torch.randn(9, 2), ks)


def test_directions_are_clustered_whatever_their_length() -> None:
    points = torch.tensor([[1.0, 0], [3, 0.1], [0, 2], [0.1, 1]])
    labels = spherical_kmeans(points, 2)
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_resize_labels_is_nearest() -> None:
    labels = torch.tensor([[0, 1], [2, 3]])
    assert clustering.resize_labels(labels, (2, 2)) is labels
    assert clustering.resize_labels(labels, (3, 4)).tolist() == [
        [0, 0, 1, 1],
        [2, 2, 3, 3],
        [2, 2, 3, 3],
    ]
    many = torch.arange(24 * 24).view(1, 24, 24)
    exact = F.interpolate(many[None].double(), size=(32, 32), mode="nearest-exact")[0].long()
    assert torch.equal(clustering.resize_labels(many, (32, 32)), exact)


def test_align_recovers_permuted_and_split_clusters() -> None:
    reference = np.repeat([0, 1, 2, 3], 10)
    permuted = np.array([2, 0, 3, 1])[reference]
    merged = np.where(reference < 2, 5, reference)  # clusters 0 and 1 are one, with a far label
    aligned = align(np.stack([merged, reference, permuted]))
    np.testing.assert_array_equal(aligned[1], reference)
    np.testing.assert_array_equal(aligned[2], reference)
    assert (aligned[0][20:] == reference[20:]).all()
    assert set(aligned[0][:20]) <= {0, 1}


def test_align_refers_to_the_first_of_the_largest_runs() -> None:
    runs = np.array([[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    aligned = align(runs)
    np.testing.assert_array_equal(aligned[0], runs[0])
    np.testing.assert_array_equal(aligned[1], runs[0])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_align_maximises_iou(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 5, 40), rng.integers(0, 4, 40)
    aligned = align(np.stack([first, second]))

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        return float((a & b).sum() / max((a | b).sum(), 1))

    names, reference = np.unique(second), aligned[0]
    table = np.array([[iou(second == a, reference == b) for b in range(5)] for a in names])
    best = table[linear_sum_assignment(-table)].sum()
    ours = sum(iou(second == a, reference == aligned[1][second == a][0]) for a in names)
    assert ours == pytest.approx(best, abs=1e-5)


def test_vote_by_hand() -> None:
    probabilities = vote(np.array([[0, 1, 1], [0, 1, 0]]))
    assert probabilities.shape == (2, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities[0], [1, 0, 0.5], atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(0), 1, rtol=1e-6)
    assert probabilities.min() > 0


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ([[3]], [[3]]),
        ([[1, 1, 0, 0], [1, 1, 0, 0]], [[1, 1, 0, 0], [1, 1, 0, 0]]),
        # The corner is seen four times by itself (replicate padding): 4 of 9 loses against 5.
        ([[2, 0, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ],
)
def test_majority_filter(labels: list[list[int]], expected: list[list[int]]) -> None:
    np.testing.assert_array_equal(majority_filter(np.array(labels)), expected)


def test_majority_filter_ties_go_to_the_lowest_label() -> None:
    # One round over a line; windows [2 2 1], [2 1 0], [1 0 0], each three times.
    np.testing.assert_array_equal(majority_filter(np.array([[2, 1, 0]]), rounds=1), [[2, 0, 0]])


def test_majority_filter_repeats_until_stable() -> None:
    noisy = np.random.default_rng(0).integers(0, 3, (12, 12))
    stable = majority_filter(noisy, rounds=100)
    np.testing.assert_array_equal(majority_filter(stable, rounds=1), stable)
    np.testing.assert_array_equal(majority_filter(noisy, rounds=0), noisy)
    once_twice = majority_filter(majority_filter(noisy, rounds=1), rounds=1)
    np.testing.assert_array_equal(majority_filter(noisy, rounds=2), once_twice)


def test_drop_empty() -> None:
    found = drop_empty(np.array([[5, 2], [2, 7]]))
    assert found.tolist() == [[1, 0], [0, 2]]
    assert found.dtype == np.int64
