"""The robot cell's visual tower: a small ViT that learns from the simulator's masks.

It stands in for DINOv2 and CLIP-scale pretraining, which cannot be downloaded where the package is
tested. It is frozen afterwards; SimZSS's text tower and the small BLIP are trained on top of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.layers import build_sincos2d_pos_embed, resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ovseg_ros.config import Config, option
from ovseg_ros.training.frames import load_frames
from ovseg_ros.training.loop import LoopConfig, optimise

SIZES_HW = ((240, 320), (240, 320), (320, 320), (240, 240))
"""Input sizes of training: the segmenter's (half of the steps), and BBoost's two squares."""

PATCH = 16


@dataclass(frozen=True, kw_only=True)
class TowerConfig(Config):
    """Options of the tower's recipe."""

    data: str = option("", "directory of the rendered robot cell")
    out: str = option("out/tower", "directory of the result")
    width: int = option(192, "width of the ViT", low=64)
    depth: int = option(6, "blocks of the ViT", low=1)
    partial: float = option(
        0.25, "share of the steps that see only 30 to 70 % of the patches", low=0.0, high=1.0
    )
    loop: LoopConfig = LoopConfig(steps=2400, batch=8, lr=1e-3, muon_lr=0.02, warmup=0.02)


def visual_arguments(config: TowerConfig) -> dict[str, Any]:
    """Return the keyword arguments of timm's ``VisionTransformer`` for a configuration."""
    return {
        "img_size": 320,
        "patch_size": PATCH,
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.width // 64,
    }


class TowerTrainer(nn.Module):
    """The tower and the linear heads that exist only while it is trained."""

    def __init__(self, config: TowerConfig, categories: int, colours: int) -> None:
        """Build with random weights."""
        super().__init__()
        self.vit = VisionTransformer(
            num_classes=0, global_pool="", dynamic_img_size=True, **visual_arguments(config)
        )
        side = self.vit.patch_embed.grid_size[0]
        with torch.no_grad():  # neighbours are similar from the start, which saves many steps
            code = build_sincos2d_pos_embed([side, side], dim=config.width, temperature=100.0)
            self.vit.get_parameter("pos_embed")[:, 1:] = 0.3 * code
        self.category = nn.Linear(config.width, categories)
        self.colour = nn.Linear(config.width, colours)


def encode_patches(
    vit: VisionTransformer, images: Tensor, kept: Tensor, seen: Tensor | None = None
) -> Tensor:
    """Encode CLS and only some patches with their own positions, as BBoost's local captions do.

    Args:
        vit: The tower.
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


def train(config: TowerConfig) -> None:
    """Train the tower and write it to ``config.out``."""
    torch.manual_seed(config.loop.seed)
    frames = load_frames(Path(config.data), "train")
    model = TowerTrainer(config, len(frames.categories) + 1, len(frames.colours) + 1)
    rarity = frames.rarity()

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        size = SIZES_HW[int(torch.randint(len(SIZES_HW), (1,), generator=generator))]
        batch = frames.crop(frames.draw(config.loop.batch, generator), size, generator)
        grid = (size[0] // PATCH, size[1] // PATCH)
        share = 1.0
        if float(torch.rand(1, generator=generator)) < config.partial:
            share = float(torch.empty(1).uniform_(0.3, 0.7, generator=generator))
        kept = draw_regions(config.loop.batch, grid, round(grid[0] * grid[1] * share), generator)
        with torch.autocast("cpu", torch.bfloat16):
            tokens = encode_patches(model.vit, frames.normalise(batch.images), kept)
        first, patches = tokens[:, 0], tokens[:, 1:]
        where = patch_shares(batch.labels, PATCH, len(frames.categories) + 1)
        paint = patch_shares(batch.colours, PATCH, len(frames.colours) + 1)
        where, paint = (
            shares.gather(1, kept[..., None].expand(-1, -1, shares.shape[-1]))
            for shares in (where, paint)
        )
        whole = patch_shares(batch.labels, size, len(frames.categories) + 1)[:, 0]
        shown = (whole > 0.003).float() * rarity
        losses = {
            "patch": cross_entropy(model.category(patches.float()), where * rarity),
            "colour": cross_entropy(model.colour(patches.float())[..., 1:], paint[..., 1:]),
            "image": cross_entropy(model.category(first.float()), shown),
        }
        return {"loss": losses["patch"] + 0.3 * losses["colour"] + 0.1 * losses["image"], **losses}

    out = Path(config.out)
    seconds = optimise(model, step, config.loop, out, recipe=config)
    save_tower(out, model.vit, visual_arguments(config), seconds=round(seconds))


def save_tower(out: Path, tower: nn.Module, visual: dict[str, Any], **facts: float) -> None:
    """Write a tower's weights (float16), its arguments and facts about its training."""
    save_file(
        {key: value.half().contiguous() for key, value in tower.state_dict().items()},
        out / "tower.safetensors",
    )
    (out / "tower.json").write_text(json.dumps({"visual": visual, **facts}, indent=2))


def load_tower(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the tower's arguments for timm and its state dict (float16)."""
    path = directory / "tower.json"
    if not path.is_file():
        raise FileNotFoundError(f"tower: expected {path}; make it with `ovseg train pyramid`")
    return json.loads(path.read_text())["visual"], load_file(directory / "tower.safetensors")


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


def draw_regions(
    batch: int, grid_hw: tuple[int, int], count: int, generator: torch.Generator
) -> Tensor:
    """Draw for every image ``count`` patches, scattered or (half of the images) in blobs.

    Returns:
        Patch indices (batch, count) int64 in ascending order.
    """
    height, width = grid_hw
    noise = torch.rand(batch, height * width, generator=generator)
    coarse = torch.rand(batch, 1, 4, 4, generator=generator)
    blobs = F.interpolate(coarse, size=grid_hw, mode="bicubic").flatten(1)
    chosen = torch.where(torch.rand(batch, 1, generator=generator) < 0.5, noise, blobs)
    return chosen.topk(count, dim=1).indices.sort(1).values
