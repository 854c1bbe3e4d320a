"""LMSeg's loss: binary cross-entropy of every name at every place (arXiv 2412.00364)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def name_loss(logits: Tensor, labels: Tensor, *, compare: float = 0.0) -> Tensor:
    """Return the mean binary cross-entropy over names and labelled places.

    Args:
        logits: (B, K, h, w).
        labels: Name of every place, (B, h, w) int64: 0..K - 1, K where it is none of them, or -1
            where nobody knows.
        compare: Weight of a cross-entropy among the names, over the places that one of them has.
            The paper has none: it makes names compete, which otherwise few steps do not bring.
    """
    known, count = labels >= 0, logits.shape[1]
    target = F.one_hot(labels.clamp_min(0), count + 1).permute(0, 3, 1, 2)[:, :-1].float()
    losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    weights = known[:, None].expand_as(losses).float()
    loss = (losses * weights).sum() / weights.sum().clamp_min(1)
    if not compare:
        return loss
    named = known & (labels < count)
    among = F.cross_entropy(
        logits.float(), torch.where(named, labels, -1), ignore_index=-1, reduction="sum"
    )
    return loss + compare * among / named.sum().clamp_min(1)
