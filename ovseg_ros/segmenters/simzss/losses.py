"""The two losses of SimZSS (arXiv 2406.16085): captions with images, concepts with patches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.training.distributed import gathered, rank, total, world

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

    def to(self, device: torch.device) -> Occurrences:
        """Return the same on a device."""
        return Occurrences(
            self.image.to(device), self.label.to(device), self.span.to(device, non_blocking=True)
        )


def concept_loss(
    patches: Tensor,
    tokens: Tensor,
    occurrences: Occurrences,
    concepts: int,
    *,
    seen: Tensor | None = None,
    query_temperature: float = QUERY_TEMPERATURE,
    targets: str = "named",
    as_released: bool = False,
) -> Tensor:
    """Return the object-level cross-modal loss, a scalar; 0 if no caption names a concept.

    With several processes prototypes are sums over all of them, and the mean of the processes'
    losses is the loss of the whole batch.

    Args:
        patches: Patch features, (B, P, D).
        tokens: Projected text tokens, (B, L, D).
        occurrences: The M concepts named in the batch.
        concepts: Number K of concepts in the bank.
        seen: Which patches there are, (B, P) bool, some of every pair; all by default.
        query_temperature: Temperature of the softmax over patches.
        targets: What an occurrence is to be classified as: ``named``, the concept the caption names
            (the poster's equation), or ``nearest``, the present concept it is most similar to (the
            authors' code).
        as_released: Do what the authors' code does: targets are the ``nearest``; each process has
            prototypes of its own occurrences only, zero for a concept that others name, and takes
            the mean over its own.
    """
    targets = "nearest" if as_released else targets
    patches, tokens = F.normalize(patches, dim=-1), F.normalize(tokens, dim=-1)
    spelled = torch.einsum("ml,mld->md", occurrences.span, tokens[occurrences.image])  # (M, D)
    sums = tokens.new_zeros(concepts, tokens.shape[-1]).index_add(0, occurrences.label, spelled)
    counts = torch.bincount(occurrences.label, minlength=concepts).to(sums)
    counts = total(counts)
    sums = sums if as_released else total(sums)
    named = counts.sum()
    if named == 0 or (as_released and not len(occurrences.label)):
        return tokens.sum() * 0.0
    prototypes = F.normalize(sums, dim=-1)  # (K, D), the linear classifier h
    # Queries of an image in N slots: patches are not copied for each of the M occurrences.
    place = occurrences.image, _slots(occurrences.image, len(patches))
    most = int(place[1].max()) + 1 if len(occurrences.label) else 1
    queries = prototypes.new_zeros(len(patches), most, prototypes.shape[1])  # (B, N, D)
    queries = queries.index_put(place, prototypes[occurrences.label])
    similarity = queries @ patches.transpose(1, 2) / query_temperature  # (B, N, P)
    if seen is not None:
        similarity = similarity.masked_fill(~seen[:, None], -torch.inf)
    pooled = F.normalize((similarity.softmax(-1) @ patches)[place], dim=-1)  # (M, D)
    logits = CONCEPT_SCALE * pooled @ prototypes.T  # (M, K)
    logits = logits.masked_fill(counts == 0, -torch.inf)
    target = occurrences.label if targets == "named" else logits.argmax(-1)
    if as_released:
        return F.cross_entropy(logits, target)
    # The mean over all processes' occurrences, though each has its own number of them.
    return F.cross_entropy(logits, target, reduction="sum") * world() / named


def _slots(image: Tensor, images: int) -> Tensor:
    """Return for every occurrence how many of its image come before it, (M,) int64."""
    order = image.argsort(stable=True)
    counts = torch.bincount(image, minlength=images)
    starts = counts.cumsum(0) - counts
    slots = torch.empty_like(image)
    slots[order] = torch.arange(len(image), device=image.device) - starts[image[order]]
    return slots


def caption_loss(images: Tensor, captions: Tensor, logit_scale: Tensor) -> Tensor:
    """Return CLIP's symmetric InfoNCE, a scalar; every process's pairs are negatives of all others.

    Args:
        images: Class tokens, (B, D).
        captions: Sentence features, (B, D).
        logit_scale: Logarithm of the inverse temperature; clamped to [0, ln 100].
    """
    scale = logit_scale.clamp(0, math.log(100)).exp()
    images, captions = F.normalize(images, dim=-1), F.normalize(captions, dim=-1)
    target = torch.arange(len(images), device=images.device) + rank() * len(images)
    by_image = scale * images @ gathered(captions).T  # (B, world * B)
    by_caption = scale * captions @ gathered(images).T
    return (F.cross_entropy(by_image, target) + F.cross_entropy(by_caption, target)) / 2
