"""Mask attention: what a mask token may look at, and the attention itself (Eq. 1 and 5)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def visible_tokens(masks: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Return which image tokens every mask token may look at (Eq. 5), (B, M, 1 + N) bool.

    A patch is visible if the mask has any pixel in it: the largest probability there is at least
    one half. The class token, first, is visible to all, so that an empty mask looks at something.

    Args:
        masks: Mask logits, (B, M, H, W); they cover the same canvas as the patches.
        grid_hw: Rows and columns of the patches, N = rows x columns.
    """
    rows = masks.flatten(0, 1)[:, None]  # (B * M, 1, H, W): there may be no proposals
    inside = (F.adaptive_max_pool2d(rows, grid_hw) >= 0).flatten(1)  # (B * M, N)
    return F.pad(inside, (1, 0), value=True).unflatten(0, masks.shape[:2])


def attend(
    query: Tensor, key: Tensor, value: Tensor, heads: int, visible: Tensor | None = None
) -> Tensor:
    """Return softmax(q k^T / sqrt(d) + M) v, head by head, (B, M, C).

    Args:
        query: (B, M, C).
        key: (B, N, C).
        value: (B, N, C).
        heads: Number of heads; d = C / heads.
        visible: Where M is 0 and not -inf, (B, M, N) bool; everywhere by default.
    """
    query, key, value = (
        x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value)
    )  # (B, heads, M | N, d)
    mask = None if visible is None else visible[:, None]
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return found.transpose(1, 2).flatten(2)
