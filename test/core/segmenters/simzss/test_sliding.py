"""The published dense protocol, against its formulas written out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.segmenters.simzss import sliding
from ovseg_ros.segmenters.simzss.config import SimZSSConfig
from ovseg_ros.segmenters.simzss.sliding import Windows, label_windows, rescale, windows
from ovseg_ros.segmenters.systems import dataset_rules
from ovseg_ros.types import Vocabulary

NAMES = ("mug", "duck", "wooden table", "robot arm", "wall")


@pytest.mark.parametrize(
    ("size_hw", "expected"),
    [
        ((375, 500), (448, 597)),  # 597.33
        ((500, 333), (673, 448)),  # 672.67
        ((1024, 2048), (448, 896)),
        ((100, 1000), (205, 2048)),  # 204.8: the long side decides
        ((448, 600), (448, 600)),
    ],
)
def test_sizes_keep_the_ratio_without_rounding_to_patches(size_hw, expected):
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    found = rescale(image, 448, 2048)
    assert found.shape[:2] == expected
    plain = cv2.resize(image, expected[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(found, plain)  # bytes, no antialiasing


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (448, [(0, 448)]),
        (400, [(0, 400)]),
        (449, [(0, 448), (1, 449)]),
        (597, [(0, 448), (149, 597)]),
        (672, [(0, 448), (224, 672)]),
        (673, [(0, 448), (224, 672), (225, 673)]),
    ],
)
def test_windows_go_on_by_pixels_and_end_flush(length, expected):
    assert windows(length, 448, 224) == expected


def naive(pixels: torch.Tensor, encode, text: torch.Tensor, side: int, stride: int, size_hw):
    """mmseg's slide_inference, word by word."""
    height, width = pixels.shape[2:]
    total = torch.zeros(1, len(text), height, width)
    count = torch.zeros(1, 1, height, width)
    for row in range(max(height - side + stride - 1, 0) // stride + 1):
        for column in range(max(width - side + stride - 1, 0) // stride + 1):
            y2, x2 = min(row * stride + side, height), min(column * stride + side, width)
            y1, x1 = max(y2 - side, 0), max(x2 - side, 0)
            part = pixels[:, :, y1:y2, x1:x2]
            logits = (encode(part) @ text.T).permute(0, 3, 1, 2)
            total[:, :, y1:y2, x1:x2] += F.interpolate(logits, part.shape[2:], mode="bilinear")
            count[:, :, y1:y2, x1:x2] += 1
    return F.interpolate(total / count, size_hw, mode="bilinear")[0]


@pytest.mark.parametrize("chunk", [1, 2**25])
@pytest.mark.parametrize("background", [None, 0.4])
@pytest.mark.parametrize(("side", "stride"), [(16, 8), (16, 6), (12, 12)])
def test_it_is_mmsegs_sliding(side, stride, background, chunk, monkeypatch):
    monkeypatch.setattr(sliding, "CHUNK", chunk)  # 1: category by category
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3 * 16, 8, generator=generator)

    def encode(part: torch.Tensor) -> torch.Tensor:  # any function of patches of 4 pixels
        patches = F.unfold(part, 4, stride=4).transpose(1, 2) @ weights
        grid = patches.unflatten(1, (part.shape[2] // 4, part.shape[3] // 4))
        return F.normalize(grid, dim=-1)

    pixels = torch.randn(1, 3, 29, 37, generator=generator)
    text = F.normalize(torch.randn(5, 8, generator=generator), dim=-1)
    ids = np.array([3, 4, 9, 11, 300], np.uint16)
    seen = Windows(pixels, encode, patch=(4, 4), side=side, stride=stride)
    labels, confidence = label_windows(
        seen, text, ids, size_hw=(41, 23), temperature=0.05, background=background
    )
    scores = naive(pixels, encode, text, side, stride, (41, 23))
    if background is not None:
        scores = torch.cat([torch.full_like(scores[:1], background), scores])
        ids = np.array([0, *ids], np.uint16)
    np.testing.assert_array_equal(labels, ids[scores.argmax(0).numpy()])
    odds = (scores / 0.05).softmax(0).amax(0)
    np.testing.assert_allclose(confidence, 255 * odds, atol=1)


def test_a_segmenter_has_both_protocols(make_segmenter):
    images = np.random.default_rng(1).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8)
    options = {"short_side": 32, "long_side": 128, "window": 16, "stride": 8}
    words = Vocabulary.of(*NAMES)
    robot, published = (
        make_segmenter(dense=dense, **options).segment(images, words)
        for dense in ("patches", "pixels")
    )
    assert published.labels.shape == robot.labels.shape == (2, 50, 70)
    assert published.labels.dtype == robot.labels.dtype
    assert (published.labels == robot.labels).mean() > 0.5
    alone = make_segmenter(dense="pixels", **options).segment(images[1:], words)
    np.testing.assert_array_equal(alone.labels[0], published.labels[1])


def test_without_a_window_the_whole_image_is_one(make_segmenter):
    images = np.random.default_rng(1).integers(0, 256, (1, 48, 80, 3), dtype=np.uint8)
    whole, one = (
        make_segmenter(dense="pixels", short_side=48, long_side=80, window=side).segment(
            images, Vocabulary.of(*NAMES)
        )
        for side in (0, 80)
    )
    np.testing.assert_array_equal(whole.labels, one.labels)
    np.testing.assert_array_equal(whole.confidence, one.confidence)


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 200), (1, 400)])
def test_slivers(make_segmenter, size_hw):
    segmenter = make_segmenter(dense="pixels", short_side=16, long_side=64, window=16, stride=8)
    found = segmenter.segment(np.zeros((1, *size_hw, 3), np.uint8), Vocabulary.of(*NAMES))
    assert found.labels.shape == (1, *size_hw)


def test_public_data_sets_are_evaluated_as_published():
    rules = dataset_rules("simzss", "voc20/val")
    assert rules is not None
    assert rules.options == {"segmenter.simzss.dense": "pixels"}
    assert dataset_rules("simzss", "robot_cell/test") is None
    small = SimZSSConfig(weights="robot_cell/simzss")  # matches words in its own way
    assert dataset_rules("simzss", "voc20/val", small) is None
