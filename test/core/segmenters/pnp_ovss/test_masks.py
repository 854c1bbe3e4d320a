"""Threshold, blur and labels against hand-made and plain versions."""

from __future__ import annotations

import numpy as np
import pytest

from ovseg_ros.segmenters.pnp_ovss.config import MaskConfig
from ovseg_ros.segmenters.pnp_ovss.masks import channels, cut, label, stretch
from ovseg_ros.segmenters.pnp_ovss.reference import plain_channels

PLAIN = MaskConfig(sigma=0.0, crf=False, background="never")


def salience(count: int = 4, side: int = 6) -> np.ndarray:
    return np.random.default_rng(1).random((count, side, side)).astype(np.float32) ** 3


@pytest.mark.parametrize("size", [(60, 80), (48, 48), (5, 7), (1, 1), (3, 200)])
@pytest.mark.parametrize("background", ["always", "few", "never"])
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_channels_equal_the_plain_ones(size, background, sigma):
    config = MaskConfig(background=background, sigma=sigma, threshold=0.4)
    for count in (1, 4):
        found = channels(salience(count), size, config)
        assert found.shape == (1 + count, *size)
        expected = plain_channels(salience(count), size, config)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.isfinite(found).all()


def test_the_threshold_keeps_raw_salience():
    maps = np.array([[[2.0, 3.0], [4.0, 12.0]], [[7.0, 7.0], [7.0, 7.0]]])
    assert cut(maps, 0.2).tolist() == [[[0, 0], [4, 12]], [[0, 0], [0, 0]]]  # (4 - 2) / 10 = 0.2


def test_a_constant_map_says_nothing():
    assert stretch(np.full((2, 2), 3.0)).tolist() == [[0, 0], [0, 0]]
    maps = np.stack([np.full((4, 4), 0.3), np.zeros((4, 4))]).astype(np.float32)
    for config in (PLAIN, MaskConfig(), MaskConfig(background="always", crf=False)):
        labels, confidence = label(maps, np.zeros((20, 30, 3), np.uint8), config)
        assert not labels.any()
        assert np.isfinite(confidence).all()


def test_labels_are_the_strongest_names():
    maps = np.zeros((2, 2, 2), np.float32)
    maps[0, 0, 0], maps[1, 1, 1] = 5.0, 0.1  # each name counts by its own range
    labels, confidence = label(maps, np.zeros((40, 40, 3), np.uint8), PLAIN)
    assert labels[0, 0] == 1
    assert labels[-1, -1] == 2
    assert labels[0, -1] == 0  # nobody is salient there
    assert confidence[0, 0] == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-4)


def test_background_is_where_no_name_is_salient():
    maps = np.zeros((1, 4, 4), np.float32)
    maps[0, 0, 0] = 1.0
    image = np.zeros((32, 32, 3), np.uint8)
    labels, _ = label(maps, image, MaskConfig(crf=False, sigma=0.0, background="few"))
    assert labels[0, 0] == 1
    assert (labels[16:] == 0).all()
    three = np.concatenate([maps, maps[:, ::-1], maps[:, :, ::-1]])
    assert channels(three, (32, 32), MaskConfig(background="few"))[0].max() == 0
    assert channels(three, (32, 32), MaskConfig(background="always"))[0].max() == 1


def test_the_crf_follows_edges():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 40:] = 255
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, :, 0], maps[1, :, 3] = 1.0, 1.0
    coarse, _ = label(maps, image, MaskConfig(background="never", crf=False))
    fine, confidence = label(maps, image, MaskConfig(background="never"))
    truth = np.where(image[..., 0] > 0, 2, 1)
    assert (fine == truth).mean() > max(0.99, (coarse == truth).mean())
    assert confidence.min() >= 0.5


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (1500, 40)])
def test_tiny_and_large_images(size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    labels, confidence = label(salience(), image, MaskConfig(max_side=100))
    assert labels.shape == confidence.shape == size
    assert np.isfinite(confidence).all()
    assert 0 <= labels.min() <= labels.max() <= 4


def test_large_images_are_labelled_small():
    image = np.zeros((400, 800, 3), np.uint8)
    small, _ = label(salience(), image[::8, ::8], PLAIN)
    large, _ = label(salience(), image, MaskConfig(**{**PLAIN.__dict__, "max_side": 100}))
    assert large.shape == (400, 800)
    np.testing.assert_array_equal(large[4::8, 4::8], small)


def test_corners_of_the_patches_are_corners_of_the_image():
    """Enlarged as the authors do: the first and the last patch stand at the border."""
    salience = np.zeros((1, 2, 3), np.float32)
    salience[0, 0] = 1.0, 0.5, 0.0
    config = MaskConfig(threshold=0.0, sigma=0.0, background="never")
    found = channels(salience, (5, 9), config)[1]
    across = np.linspace(1.0, 0.0, 9)  # no plateau at the ends
    np.testing.assert_allclose(found[0], across, atol=1e-6)
    np.testing.assert_allclose(found[-1], 0.0, atol=1e-6)
    np.testing.assert_allclose(found[:, 0], np.linspace(1.0, 0.0, 5), atol=1e-6)
