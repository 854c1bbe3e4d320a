"""What segmenters that label every pixel have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ovseg_ros.models.class_text import ClassText, Prompt
from ovseg_ros.models.device import resolve_device, resolve_dtype
from ovseg_ros.models.stages import stage
from ovseg_ros.segmenters.base import Cadence
from ovseg_ros.types import Segmentation, Vocabulary, check_images

_CHUNK = 256
"""Prompts that a text tower reads at a time."""


class DenseSegmenter(ABC):
    """Checks the input of a segmenter and knows what an empty vocabulary means.

    Subclasses set ``name`` and ``cadence`` and label images in :meth:`label`.
    """

    name: ClassVar[str]
    cadence: Cadence = "frame"

    def __init__(self, *, device: str, dtype: str) -> None:
        """Choose where and in which numbers the vision model runs.

        Args:
            device: auto, cpu, cuda or cuda:N.
            dtype: auto, float32, bfloat16 or float16.
        """
        self._device = resolve_device(device)
        self._dtype = resolve_dtype(dtype, self._device)
        self.device = str(self._device)
        self.dtype = str(self._dtype).removeprefix("torch.")

    def segment(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Segment a batch (B, H, W, 3) uint8 RGB; see its protocol in ``base.py``."""
        check_images(images)
        if not len(vocabulary):
            labels, confidence = np.zeros((2, *images.shape[:3]), dtype=np.uint8)
            return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)
        return self.label(images, vocabulary)

    @abstractmethod
    def label(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Segment a checked batch (B, H, W, 3) with at least one name."""

    def to_device(self, images: np.ndarray) -> Tensor:
        """Return images (B, H, W, 3) uint8 as they are, on the device, (B, 3, H, W) uint8."""
        # Copies only what torch cannot wrap: flipped views and frames that are read-only.
        owned = np.require(images, requirements=["C", "W"])
        with stage("host to device"):
            return torch.from_numpy(owned).to(self._device).permute(0, 3, 1, 2)


class TextSegmenter(DenseSegmenter):
    """A :class:`DenseSegmenter` whose names enter through a cache of class text.

    Subclasses call :meth:`read_names` once their text tower is loaded.
    """

    def read_names(self, text: ClassText) -> None:
        """Take the cache of the class text."""
        self.text = text
        self._known: tuple[tuple[str, ...], Tensor] = ((), torch.empty(0))

    def embed(self, names: Sequence[str]) -> np.ndarray:
        """Return class text; see :class:`~ovseg_ros.segmenters.base.TextEmbedding`."""
        return self.text.embed(names)

    def class_text(self, names: tuple[str, ...]) -> Tensor:
        """Return class text on the device, (K, D) float32; kept until the names change."""
        known, text = self._known
        if known != names:
            text = torch.from_numpy(self.text.embed(names)).to(self._device)
            self._known = names, text
        return text


def encode_in_chunks(
    encode: Callable[[Sequence[Prompt]], Tensor],
) -> Callable[[Sequence[Prompt]], np.ndarray]:
    """Return an encoder for :class:`ClassText` from one of at most 256 prompts to (N, D)."""

    def run(prompts: Sequence[Prompt]) -> np.ndarray:
        with torch.inference_mode():
            chunks = [
                encode(prompts[start : start + _CHUNK]).float().cpu()
                for start in range(0, len(prompts), _CHUNK)
            ]
        stacked: np.ndarray = torch.cat(chunks).numpy()
        return stacked

    return run


def resize(pixels: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return images (B, C, H, W) at another size, bilinear and antialiased, float32 in 0..255."""
    with stage("preprocess"):
        pixels = pixels.float()
        if tuple(pixels.shape[2:]) == size_hw:
            return pixels
        return F.interpolate(pixels, size=size_hw, mode="bilinear", antialias=True)


def resize_bytes(pixels: Tensor, size_hw: tuple[int, int], *, mode: str = "bilinear") -> Tensor:
    """Return images (B, C, H, W) uint8 at another size as Pillow resizes them, float32.

    By Pillow itself on a CPU (bilinear in detectron2, bicubic where BLIP and CLIP are prepared);
    elsewhere all but equal. The values are whole numbers in 0..255.
    """
    with stage("preprocess"):
        if tuple(pixels.shape[2:]) == size_hw:
            return pixels.float()
        if pixels.device.type != "cpu":
            return round_by_axis(pixels, size_hw, mode)
        kind = Image.Resampling[mode.upper()]
        images = pixels.permute(0, 2, 3, 1).numpy()
        small = [np.asarray(Image.fromarray(own).resize(size_hw[::-1], kind)) for own in images]
        return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float()


def round_by_axis(pixels: Tensor, size_hw: tuple[int, int], mode: str) -> Tensor:
    """Return images at another size by Pillow's rule, on any device; see :func:`resize_bytes`.

    Rows are bytes again before columns follow, so that what a bicubic filter overshoots at an edge
    is clipped in between.
    """
    found = pixels.float()
    for size in ((pixels.shape[2], size_hw[1]), size_hw):
        found = F.interpolate(found, size=size, mode=mode, antialias=True)
        found = found.add_(0.5).floor_().clamp_(0, 255)  # halves go up
    return found


def shortest_edge_hw(height: int, width: int, short: int, long: int) -> tuple[int, int]:
    """Return the size of detectron2's ``ResizeShortestEdge``: as ``int(x + 0.5)`` rounds.

    Args:
        height: Of the image.
        width: Of the image.
        short: Short side that is wanted.
        long: Long side at most.
    """
    scale = short / min(height, width)
    sides = (float(short), scale * width) if height < width else (scale * height, float(short))
    if max(sides) > long:
        scale = long / max(sides)
        sides = (sides[0] * scale, sides[1] * scale)
    return max(1, int(sides[0] + 0.5)), max(1, int(sides[1] + 0.5))


def window_starts(length: int, side: int, stride: int) -> list[int]:
    """Return starts of windows that cover a side; the last one is flush with the far edge."""
    count = -(-max(length - side, 0) // stride) + 1
    return [max(min(number * stride + side, length) - side, 0) for number in range(count)]
