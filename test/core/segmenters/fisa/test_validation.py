"""What a half of FISA reaches alone: perfect and useless halves, counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.evaluation.datasets import evenly
from ovseg_ros.segmenters.fisa.validation import (
    canvas_hw,
    instances,
    mask_recall,
    name_accuracy,
    pad_frames,
)
from ovseg_ros.training.frames import Batch, Frames, load_frames


@pytest.fixture(scope="module")
def mini(cell: Path) -> Frames:
    """The mini cell's training frames."""
    return load_frames(cell, "train", 90)


def whole(frames: Frames, index: int) -> Batch:
    """A frame as it is."""
    return frames.crop(torch.tensor([index]), frames.size_hw, torch.Generator(), zoom=(1.0, 1.0))


class Known(nn.Module):
    """A generator that knows the frames it will be asked for, in order; masks of stride 1."""

    def __init__(self, masks: list[Tensor]) -> None:
        super().__init__()
        self.masks, self.mean, self.seen = masks, torch.zeros(3, 1, 1), []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(tuple(images.shape))
        masks = self.masks[len(self.seen) - 1]
        height, width = images.shape[2:]
        padding = (0, width - masks.shape[2], 0, height - masks.shape[1])
        return F.pad(masks, padding)[None] * 20 - 10


def test_frames_are_padded_as_in_inference(mini: Frames):
    assert canvas_hw(mini) == (96, 128)
    images = torch.rand(1, 3, *mini.size_hw)
    mean = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    found = pad_frames(images, mean, (96, 128))
    assert torch.allclose(found[..., :90, :120], 255 * images, atol=1e-3)
    assert (found[:, 1, 90:] == 2.0).all()


@pytest.mark.parametrize(("there", "wanted", "chosen"), [(3, 0, [0, 1, 2]), (9, 3, [0, 3, 6])])
def test_frames_are_spread_evenly(there: int, wanted: int, chosen: list[int]):
    assert evenly(there, wanted) == chosen
    assert evenly(there, 100) == list(range(there))


def test_perfect_and_half_masks(mini: Frames):
    true = [instances(whole(mini, index))[1] for index in evenly(len(mini), 2)]
    generator: Any = Known(true)
    assert mask_recall(generator, mini, 2) == {
        "mean_iou": 1.0, "recall_50": 1.0, "recall_75": 1.0
    }  # fmt: skip
    assert generator.seen == [(1, 3, 96, 128)] * 2
    larger = [mask.expand(1, -1, -1) * 0 + 1 for mask in (true[0][:1], true[1][:1])]
    found = mask_recall(Known(larger), mini, 2)  # type: ignore[arg-type]
    shares = torch.cat([masks.mean((1, 2)) for masks in true])
    assert found["mean_iou"] == pytest.approx(float(shares.mean()), abs=2e-4)
    assert found["recall_50"] == pytest.approx(float((shares >= 0.5).float().mean()), abs=2e-4)


def test_instances_have_the_name_of_their_pixels(mini: Frames):
    batch = whole(mini, 0)
    labels, masks = instances(batch)
    assert len(labels) == len(masks) > 1
    for label, mask in zip(labels, masks, strict=True):
        inside = batch.labels[0][mask.bool()]
        assert (inside == label + 1).float().mean() > 0.5
        assert len(inside) >= 60


class Names(nn.Module):
    """A classifier that gives every mask the same vector."""

    def __init__(self, vector: Tensor) -> None:
        super().__init__()
        self.vector = vector

    def forward(self, images: Tensor, masks: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        assert masks.shape[2:] == (images.shape[2] // 4, images.shape[3] // 4)
        return self.vector.expand(1, masks.shape[1], -1), masks


def test_accuracy_counts_instances_and_categories(mini: Frames):
    labels = torch.cat([instances(whole(mini, index))[0] for index in evenly(len(mini), 3)])
    text = torch.eye(len(mini.categories))
    most = int(labels.mode().values)
    found = name_accuracy(Names(text[most]), text, mini, torch.zeros(3, 1, 1), 3)  # type: ignore[arg-type]
    assert found["accuracy"] == pytest.approx(float((labels == most).float().mean()), abs=1e-4)
    assert found["class_accuracy"] == pytest.approx(1 / len(labels.unique()), abs=1e-4)
