"""The whole segmenter on tiny models, and its edge cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.segmenters.build import SegmenterConfig, build_segmenter
from ovseg_ros.segmenters.pnp_ovss.config import (
    FilterConfig,
    MaskConfig,
    PnpOvssConfig,
    SaliencyConfig,
)
from ovseg_ros.segmenters.pnp_ovss.masks import channels
from ovseg_ros.segmenters.pnp_ovss.matchers import load_matcher
from ovseg_ros.segmenters.pnp_ovss.reference import plain_channels, plain_salience
from ovseg_ros.segmenters.pnp_ovss.segmenter import PnpOvssSegmenter
from ovseg_ros.types import Category, Vocabulary

WORDS = Vocabulary.of("mug", "teddy bear", "robot arm", "duck")


@pytest.fixture(scope="module")
def build(lively_head) -> Callable[..., PnpOvssSegmenter]:
    """Returns segmenters that look where the tiny models' gradients are not all negative."""
    lists = (list(WORDS.names), ["mug"], ["mug", "duck"], ["mug", "robot arm"])

    @cache
    def head(folder: Path) -> int:
        return lively_head(
            load_matcher(str(folder), size=48, device="cpu", dtype="float32"), *lists
        )

    def make(folder: Path, *, threshold: float = 0.0, crf: bool = False, **masks):
        config = PnpOvssConfig(
            weights=str(folder),
            image_size=48,
            filter=FilterConfig(threshold=threshold),
            saliency=SaliencyConfig(layer=2, head=head(folder), passes=2, dropped=4),
            masks=MaskConfig(crf=crf, **masks),
        )
        segmenter = build_segmenter(
            SegmenterConfig(name="pnp_ovss", pnp_ovss=config), device="cpu", dtype="float32"
        )
        assert isinstance(segmenter, PnpOvssSegmenter)
        return segmenter

    return make


@pytest.fixture(scope="module", params=["blip", "bridgetower"])
def segmenter(request: pytest.FixtureRequest, build) -> PnpOvssSegmenter:
    return build(request.getfixturevalue(f"{request.param}_folder"))


@pytest.fixture(scope="module")
def small(blip_folder: Path, build) -> PnpOvssSegmenter:
    return build(blip_folder, crf=True)


def test_it_is_meant_for_key_frames(small: PnpOvssSegmenter):
    assert small.cadence == "keyframe"
    assert (small.name, small.device) == ("pnp_ovss", "cpu")


def test_maps_equal_the_reference(segmenter: PnpOvssSegmenter, images: np.ndarray):
    names = [list(WORDS.names), ["mug", "robot arm"]]
    found = segmenter.salience(images, names)
    for image, own, maps in zip(images, names, found, strict=True):
        expected = plain_salience(segmenter, image, own)
        scale = float(expected.max())
        assert scale > 0
        np.testing.assert_allclose(maps.numpy(), expected, rtol=1e-3, atol=1e-4 * scale)
        config = segmenter.config.masks
        ours = channels(maps.numpy(), (60, 80), config)
        np.testing.assert_allclose(ours, plain_channels(expected, (60, 80), config), atol=1e-3)


def test_batches_equal_single_images(segmenter: PnpOvssSegmenter, images: np.ndarray):
    together = segmenter.segment(images, WORDS)
    assert together.labels.shape == (2, 60, 80)
    assert together.labels.dtype == np.uint8
    assert len(np.unique(together.labels)) > 2
    for index in range(2):
        alone = segmenter.segment(images[index : index + 1], WORDS)
        assert (
            alone.labels[0] == together.labels[index]
        ).mean() > 0.95  # near ties of random models


def test_no_class_left_after_the_filter(build, blip_folder: Path, images: np.ndarray):
    result = build(blip_folder, threshold=1.0).segment(images, WORDS)
    assert not result.labels.any()
    assert not result.confidence.any()


def test_an_empty_vocabulary(small: PnpOvssSegmenter, images: np.ndarray):
    assert not small.segment(images, Vocabulary()).labels.any()


def test_one_class_leaves_background(small: PnpOvssSegmenter, images: np.ndarray):
    labels = small.segment(images, Vocabulary.of("mug")).labels
    assert set(np.unique(labels)) == {0, 1}


def test_150_classes(build, blip_folder: Path, images: np.ndarray):
    words = Vocabulary.of(*(f"{chr(97 + k % 26)}{chr(97 + k // 26)}" for k in range(150)))
    result = build(blip_folder).segment(images[:1], words)
    assert result.labels.max() <= 150
    assert len(np.unique(result.labels)) > 5


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (900, 30)])
def test_tiny_and_huge_images(build, blip_folder: Path, size: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 255, (1, *size, 3), dtype=np.uint8)
    result = build(blip_folder, crf=True, max_side=64).segment(image, WORDS)
    assert result.labels.shape == result.confidence.shape == (1, *size)


@pytest.mark.parametrize("gray", [0, 128])
def test_mono_and_constant_images(small: PnpOvssSegmenter, gray: int, images: np.ndarray):
    mono = np.repeat(images[:1, ..., :1], 3, axis=-1)
    constant = np.full_like(mono, gray)
    result = small.segment(np.concatenate([mono, constant]), WORDS)
    assert result.labels.max() <= 4


def test_ids_are_the_vocabularys(small: PnpOvssSegmenter, images: np.ndarray):
    words = Vocabulary(categories=(Category(id=7, name="mug"), Category(id=300, name="duck")))
    labels = small.segment(images, words).labels
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) <= {0, 7, 300}
    assert len(np.unique(labels)) > 1


def test_a_layer_that_is_not_there_is_refused_at_once(blip_folder: Path):
    with pytest.raises(ValueError, match=r"layer: expected 1..3, got 8"):
        PnpOvssSegmenter(PnpOvssConfig(weights=str(blip_folder), image_size=48), device="cpu")


def test_wrong_images(small: PnpOvssSegmenter):
    with pytest.raises(ValueError, match="images: expected RGB"):
        small.segment(np.zeros((2, 4, 4), np.uint8), WORDS)
