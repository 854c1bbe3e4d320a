"""A convolutional visual tower: a feature pyramid whose finest map is the patches of SimZSS.

Convolutions learn the shapes of small things from a few thousand images, which a plain ViT of the
same cost does not. Published towers are ViTs (``VisionTower`` in ``model.py``); this one has the
same contract and serves models that are trained from scratch.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 8
"""Pixels per side of a patch."""


class PyramidTower(nn.Module):
    """Features of strides 8, 16 and 32, merged from coarse to fine at stride 8.

    Attributes:
        patch: Height and width of a patch in pixels; inputs are whole multiples of ``multiple``.
        embed_dim: Width D of the tokens.
    """

    patch = (STRIDE, STRIDE)

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
        merged = self.lateral[2](coarse)
        for level, features in ((1, middle), (0, fine)):
            merged = F.interpolate(merged, size=features.shape[2:], mode="nearest")
            merged = self.merge[level](merged + self.lateral[level](features))
        patches = self.project(merged).permute(0, 2, 3, 1)
        return self.summary(coarse.mean((2, 3))), patches
