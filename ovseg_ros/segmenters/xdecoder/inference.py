"""From queries to label masks at image size: sum over queries of class probability x mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.segmenters.xdecoder.decoder import resize
from ovseg_ros.types import label_dtype

CHUNK_PIXELS = 2**25
"""Values at image size that are computed at a time; bounds the memory, not the result."""

_NEAR = 0.8
"""A category that reaches this share of the best score somewhere at stride 4, or in the middle of
four such places, may win near there."""


@dataclass(frozen=True)
class Sizes:
    """Sizes (height, width) in pixels on the way of an image through the model.

    Attributes:
        padded: What the backbone sees.
        inner: The part of it that is image.
        outer: The image as it came.
    """

    padded: tuple[int, int]
    inner: tuple[int, int]
    outer: tuple[int, int]


@torch.inference_mode()
def label_queries(
    masks: Tensor,
    probabilities: Tensor,
    ids: np.ndarray,
    sizes: Sizes,
    *,
    exact: bool = True,
    mode: str = "bicubic",
) -> tuple[np.ndarray, np.ndarray]:
    """Return label masks and confidences.

    The score of a category at a pixel is the sum over all queries of its probability times the
    sigmoid of the mask. Categories that are far from winning everywhere at stride 4 are left out
    before masks are brought to image size, so the cost hardly grows with the vocabulary; all others
    are labelled, however many they are. The confidence is the winner's share in the scores of all
    texts, those of the background included.

    Args:
        masks: Mask logits of the queries at stride 4, (B, Q, h, w) float32.
        probabilities: Softmax over texts, (B, Q, K) float32, without texts that may not win.
        ids: Category ids of the K texts, (K,) uint16.
        sizes: Where the image is in the masks, and how large the labels are to be.
        exact: Bring every query's mask to image size and then sum (published); else sum at
            stride 4 and bring the winners' scores to image size, which is faster.
        mode: How every query's mask is brought there: bicubic (X-Decoder) or bilinear
            (Mask2Former).

    Returns:
        Labels (B, H, W), uint8 if every id fits and uint16 otherwise, and confidence (B, H, W)
        uint8, 0..255 for 0..1.
    """
    height, width = (-(-side // 4) for side in sizes.inner)
    small = masks.sigmoid()
    coarse = torch.einsum("bqk,bqhw->bkhw", probabilities, small[..., :height, :width])
    maps = [coarse]
    if exact and masks.shape[1]:  # where two masks meet, a third may win that is weak on both sides
        four = min(2, height), min(2, width)
        between = F.avg_pool2d(masks[..., :height, :width], four, 1).sigmoid()
        maps.append(torch.einsum("bqk,bqhw->bkhw", probabilities, between))
    winners, won = contenders(maps, _NEAR if exact else 1.0)  # (B, n)
    measure = partial(_sum_exactly, mode=mode) if exact else _sum_coarsely
    step = max(1, CHUNK_PIXELS // (len(masks) * sizes.outer[0] * sizes.outer[1]))
    best = masks.new_full((len(masks), *sizes.outer), -1.0)  # (B, H, W)
    index = torch.zeros_like(best, dtype=torch.int64)
    for start in range(0, winners.shape[1], step):
        part = winners[:, start : start + step]
        weights = probabilities.gather(2, part[:, None].expand(-1, masks.shape[1], -1))  # (B, Q, p)
        scores, total = measure(masks, weights, sizes)  # (B, p, H, W), (B, H, W)
        scores = scores.masked_fill(~won[:, start : start + step, None, None], -1.0)
        high, first = scores.max(1)
        better = high > best
        best, index = torch.where(better, high, best), torch.where(better, first + start, index)
    chosen = torch.from_numpy(ids.astype(np.int64)).to(masks.device)[winners]  # (B, n)
    labels = chosen.gather(1, index.flatten(1)).view_as(index).cpu().numpy()
    share = (best / total.clamp_min(1e-6)).clamp(0, 1)
    confidence = (255 * share).round_().to(torch.uint8).cpu().numpy()
    return labels.astype(label_dtype(ids)), confidence


def enlarge(maps: Tensor, sizes: Sizes, mode: str = "bilinear") -> Tensor:
    """Return maps (B, q, h, w) of the padded input at the image's own size, (B, q, H, W)."""
    large = resize(maps, sizes.padded, mode)[..., : sizes.inner[0], : sizes.inner[1]]
    return large if sizes.inner == sizes.outer else resize(large, sizes.outer, mode)


def contenders(maps: Sequence[Tensor], near: float) -> tuple[Tensor, Tensor]:
    """Return the categories that win somewhere, or nearly.

    Args:
        maps: Scores (B, K, h, w), at least 0; of any sizes.
        near: Share of the best score that a category must reach at some place.

    Returns:
        Categories (B, n) int64, ascending, and which of them are the own image's, (B, n) bool.
    """
    reach = torch.stack(
        [(one >= near * one.amax(1, keepdim=True)).flatten(2).any(2) for one in maps]
    ).any(0)  # (B, K)
    count = int(reach.sum(1).max())
    found = reach.to(torch.uint8).topk(count, dim=1).indices.sort(1).values
    return found, reach.gather(1, found)


def _sum_coarsely(masks: Tensor, weights: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
    """Return what ``_sum_exactly`` does, summed at stride 4 and then enlarged."""
    small = masks.sigmoid()
    scores = torch.einsum("bqn,bqhw->bnhw", weights, small)
    both = enlarge(torch.cat([scores, small.sum(1, keepdim=True)], 1), sizes)
    return both[:, :-1], both[:, -1]


def _sum_exactly(masks: Tensor, weights: Tensor, sizes: Sizes, mode: str) -> tuple[Tensor, Tensor]:
    """Return scores (B, n, H, W) and their sum over all texts (B, H, W), queries in chunks."""
    shape = (len(masks), weights.shape[2], *sizes.outer)
    scores, total = masks.new_zeros(shape), masks.new_zeros(shape[0], *sizes.outer)
    largest = max(sizes.padded[0] * sizes.padded[1], sizes.outer[0] * sizes.outer[1])
    step = max(1, CHUNK_PIXELS // (largest * len(masks)))
    for start in range(0, masks.shape[1], step):
        large = enlarge(masks[:, start : start + step], sizes, mode).sigmoid()
        scores += torch.einsum("bqn,bqhw->bnhw", weights[:, start : start + step], large)
        total += large.sum(1)
    return scores, total
