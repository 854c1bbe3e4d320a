"""From similarities at patch resolution to label masks at image size."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.types import MAX_MONO8_ID

WINNERS = 16
"""How many categories are brought to image size at most: those that win the most patches."""


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

    A category that wins no patch cannot win many pixels, so only the winners (at most
    ``WINNERS`` of the batch) are up-sampled: the cost does not grow with the vocabulary.

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
    _, categories = logits.shape[:2]
    wins = torch.bincount(logits.argmax(1).flatten(), minlength=categories)
    winners = wins.topk(min(WINNERS, categories)).indices
    winners = winners[wins[winners] > 0].sort().values  # in order of id, for stable ties
    maps = F.interpolate(logits[:, winners], size=size_hw, mode="bilinear")  # (B, n, H, W)
    chosen = torch.from_numpy(ids.astype(np.int64)).to(logits.device)[winners]
    if background is not None:
        maps = torch.cat([torch.full_like(maps[:, :1], background), maps], 1)
        chosen = F.pad(chosen, (1, 0))
    best, index = maps.max(1)  # (B, H, W)
    odds = (maps - best[:, None]).div_(temperature).exp_().sum(1)
    kind = torch.uint8 if ids.max(initial=0) <= MAX_MONO8_ID else torch.int32
    labels = chosen.to(kind)[index].cpu().numpy()
    confidence = (255 / odds).round_().to(torch.uint8).cpu().numpy()
    return labels if kind == torch.uint8 else labels.astype(np.uint16), confidence
