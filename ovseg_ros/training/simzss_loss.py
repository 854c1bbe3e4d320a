"""The two losses of SimZSS (seed 003): captions with images, concepts with patches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

QUERY_TEMPERATURE = 0.1
"""Published temperature of the softmax over patches."""

CONCEPT_SCALE = 14.286
"""Inverse temperature of the classification of concepts (1 / 0.07)."""


@dataclass(frozen=True)
class Occurrences:
    """Every concept named by the captions of a batch.

    Attributes:
        image: Which pair of the batch, (M,) int64.
        label: Which concept, (M,) int64 in [0, K).
        span: Which tokens spell it, (M, L) float32 of zeros and ones.
    """

    image: Tensor
    label: Tensor
    span: Tensor


def concept_loss(
    patches: Tensor,
    tokens: Tensor,
    occurrences: Occurrences,
    concepts: int,
    *,
    query_temperature: float = QUERY_TEMPERATURE,
) -> Tensor:
    """Return the object-level cross-modal loss, a scalar; 0 if no caption names a concept.

    Args:
        patches: Patch features, (B, P, D).
        tokens: Projected text tokens, (B, L, D).
        occurrences: The M concepts named in the batch.
        concepts: Number K of concepts in the bank.
        query_temperature: Temperature of the softmax over patches.
    """
    if len(occurrences.label) == 0:
        return tokens.sum() * 0.0
    patches, tokens = F.normalize(patches, dim=-1), F.normalize(tokens, dim=-1)
    spelled = torch.einsum("ml,mld->md", occurrences.span, tokens[occurrences.image])  # (M, D)
    sums = tokens.new_zeros(concepts, tokens.shape[-1]).index_add(0, occurrences.label, spelled)
    present = torch.zeros(concepts, dtype=torch.bool, device=tokens.device)
    present[occurrences.label] = True
    prototypes = F.normalize(sums, dim=-1)  # (K, D), the linear classifier h
    queries = prototypes[occurrences.label]  # (M, D)
    seen = patches[occurrences.image]  # (M, P, D)
    attention = (torch.einsum("md,mpd->mp", queries, seen) / query_temperature).softmax(-1)
    pooled = F.normalize(torch.einsum("mp,mpd->md", attention, seen), dim=-1)  # (M, D)
    logits = CONCEPT_SCALE * pooled @ prototypes.T  # (M, K)
    return F.cross_entropy(logits.masked_fill(~present, -torch.inf), occurrences.label)


def caption_loss(images: Tensor, captions: Tensor, logit_scale: Tensor) -> Tensor:
    """Return CLIP's symmetric InfoNCE, a scalar.

    Args:
        images: Class tokens, (B, D).
        captions: Sentence features, (B, D).
        logit_scale: Logarithm of the inverse temperature; clamped to [0, ln 100].
    """
    scale = logit_scale.clamp(0, 4.6052).exp()
    logits = scale * F.normalize(images, dim=-1) @ F.normalize(captions, dim=-1).T
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
