"""The published dense protocol of SimZSS: mmseg's test pipeline, pixel by pixel.

The robot's own way stays at patch resolution until the end, which is much faster. Here sizes keep
the image's ratio without being rounded to patches, bytes are resized without antialiasing, every
window's scores are enlarged to its pixels, and overlaps are averaged there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.segmenters.dense import window_starts
from ovseg_ros.types import label_dtype

CHUNK = 2**25
"""Scores at pixel resolution that are held at a time; bounds the memory, not the result."""


def rescale(image: np.ndarray, short: int, long: int) -> np.ndarray:
    """Resize an image (H, W, 3) uint8 as mmcv's ``imrescale`` with scale (long, short) does."""
    height, width = image.shape[:2]
    scale = min(long / max(height, width), short / min(height, width))
    size = (max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5)))
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def windows(length: int, side: int, stride: int) -> list[tuple[int, int]]:
    """Return the windows of mmseg's ``slide_inference`` along one axis, as (start, stop)."""
    starts = window_starts(length, side, stride)
    return [(start, min(start + side, length)) for start in starts]


class Windows:
    """An image's windows, encoded once; any categories can be scored on them afterwards."""

    def __init__(
        self,
        pixels: Tensor,
        encode: Callable[[Tensor], Tensor],
        *,
        patch: tuple[int, int],
        side: int,
        stride: int,
    ) -> None:
        """Encode the windows of an image.

        Args:
            pixels: The image, resized and normalised, (1, 3, H, W).
            encode: Images (1, 3, h, w) of whole patches to unit vectors (1, h', w', D).
            patch: Patch size (height, width) in pixels.
            side: Side of the square windows; 0 for the whole image.
            stride: Their stride.
        """
        self._size = height, width = tuple(pixels.shape[2:])
        if side == 0:
            side = stride = max(height, width)
        self._parts: list[tuple[slice, slice, tuple[int, int], Tensor]] = []
        for top, bottom in windows(height, side, stride):
            for left, right in windows(width, side, stride):
                part = pixels[:, :, top:bottom, left:right]
                below, beside = -part.shape[2] % patch[0], -part.shape[3] % patch[1]
                padded = F.pad(part, (0, beside, 0, below))  # only a sliver's windows need it
                where = slice(top, bottom), slice(left, right)
                size = padded.shape[2], padded.shape[3]
                self._parts.append((*where, size, encode(padded)[0]))

    def scores(self, text: Tensor) -> Tensor:
        """Return the mean similarity of every pixel and k categories (k, D), (k, H, W)."""
        total = text.new_zeros(len(text), *self._size)
        count = text.new_zeros(self._size)
        for rows, columns, size, patches in self._parts:
            similar = (patches @ text.T).permute(2, 0, 1)[None]  # (1, k, h', w')
            large = F.interpolate(similar, size=size, mode="bilinear")[0]
            height, width = rows.stop - rows.start, columns.stop - columns.start
            total[:, rows, columns] += large[:, :height, :width]
            count[rows, columns] += 1
        return total / count


def label_windows(
    seen: Windows,
    text: Tensor,
    ids: np.ndarray,
    *,
    size_hw: tuple[int, int],
    temperature: float,
    background: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Label an image by its windows.

    Args:
        seen: The windows.
        text: Class text, (K, D) float32.
        ids: Category ids of the K texts, (K,) uint16.
        size_hw: Size of the labels.
        temperature: Of the confidence.
        background: Constant similarity of an unlabelled channel, or None.

    Returns:
        Labels (H, W), uint8 if every id fits and uint16 otherwise; confidence (H, W) uint8, the
        softmax over all categories.
    """
    start = -torch.inf if background is None else background
    best = torch.full(size_hw, start, device=text.device)
    label = torch.zeros(size_hw, dtype=torch.int64, device=text.device)
    mass = best / temperature  # logarithm of the sum of all odds
    known = torch.from_numpy(ids.astype(np.int64)).to(text.device)
    for part, named in _chunks(text, known, size_hw):
        scores = F.interpolate(seen.scores(part)[None], size=size_hw, mode="bilinear")[0]
        high, index = scores.max(0)
        better = high > best
        best, label = torch.where(better, high, best), torch.where(better, named[index], label)
        mass = torch.logaddexp(mass, (scores / temperature).logsumexp(0))
    share = (255 * (best / temperature - mass).exp()).round().to(torch.uint8)
    return label.cpu().numpy().astype(label_dtype(ids)), share.cpu().numpy()


def _chunks(
    text: Tensor, known: Tensor, size_hw: tuple[int, int]
) -> Iterator[tuple[Tensor, Tensor]]:
    step = max(1, CHUNK // (size_hw[0] * size_hw[1]))
    return zip(text.split(step), known.split(step), strict=True)
