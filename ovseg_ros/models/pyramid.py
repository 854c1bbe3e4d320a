"""The robot cell's visual tower: a convolutional feature pyramid.

Convolutions learn the shapes of small things from a few thousand images, which a plain ViT of the
same cost does not. SimZSS takes its finest map for patches, in place of the published ViT; BLIP,
whose ViT reads pixels only, is given the same map laid out as an image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.models.conv_tower import ConvTower
from ovseg_ros.models.files import load_state, read_object, read_tensors
from ovseg_ros.models.tower import PhotoTower, is_photo_tower, load_photo_tower


class PyramidTower(ConvTower):
    """Features of strides 8, 16 and 32, merged from coarse to fine at stride 8."""

    def __init__(self, backbone: str = "resnet18", embed_dim: int = 192, **shape: Any) -> None:
        """Build with random weights.

        Args:
            backbone: A convolutional model of timm with feature maps of strides 8, 16 and 32.
            embed_dim: Width D of the tokens.
            shape: More arguments of that model.
        """
        super().__init__()
        self.embed_dim = embed_dim
        self.backbone = timm.create_model(
            backbone, pretrained=False, features_only=True, out_indices=(2, 3, 4), **shape
        )
        channels: list[int] = self.backbone.feature_info.channels()  # type: ignore[union-attr,operator]
        self.lateral = nn.ModuleList(nn.Conv2d(width, embed_dim, 1) for width in channels)
        self.merge = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(embed_dim, embed_dim, 3, padding=1, bias=False),
                nn.BatchNorm2d(embed_dim),
                nn.ReLU(),
            )
            for _ in channels[:2]
        )
        self.project = nn.Conv2d(embed_dim, embed_dim, 1)
        self.summary = nn.Linear(channels[-1], embed_dim)
        self.to(memory_format=torch.channels_last)

    @property
    def trunk(self) -> nn.Module:
        """The part that is pretrained: all of it."""
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode normalised images.

        Args:
            images: (B, 3, H, W), H and W multiples of 8.

        Returns:
            Class tokens (B, D) and patch tokens (B, H/8, W/8, D).
        """
        fine, middle, coarse = self.backbone(images.contiguous(memory_format=torch.channels_last))
        patches = self.merge_maps(fine, middle, coarse).permute(0, 2, 3, 1)
        return self.summary(coarse.mean((2, 3))), patches

    def merge_maps(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """Return patch tokens (B, D, h, w) from the maps of strides 8, 16 and 32, (B, C, h, w)."""
        merged = self.lateral[2](coarse)
        for level, features in ((1, middle), (0, fine)):
            merged = F.interpolate(merged, size=features.shape[2:], mode="nearest")
            merged = self.merge[level](merged + self.lateral[level](features))
        patches: Tensor = self.project(merged)
        return patches


Tower = PyramidTower | PhotoTower
"""What models of the cell look through: one that learned from scratch, or one from photographs."""


def load_pyramid(directory: Path) -> Tower:
    """Load a tower for inference: fused, frozen.

    Args:
        directory: Folder of ``ovseg train tower`` or ``pyramid``, or of a SimZSS on a pyramid.

    Raises:
        FileNotFoundError: if there is no SimZSS.
        ValueError: if its tower is another one.
    """
    if is_photo_tower(directory):
        return load_photo_tower(directory).fuse().requires_grad_(False)
    visual, weights = load_visual(directory)
    tower = PyramidTower(**visual)
    load_state(tower, weights, directory / "tower")
    return tower.fuse().requires_grad_(False)


def load_visual(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the arguments and the state dict of a pyramid.

    Args:
        directory: Folder of ``ovseg train pyramid``, or of a SimZSS on a pyramid.

    Raises:
        FileNotFoundError: if there is neither.
        ValueError: if the SimZSS stands on another tower.
    """
    alone = directory / "tower.json"
    if alone.is_file():
        weights = read_tensors(directory / "tower.safetensors", option="tower")
        return read_object(alone, option="tower")["visual"], weights
    if not (directory / "model.safetensors").is_file():
        raise FileNotFoundError(f"tower: expected {alone}; make it with `ovseg train pyramid`")
    visual = read_object(directory / "config.json", option="tower").get("visual")
    if not isinstance(visual, dict) or "backbone" not in visual:
        raise ValueError(f"tower: expected a SimZSS on a pyramid in {directory}, got another model")
    weights = read_tensors(directory / "model.safetensors", option="tower")
    mine = {key[7:]: value for key, value in weights.items() if key.startswith("visual.")}
    return visual, mine
