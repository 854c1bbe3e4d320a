"""Dense CRFs on pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ovseg_ros.models import crf, mean_field

SHAPES = [(1, 4, 4), (2, 1, 1), (3, 5, 9)]


def _noisy(share: float = 0.5, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return four regions (side, side) and the votes of 14 unreliable runs (4, side, side)."""
    rng = np.random.default_rng(0)
    truth = np.zeros((side, side), dtype=np.int64)
    truth[side // 2 :] = 1
    truth[:, 3 * side // 4 :] = 2
    truth[8:20, 10:20] = 3
    runs = np.where(
        rng.random((14, side, side)) < share, truth, rng.integers(0, 4, (14, side, side))
    )
    votes = (runs[None] == np.arange(4)[:, None, None, None]).mean(1) + 1e-6
    return truth, (votes / votes.sum(0)).astype(np.float32)


@pytest.mark.parametrize("smooth", [crf.smooth, mean_field.smooth])
def test_smoothing_repairs_noise(smooth) -> None:  # type: ignore[no-untyped-def]
    truth, votes = _noisy(0.2)
    before = (votes.argmax(0) == truth).mean()
    after = (smooth(votes).argmax(0) == truth).mean()
    assert before < 0.75
    assert after > 0.95


def test_channels_come_first() -> None:
    truth, votes = _noisy()
    right = (crf.smooth(votes).argmax(0) == truth).mean()
    mixed = np.ascontiguousarray(votes.transpose(1, 2, 0)).reshape(votes.shape)
    assert right > 0.98
    assert (crf.smooth(mixed).argmax(0) == truth).mean() < right - 0.2


@pytest.mark.parametrize("smooth", [crf.smooth, mean_field.smooth])
@pytest.mark.parametrize("shape", SHAPES)
def test_probabilities_stay_probabilities(smooth, shape: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    values = np.random.default_rng(0).random(shape, dtype=np.float32)
    found = smooth(values / values.sum(0))
    assert found.shape == shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(0), 1, rtol=1e-5)


@pytest.mark.parametrize("smooth", [crf.smooth, mean_field.smooth])
def test_no_iterations_change_nothing(smooth) -> None:  # type: ignore[no-untyped-def]
    _, votes = _noisy()
    np.testing.assert_allclose(smooth(votes, iterations=0), votes, atol=1e-5)


def test_torch_agrees_with_the_reference() -> None:
    _, votes = _noisy()
    reference, ours = crf.smooth(votes), mean_field.smooth(votes)
    assert (reference.argmax(0) == ours.argmax(0)).mean() > 0.99


def test_mean_field_against_a_dense_matrix() -> None:
    _, votes = _noisy(side=24)
    votes = votes[:, 8:14, 8:15]
    weight, theta, iterations = 2.0, 1.1, 3
    rows, columns = np.mgrid[0:6, 0:7].reshape(2, -1)
    squared = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    kernel = np.exp(-squared / (2 * theta**2)) * (squared <= 1e9)
    reach = round(4 * theta)
    near = (abs(rows[:, None] - rows) <= reach) & (abs(columns[:, None] - columns) <= reach)
    kernel = kernel * near
    scale = 1 / np.sqrt(kernel.sum(1))
    kernel = scale[:, None] * kernel * scale
    logits = np.log(votes.reshape(4, -1).astype(np.float64))
    belief = np.exp(logits) / np.exp(logits).sum(0)
    for _ in range(iterations):
        energy = np.exp(logits + weight * belief @ kernel)
        belief = energy / energy.sum(0)
    found = mean_field.mean_field(
        torch.from_numpy(votes.copy()), weight=weight, theta=theta, iterations=iterations
    )
    np.testing.assert_allclose(found.numpy().reshape(4, -1), belief, atol=1e-4)


def test_dense_crf_finds_the_images_edge() -> None:
    image = np.full((40, 60, 3), 30, dtype=np.uint8)
    image[:, 25:] = 220
    coarse = np.full((2, 40, 60), 0.25, dtype=np.float32)
    coarse[0, :, :30] = coarse[1, :, 30:] = 0.75  # five columns too far
    truth = np.broadcast_to(np.arange(60) >= 25, (40, 60))
    found = crf.dense_crf(coarse, image).argmax(0)
    assert (coarse.argmax(0) == truth).mean() < 0.95
    assert (found == truth).mean() > 0.99
    off = crf.CrfConfig(smooth_weight=0.0, colour_weight=0.0)
    np.testing.assert_array_equal(crf.dense_crf(coarse, image, off).argmax(0), coarse.argmax(0))


def test_refine_labels() -> None:
    image = np.full((40, 60, 3), 30, dtype=np.uint8)
    image[:, 25:] = 220
    found = crf.refine_labels(np.array([[0, 0, 1, 1]] * 3), image)
    assert found.shape == (40, 60)
    assert (found == (np.arange(60) >= 25)).mean() > 0.99


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((4, 4), np.float32), "expected \\(C, H, W\\)"),
        (np.ones((0, 4, 4), np.float32), "expected \\(C, H, W\\)"),
        (np.full((2, 4, 4), 2.0), "values in \\[0, 1\\]"),
        (np.full((2, 4, 4), np.nan), "values in \\[0, 1\\]"),
    ],
)
def test_wrong_probabilities(values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crf.smooth(values)


def test_wrong_image() -> None:
    with pytest.raises(ValueError, match="image: expected the size"):
        crf.dense_crf(np.ones((1, 4, 4), np.float32), np.zeros((4, 5, 3), np.uint8))
