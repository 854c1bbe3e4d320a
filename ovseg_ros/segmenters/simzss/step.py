"""One step of CLIP, LiT or SimZSS: from features and captions to the losses.

The three differ in two switches: CLIP trains the vision tower too; SimZSS adds the concept loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from ovseg_ros.models.tokenizer import Tokenizer
from ovseg_ros.segmenters.simzss.losses import Occurrences, caption_loss, concept_loss
from ovseg_ros.segmenters.simzss.model import SimZSS
from ovseg_ros.training.concepts import Bank, token_spans

OBJECTIVES = ("clip", "lit", "simzss")


class Reader:
    """Turns captions into ids and into the concepts they name; each caption is read once."""

    def __init__(self, tokenizer: Tokenizer, banks: Sequence[Bank]) -> None:
        """Keep the tokenizer and the banks whose concepts are looked for."""
        self.banks = tuple(banks)
        self._tokenizer = tokenizer
        self._read = lru_cache(maxsize=200_000)(self._read_one)

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, list[Occurrences]]:
        """Return ids (B, L) int64, and for every bank what the captions name of it."""
        read = [self._read(caption) for caption in captions]
        ids = torch.stack([ids for ids, _ in read])
        found = []
        for number in range(len(self.banks)):
            spans = [spans[number] for _, spans in read]
            found.append(_occurrences(spans, ids.shape[1]))
        return ids, found

    def _read_one(self, caption: str) -> tuple[Tensor, list[list[tuple[int, list[int]]]]]:
        offsets = self._tokenizer.offsets(caption)
        spans = [token_spans(bank.find(caption), offsets) for bank in self.banks]
        return self._tokenizer([caption])[0], spans


def _occurrences(spans: Sequence[list[tuple[int, list[int]]]], length: int) -> Occurrences:
    image = [row for row, found in enumerate(spans) for _ in found]
    label = [label for found in spans for label, _ in found]
    span = torch.zeros(len(label), length)
    for row, tokens in enumerate(tokens for found in spans for _, tokens in found):
        span[row, tokens] = 1.0
    return Occurrences(
        torch.tensor(image, dtype=torch.int64), torch.tensor(label, dtype=torch.int64), span
    )


def objective_losses(
    model: SimZSS,
    images: Tensor,
    patches: Tensor,
    ids: Tensor,
    found: Sequence[Occurrences],
    *,
    seen: Tensor | None = None,
    weights: Mapping[str, float],
    sizes: Sequence[int],
    query_temperature: float,
    targets: str = "named",
    as_released: bool = False,
) -> dict[str, Tensor]:
    """Return the losses of a batch; ``loss`` is what is minimised.

    Args:
        model: Its text tower and temperature are used.
        images: Class tokens, (B, D).
        patches: Patch tokens, (B, P, D); not looked at if no weight is above 0.
        ids: Captions, (B, L) int64.
        found: For every bank the concepts named.
        seen: Which patches there are, (B, P) bool; all by default.
        weights: For every bank its name and the weight of its loss; none for CLIP and LiT.
        sizes: For every bank the number of its concepts.
        query_temperature: See :func:`concept_loss`.
        targets: See :func:`concept_loss`.
        as_released: See :func:`concept_loss`.
    """
    pooled, tokens = model.encode_text(ids.to(images.device))
    with torch.autocast(images.device.type, enabled=False):  # small products, kept exact
        losses = {"caption": caption_loss(images.float(), pooled.float(), model.logit_scale)}
        for (name, weight), named, size in zip(weights.items(), found, sizes, strict=False):
            if weight > 0:
                losses[name] = concept_loss(
                    patches.float(),
                    tokens.float(),
                    named.to(images.device),
                    size,
                    seen=seen,
                    query_temperature=query_temperature,
                    targets=targets,
                    as_released=as_released,
                )
    total = losses["caption"]
    for name, weight in weights.items():
        if name in losses:
            total = total + weight * losses[name]
    return {"loss": total, **losses}


class Trained(nn.Module):
    """The trained part of a model: checkpoints need not repeat a frozen tower."""

    def __init__(self, model: SimZSS, objective: str) -> None:
        """Freeze the vision tower unless the objective is ``clip``."""
        super().__init__()
        self.text, self.logit_scale = model.text, model.logit_scale
        if objective == "clip":
            self.visual = model.visual.requires_grad_(True)
        else:
            model.visual.requires_grad_(False).eval()
