"""The robot cell's convolutional pyramid as X-Decoder's backbone: it learns from few images."""

from __future__ import annotations

from typing import Any

import timm
import torch
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn

from ovseg_ros.models.pyramid import PyramidTower
from ovseg_ros.segmenters.xdecoder.architecture import IMAGENET_MEAN, IMAGENET_STD


class PyramidBackbone(nn.Module):
    """A pyramid tower that also gives its map of stride 4, and its patch tokens for stride 8."""

    gain: Tensor
    shift: Tensor

    def __init__(self, shape: dict[str, Any]) -> None:
        """Build with random weights from the arguments of :class:`PyramidTower`."""
        super().__init__()
        self.tower = PyramidTower(**shape)
        rest = {key: v for key, v in shape.items() if key not in ("backbone", "embed_dim")}
        self.tower.backbone = timm.create_model(  # the same weights, one more map
            shape.get("backbone", "resnet18"),
            pretrained=False,
            features_only=True,
            out_indices=(1, 2, 3, 4),
            **rest,
        ).to(memory_format=torch.channels_last)
        channels = self.tower.backbone.feature_info.channels()  # type: ignore[union-attr,operator]
        self.channels = (channels[0], self.tower.embed_dim, *channels[2:])
        mean, std, seen_mean, seen_std = (
            torch.tensor(values, device="cpu")[:, None, None]
            for values in (IMAGENET_MEAN, IMAGENET_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
        )
        # From X-Decoder's normalisation to the one the tower was trained with.
        self.register_buffer("gain", std / 255 / seen_std, persistent=False)
        self.register_buffer("shift", (mean / 255 - seen_mean) / seen_std, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps of strides 4 to 32, each (B, C, h, w), of normalised images (B, 3, H, W).

        H and W must be multiples of 32.
        """
        seen = images * self.gain + self.shift
        finest, *maps = self.tower.backbone(seen.contiguous(memory_format=torch.channels_last))
        patches = self.tower.merge_maps(*maps)  # (B, D, H / 8, W / 8)
        return [finest, patches, *maps[1:]]
