"""From similarities at patch resolution to label masks at image size."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.models.stages import stage
from ovseg_ros.types import MAX_MONO8_ID

WINNERS = 16
"""How many categories of an image are brought to its size at most: those that win most patches."""


@torch.inference_mode()
def label_pixels(
    logits: Tensor,
    ids: np.ndarray,
    *,
    size_hw: tuple[int, int],
    temperature: float,
    background: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return label masks and confidences.

    A category that wins no patch cannot win many pixels, so only the winners (at most ``WINNERS``
    of an image) are up-sampled: the cost does not grow with the vocabulary. Every image of a batch
    is labelled as it would be alone.

    Args:
        logits: Similarity of every category, (B, K, h, w) float.
        ids: Category ids of the K channels, (K,) uint16.
        size_hw: Size (H, W) of the masks in pixels.
        temperature: Divides the logits before the softmax of the confidence.
        background: Constant logit of an unlabelled channel, or None.

    Returns:
        Labels (B, H, W), uint8 if every id fits and uint16 otherwise, and confidence (B, H, W)
        uint8, 0..255 for a softmax probability of 0..1.
    """
    with stage("upsample + argmax"):
        labels, confidence = _label(logits, ids, size_hw, temperature, background)
    with stage("device to host"):
        found = labels.cpu().numpy(), confidence.cpu().numpy()
    return (found[0] if labels.dtype == torch.uint8 else found[0].astype(np.uint16)), found[1]


def _label(
    logits: Tensor,
    ids: np.ndarray,
    size_hw: tuple[int, int],
    temperature: float,
    background: float | None,
) -> tuple[Tensor, Tensor]:
    """Return labels (B, H, W) uint8 or int32 and confidence (B, H, W) uint8 on the device."""
    winners, won = choose_winners(logits)  # (B, n), by id for stable ties
    maps = logits.gather(1, winners[..., None, None].expand(-1, -1, *logits.shape[2:]))
    maps = F.interpolate(maps, size=size_hw, mode="bilinear")  # (B, n, H, W)
    if len(logits) > 1:  # an image with fewer winners than another has losers among its n
        maps.masked_fill_(~won[..., None, None], -torch.inf)
    chosen = torch.from_numpy(ids.astype(np.int64)).to(logits.device)[winners]  # (B, n)
    if background is not None:
        maps = torch.cat([torch.full_like(maps[:, :1], background), maps], 1)
        chosen = F.pad(chosen, (1, 0))
    best, index = maps.max(1)  # (B, H, W)
    odds = (maps - best[:, None]).div_(temperature).exp_().sum(1)
    kind = torch.uint8 if ids.max(initial=0) <= MAX_MONO8_ID else torch.int32
    labels = chosen.to(kind).gather(1, index.flatten(1)).view_as(index)
    return labels, (255 / odds).round_().to(torch.uint8)


def choose_winners(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the categories that win most places, (B, n) int64 ascending, n <= ``WINNERS``.

    Args:
        scores: (B, K, h, w).

    Returns:
        The categories, and which of them win anywhere at all, (B, n) bool.
    """
    first = scores.argmax(1).flatten(1)  # (B, h * w)
    wins = torch.zeros(scores.shape[:2], dtype=torch.int64, device=scores.device)
    wins.scatter_add_(1, first, torch.ones_like(first))  # (B, K)
    count = min(WINNERS, int((wins > 0).sum(1).max()))
    winners = wins.topk(count, dim=1).indices.sort(1).values
    return winners, wins.gather(1, winners) > 0
