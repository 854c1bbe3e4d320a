"""Losses of X-Decoder: matched queries, the summed map that inference uses, and pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """What a batch shows, in terms of a step's texts.

    Attributes:
        shares: Share of every text in every cell, (B, h, w, K) float32; places of no text are 0.
        present: Texts that an image shows, per image (T,) int64.
    """

    shares: Tensor
    present: list[Tensor]

    def masks(self, image: int) -> Tensor:
        """Return the target masks of an image's segments, (T, h, w) in 0..1."""
        return self.shares[image].permute(2, 0, 1)[self.present[image]]

    def weights(self, rarity: Tensor) -> Tensor:
        """Return how much every text counts in every cell, (B, h, w, K).

        A cell counts by the rarity of what it shows on the average, and its texts by their shares
        in it. Were each share weighed by its own text's rarity, cells on the border of a rare thing
        would be its own, and its mask too large by half a cell.

        Args:
            rarity: Weight of every text, (K,).
        """
        total = self.shares.sum(-1, keepdim=True).clamp_min(1e-6)
        return self.shares * (self.shares @ rarity)[..., None] / total

    def halved(self) -> Segments:
        """Return the same at half the resolution."""
        small = F.avg_pool2d(self.shares.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        return Segments(small, self.present)


def find_segments(shares: Tensor, least: float) -> Segments:
    """Return the segments of a batch: texts with at least ``least`` cells of an image."""
    present = [(image.sum((0, 1)) >= least).nonzero().flatten() for image in shares]
    return Segments(shares, present)


@torch.no_grad()
def match_queries(logits: Tensor, masks: Tensor, segments: Segments) -> list[tuple[Tensor, Tensor]]:
    """Assign one object query to every segment, at the least cost (Hungarian).

    The cost of a pair is 5 x binary cross-entropy + 5 x (1 - dice) - 2 x class probability
    (X-Decoder's weights).

    Args:
        logits: Of queries for the texts and, last, the background, (B, Q, K + 1).
        masks: Mask logits (B, Q, h, w) at the segments' resolution.
        segments: T <= Q segments of each image.

    Returns:
        For every image the queries and the segments that belong together, each (T,) int64.
    """
    pairs = []
    for row, present in enumerate(segments.present):
        flat, target = masks[row].float().flatten(1), segments.masks(row).flatten(1)  # (Q|T, N)
        cells = flat.shape[1]
        cross = F.softplus(flat).sum(1, keepdim=True) - flat @ target.T  # (Q, T)
        inside = flat.sigmoid()
        overlap = 2 * inside @ target.T
        dice = 1 - (overlap + 1) / (inside.sum(1, keepdim=True) + target.sum(1) + 1)
        chance = logits[row].float().softmax(-1)[:, present]  # (Q, T)
        cost = 5 * cross / cells + 5 * dice - 2 * chance
        queries, numbers = linear_sum_assignment(cost.cpu().numpy())
        pairs.append(
            (
                torch.as_tensor(queries, device=masks.device),
                torch.as_tensor(numbers, device=masks.device),
            )
        )
    return pairs


def mask_losses(
    masks: Tensor, segments: Segments, pairs: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Return mean binary cross-entropy and mean (1 - dice) of matched masks, two scalars.

    Args:
        masks: Mask logits, (B, Q, h, w).
        segments: Targets at the same resolution.
        pairs: What :func:`match_queries` returned.
    """
    found = torch.cat([masks[row, queries] for row, (queries, _) in enumerate(pairs)])
    wanted = torch.cat([segments.masks(row)[numbers] for row, (_, numbers) in enumerate(pairs)])
    if not len(found):
        return masks.sum() * 0, masks.sum() * 0
    found, wanted = found.float().flatten(1), wanted.flatten(1)  # (T, N)
    cross = F.binary_cross_entropy_with_logits(found, wanted)
    inside = found.sigmoid()
    overlap = 2 * (inside * wanted).sum(1)
    dice = 1 - (overlap + 1) / (inside.sum(1) + wanted.sum(1) + 1)
    return cross, dice.mean()


def class_loss(
    logits: Tensor,
    segments: Segments,
    pairs: list[tuple[Tensor, Tensor]],
    *,
    nothing: float = 0.1,
) -> Tensor:
    """Return the cross-entropy of queries' texts; unmatched ones are background.

    Args:
        logits: (B, Q, K + 1), the background last.
        segments: Targets.
        pairs: What :func:`match_queries` returned.
        nothing: Weight of the background.
    """
    background = logits.shape[-1] - 1
    wanted = torch.full(logits.shape[:2], background, device=logits.device)
    for row, (queries, numbers) in enumerate(pairs):
        wanted[row, queries] = segments.present[row][numbers]
    weights = logits.new_ones(logits.shape[-1])
    weights[background] = nothing
    return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), weights)


def summed_loss(logits: Tensor, masks: Tensor, segments: Segments, rarity: Tensor) -> Tensor:
    """Return the cross-entropy of the map that inference reads: sum of probability x mask.

    A cell's probability of a text is the text's share in the sum over all texts and background.

    Args:
        logits: (B, Q, K + 1).
        masks: (B, Q, h, w).
        segments: Targets.
        rarity: Weight of every text, (K,).
    """
    inside = masks.float().sigmoid()
    scores = torch.einsum("bqk,bqhw->bhwk", logits.softmax(-1)[..., :-1], inside)
    total = inside.sum(1)[..., None]  # (B, h, w, 1)
    losses = -((scores + 1e-4) / (total + 1e-3)).log()  # (B, h, w, K)
    weights = segments.weights(rarity)
    return (losses * weights).sum() / weights.sum().clamp_min(1e-6)


def pixel_loss(logits: Tensor, segments: Segments, rarity: Tensor) -> Tensor:
    """Return the cross-entropy of cells' own texts, a scalar.

    Args:
        logits: (B, h, w, K).
        segments: Targets.
        rarity: Weight of every text, (K,).
    """
    weights = segments.weights(rarity)
    return -(weights * logits.log_softmax(-1)).sum() / weights.sum().clamp_min(1e-6)
