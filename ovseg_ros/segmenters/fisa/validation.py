"""What each half of a small FISA reaches alone, on whole frames: for its card."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.evaluation.datasets import evenly
from ovseg_ros.segmenters.fisa.generator import STRIDE, MaskGenerator
from ovseg_ros.segmenters.fisa.model import SURE, Classifier
from ovseg_ros.training.frames import Batch, Frames

LEAST = 60
"""Pixels of an instance that counts."""


def canvas_hw(frames: Frames) -> tuple[int, int]:
    """Return height and width that frames are padded to, multiples of 32."""
    height, width = frames.size_hw
    return -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE


def pad_frames(images: Tensor, mean: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return images (B, 3, H, W) in 0..1 as inference pads them, (B, 3, *size_hw) in 0..255."""
    height, width = images.shape[2:]
    padding = (0, size_hw[1] - width, 0, size_hw[0] - height)
    return F.pad(255 * images - mean, padding) + mean


@torch.inference_mode()
def mask_recall(generator: MaskGenerator, frames: Frames, limit: int = 40) -> dict[str, float]:
    """Return how well the best proposal of every instance covers it.

    Args:
        generator: A mask generator.
        frames: A split that it was not trained on.
        limit: Frames that are used.

    Returns:
        ``mean_iou`` of an instance's best proposal, and the shares of the instances whose best one
        has an IoU of at least 0.5 and 0.75, ``recall_50`` and ``recall_75``.
    """
    found = []
    for batch in _whole(frames, limit):
        canvas = pad_frames(batch.images, generator.mean, canvas_hw(frames))
        logits = F.interpolate(generator(canvas), size=canvas.shape[2:], mode="bilinear")
        height, width = frames.size_hw
        proposed = (logits[0, :, :height, :width] > 0).flatten(1).float()  # (Q, H * W)
        true = instances(batch)[1].flatten(1)  # (T, H * W)
        shared = true @ proposed.T
        union = true.sum(1, keepdim=True) + proposed.sum(1) - shared
        found.append((shared / union).amax(1))
    best = torch.cat(found)
    return {
        "mean_iou": round(float(best.mean()), 4),
        "recall_50": round(float((best >= 0.5).float().mean()), 4),
        "recall_75": round(float((best >= 0.75).float().mean()), 4),
    }


@torch.inference_mode()
def name_accuracy(
    classifier: Classifier, text: Tensor, frames: Frames, mean: Tensor, limit: int = 40
) -> dict[str, float]:
    """Return how often a classifier finds the true name of a true mask.

    Args:
        classifier: The classifier.
        text: Unit text of the frames' categories, (K, D).
        frames: A split that it was not trained on.
        mean: Colour that frames are padded with, as in inference, (3, 1, 1) in 0..255.
        limit: Frames that are used.

    Returns:
        ``accuracy`` over all instances and its mean over categories, ``class_accuracy``.
    """
    right = torch.zeros(len(frames.categories), dtype=torch.float64)
    there = right.clone()
    for batch in _whole(frames, limit):
        labels, masks = instances(batch)
        canvas = pad_frames(batch.images, mean, canvas_hw(frames))
        height, width = masks.shape[1:]
        padding = (0, canvas.shape[3] - width, 0, canvas.shape[2] - height)
        logits = SURE * (2 * F.avg_pool2d(F.pad(masks, padding)[None], 4) - 1)
        named = (classifier(canvas, logits, text)[0][0] @ text.T).argmax(-1)
        there += torch.bincount(labels, minlength=len(there))
        right += torch.bincount(labels[named == labels], minlength=len(there))
    seen = there > 0
    return {
        "accuracy": round(float(right.sum() / there.sum()), 4),
        "class_accuracy": round(float((right[seen] / there[seen]).mean()), 4),
    }


def instances(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return categories (T,) int64 from 0 and masks (T, H, W) float32 of a view's instances."""
    ids, counts = batch.instances[0].unique(return_counts=True)
    masks = batch.instances[0] == ids[(ids > 0) & (counts >= LEAST)][:, None, None]
    labels = torch.zeros(len(masks), dtype=torch.int64)
    for number, mask in enumerate(masks):
        labels[number] = batch.labels[0][mask].mode().values
    return labels[labels > 0] - 1, masks[labels > 0].float()


def _whole(frames: Frames, limit: int) -> Iterator[Batch]:
    """Yield whole frames, one at a time."""
    for index in evenly(len(frames), limit):
        place = torch.tensor([index])
        yield frames.crop(place, frames.size_hw, torch.Generator(), zoom=(1.0, 1.0))
