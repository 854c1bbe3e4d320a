"""What the recipes share about visual towers: their files, targets per patch, and partial views."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ovseg_ros.config import option
from ovseg_ros.models.conv_tower import STRIDE
from ovseg_ros.models.files import halves, write_tensors
from ovseg_ros.models.pyramid import load_visual
from ovseg_ros.models.tower import is_photo_tower, tower_digest
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.segmenters.simzss.losses import CONCEPT_SCALE
from ovseg_ros.training.frames import Batch
from ovseg_ros.whole_files import write_json

PATCH = 16


def tower_option() -> Any:
    """Return the option ``tower`` of a recipe whose model stands on one."""
    return option(
        "robot_cell/tower",
        "frozen tower: folder of `ovseg train tower` or `pyramid`, or a SimZSS on a pyramid",
        kind="weights",
    )


def encode_patches(
    vit: VisionTransformer, images: Tensor, kept: Tensor, seen: Tensor | None = None
) -> Tensor:
    """Encode CLS and only some patches with their own positions, as BBoost's local captions do.

    Args:
        vit: A ViT of timm.
        images: Normalised, (B, 3, H, W).
        kept: Which patches, (B, n) int64; padded where ``seen`` is given.
        seen: Which of them count, (B, n) bool; all by default.

    Returns:
        Final tokens, CLS first, (B, 1 + n, D).
    """
    grid = vit.patch_embed(images)  # (B, h, w, D)
    positions = resample_abs_pos_embed(vit.pos_embed, list(grid.shape[1:3]), num_prefix_tokens=1)
    patches = grid.flatten(1, 2) + positions[:, 1:]
    patches = patches.gather(1, kept[..., None].expand(-1, -1, patches.shape[-1]))
    first = (vit.cls_token + positions[:, :1]).expand(len(images), -1, -1)
    tokens = torch.cat([first, patches], 1)
    mask = None if seen is None else F.pad(seen, (1, 0), value=True)[:, None, None]
    for block in vit.blocks:
        tokens = block(tokens, attn_mask=mask)
    encoded: Tensor = vit.norm(tokens)
    return encoded


def save_tower(out: Path, tower: nn.Module, visual: dict[str, Any]) -> None:
    """Write a tower's weights (float16) and its arguments."""
    write_tensors(out / "tower.safetensors", halves(tower.state_dict()))
    write_json(out / "tower.json", {"visual": visual})


def load_tower(name: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a tower's arguments for timm and its state dict (float16).

    Args:
        name: Folder of ``ovseg train tower`` (named with its digest; its weights stay where they
            are, so there are none to return), of ``ovseg train pyramid``, or of a SimZSS on such a
            pyramid.

    Raises:
        FileNotFoundError: if there is no tower.
    """
    directory = Path(resolve_weights(str(name)))
    if is_photo_tower(directory):
        return {"tower": str(name), "digest": tower_digest(directory)}, {}
    return load_visual(directory)


def tower_card(directory: Path) -> dict[str, Any]:
    """Return what a tower's card says about its training; empty if it has none."""
    path = Path(resolve_weights(str(directory))) / "card.json"
    card = json.loads(path.read_text()) if path.is_file() else {}
    card = card.get("tower", card)  # of a SimZSS, its tower's
    kept = ("command", "data", "seconds", "val_miou", "start", "before")
    return {key: card[key] for key in kept if key in card}


class CellHeads(nn.Module):
    """The heads that exist only while a tower is trained.

    They are cosine classifiers, as names are for SimZSS later: features gather around directions,
    so that a text tower has something to point at.
    """

    def __init__(self, width: int, categories: int, colours: int) -> None:
        """Build with random weights, for tokens of a width."""
        super().__init__()
        self.category = nn.Parameter(torch.randn(categories, width) / width**0.5)
        self.colour = nn.Parameter(torch.randn(colours, width) / width**0.5)

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of categories (..., C) and colours (..., A) of features (..., D)."""
        features = F.normalize(features.float(), dim=-1)
        heads = (F.normalize(head, dim=-1) for head in (self.category, self.colour))
        category, colour = (CONCEPT_SCALE * features @ head.T for head in heads)
        return category, colour

    def losses(
        self, first: Tensor, patches: Tensor, batch: Batch, rarity: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of class tokens (B, D) and patch tokens (B, h, w, D).

        Args:
            first: The class tokens.
            patches: The patch tokens, of stride 8.
            batch: What the images show.
            rarity: Weights of the categories, (C,).
        """
        category, colour = self.classify(patches.flatten(1, 2))
        size = (batch.labels.shape[1], batch.labels.shape[2])
        categories = len(self.category)
        where = patch_shares(batch.labels, STRIDE, categories)
        paint = patch_shares(batch.colours, STRIDE, len(self.colour))
        shown = (patch_shares(batch.labels, size, categories)[:, 0] > 0.003).float()
        found = {
            "patch": cross_entropy(category, where * rarity),
            "colour": cross_entropy(colour[..., 1:], paint[..., 1:]),
            "image": cross_entropy(self.classify(first)[0], shown * rarity),
        }
        return {"loss": found["patch"] + 0.3 * found["colour"] + 0.1 * found["image"], **found}


def cross_entropy(logits: Tensor, weights: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits (..., C) with non-negative target weights (..., C).

    Targets need not sum to one: their sum is the weight of the place; all-zero places do not count.
    """
    losses = -(weights * logits.log_softmax(-1)).sum()
    return losses / weights.sum().clamp_min(1e-6)


def patch_shares(labels: Tensor, patch: int | tuple[int, int], count: int) -> Tensor:
    """Return the share of every label in every patch.

    Args:
        labels: (B, H, W) int64 in [0, count).
        patch: Side, or (height, width), of a patch in pixels.
        count: Number C of labels.

    Returns:
        (B, h*w, C) float32; rows sum to 1.
    """
    high, wide = (patch, patch) if isinstance(patch, int) else patch
    batch, height, width = labels.shape
    blocks = labels.view(batch, height // high, high, width // wide, wide)
    blocks = blocks.permute(0, 1, 3, 2, 4).reshape(batch, -1, high * wide)[..., ::3]  # every third
    shares = torch.zeros(*blocks.shape[:2], count, device=labels.device)
    shares.scatter_add_(2, blocks, torch.ones_like(blocks, dtype=torch.float32))
    return shares / blocks.shape[-1]
