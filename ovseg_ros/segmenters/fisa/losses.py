"""FISA's criterion: transformers' own of Mask2Former, with names in the place of classes (Eq. 6).

Proposals and segments are matched once per image (Hungarian), masks are compared at sampled points,
and a proposal without a segment is not held to be anything: its weight is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ovseg_ros.training.distributed import total, world

WEIGHTS = {"loss_cross_entropy": 2.0, "loss_mask": 5.0, "loss_dice": 5.0}
"""Of cross-entropy, binary cross-entropy and dice, in the loss and in the matching."""


def fisa_losses(
    logits: Tensor,
    masks: Tensor,
    targets: Sequence[Tensor],
    labels: Sequence[Tensor],
    *,
    points: int = 12544,
) -> dict[str, Tensor]:
    """Return the loss, and its parts without their weights: ``class``, ``mask`` and ``dice``.

    Args:
        logits: Of the K names and, last, of the text "other", (B, Q, K + 1).
        masks: Adapted mask logits, (B, Q, h, w).
        targets: For every image the masks of its segments, (T, H, W) float in 0..1.
        labels: Their names, (T,) int64 in 0..K - 1.
        points: Points at which masks are compared; three times as many are tried, and three
            quarters of them taken where the mask is least sure.
    """
    criterion = _criterion(logits.shape[-1] - 1, points, logits.device)
    count = torch.tensor(float(sum(map(len, labels))), device=logits.device)
    # With several processes all divide by the mean: their gradients' mean is the batch's gradient.
    criterion.segments = (total(count) / world()).clamp_min(1.0)
    kept = [row for row, own in enumerate(labels) if len(own)]
    if not kept:
        nothing = (logits.sum() + masks.sum()) * 0
        return {"loss": nothing, "class": nothing, "mask": nothing, "dice": nothing}
    found = criterion(
        masks_queries_logits=masks[kept].float(),
        class_queries_logits=logits[kept].float(),
        mask_labels=[targets[row] for row in kept],
        class_labels=[labels[row] for row in kept],
    )
    summed = torch.stack([weight * found[name].squeeze() for name, weight in WEIGHTS.items()]).sum()
    parts = zip(("class", "mask", "dice"), WEIGHTS, strict=True)
    return {"loss": summed, **{name: found[key].squeeze() for name, key in parts}}


@lru_cache(maxsize=4)
def _criterion(names: int, points: int, device: torch.device) -> Any:
    from transformers import Mask2FormerConfig
    from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

    class Criterion(Mask2FormerLoss):
        """Divides by a number of segments that it is told."""

        segments: Tensor

        def get_num_masks(self, class_labels: Any, device: torch.device) -> Tensor:
            return self.segments

    config = Mask2FormerConfig(  # type: ignore[call-arg]
        num_labels=names,
        no_object_weight=0.0,
        class_weight=WEIGHTS["loss_cross_entropy"],
        mask_weight=WEIGHTS["loss_mask"],
        dice_weight=WEIGHTS["loss_dice"],
        train_num_points=points,
        oversample_ratio=3.0,
        importance_sample_ratio=0.75,
    )
    return Criterion(config=config, weight_dict=WEIGHTS).to(device)
