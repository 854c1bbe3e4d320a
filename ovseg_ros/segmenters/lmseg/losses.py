"""LMSeg's loss: binary cross-entropy of every name at every place."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def name_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over names and labelled places.

    Args:
        logits: (B, K, h, w).
        labels: Name of every place, (B, h, w) int64: 0..K - 1, K where it is none of them, or -1
            where nobody knows.
    """
    known = labels >= 0
    target = F.one_hot(labels.clamp_min(0), logits.shape[1] + 1).permute(0, 3, 1, 2)[:, :-1].float()
    losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    weights = known[:, None].expand_as(losses).float()
    return (losses * weights).sum() / weights.sum().clamp_min(1)
