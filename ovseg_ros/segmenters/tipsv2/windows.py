"""The published protocol: probabilities of overlapping windows, averaged at input resolution.

Every window's similarities are enlarged to its pixels and turned into probabilities; where windows
overlap they are averaged; the mean is enlarged to the image. Maps of all K names at full size would
need memory in proportion to K, so the image is made in bands of rows. Bilinear enlarging is a
product with a sparse matrix on either side, of which a band needs some rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 2**24
"""Values of a band, over all names; bounds the memory, not the result."""


class Window(NamedTuple):
    """Similarities of one window.

    Attributes:
        top: Its first row in the input.
        left: Its first column in the input.
        height: Its height in pixels of the input.
        width: Its width in pixels of the input.
        logits: Cosine similarities at patch resolution, (K, h, w) float32.
    """

    top: int
    left: int
    height: int
    width: int
    logits: Tensor


def label_windows(
    windows: list[Window],
    ids: Tensor,
    *,
    input_hw: tuple[int, int],
    size_hw: tuple[int, int],
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Return the best name of every pixel of an image.

    Args:
        windows: They cover the input.
        ids: Label of every channel, (K,).
        input_hw: Size of the input in pixels.
        size_hw: Size (H, W) of the image.
        temperature: Of the confidence. The published probabilities are the softmax of plain
            cosines, nearly uniform; their logarithm is a cosine again, up to a constant.

    Returns:
        Labels (H, W) as ``ids``, and confidence (H, W) uint8, 0..255.
    """
    first = windows[0].logits
    high, wide = (
        bilinear(size, length, first.device) for size, length in zip(input_hw, size_hw, strict=True)
    )
    per_row = max(1, len(first) * max(input_hw[1], size_hw[1]))
    rows = max(1, CHUNK // per_row * size_hw[0] // max(size_hw[0], input_hw[0]))
    labels, confidence = [], []
    for start in range(0, size_hw[0], rows):
        weights = high[start : start + rows]
        needed = weights.sum(0).nonzero().flatten()
        band = slice(int(needed[0]), int(needed[-1]) + 1)
        mean = _mean_probability(windows, band, input_hw)  # (K, r, w)
        mean = weights[:, band] @ mean @ wide.T  # (K, rows, W)
        best, index = mean.max(0)
        odds = ((mean.log() - best.log()) / temperature).exp().sum(0)
        labels.append(ids[index])
        confidence.append((255 / odds).round().to(torch.uint8))
    return torch.cat(labels), torch.cat(confidence)


def _mean_probability(windows: list[Window], band: slice, input_hw: tuple[int, int]) -> Tensor:
    """Return the windows' mean probabilities in a band of rows of the input, (K, rows, W)."""
    first = windows[0].logits
    total = first.new_zeros(len(first), band.stop - band.start, input_hw[1])
    count = first.new_zeros(total.shape[1:])
    for window in windows:
        top, bottom = max(band.start, window.top), min(band.stop, window.top + window.height)
        if top >= bottom:
            continue
        rows = bilinear(window.logits.shape[1], window.height, first.device)
        columns = bilinear(window.logits.shape[2], window.width, first.device)
        inside = rows[top - window.top : bottom - window.top]
        down = slice(top - band.start, bottom - band.start)
        along = slice(window.left, window.left + window.width)
        total[:, down, along] += (inside @ window.logits @ columns.T).softmax(0)
        count[down, along] += 1
    return total / count


def bilinear(source: int, target: int, device: torch.device) -> Tensor:
    """Return the matrix (target, source) that enlarges a side as ``F.interpolate`` does."""
    unit = torch.eye(source, device=device)[None]  # (1, source, source)
    return F.interpolate(unit, size=target, mode="linear", align_corners=False)[0].T
