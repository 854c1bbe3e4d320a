"""X-Decoder: backbone, pixel decoder, decoder and text tower."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.segmenters.xdecoder.architecture import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    STRIDE,
    Architecture,
)
from ovseg_ros.segmenters.xdecoder.decoder import Decoded, Decoder
from ovseg_ros.segmenters.xdecoder.focalnet import FocalNet
from ovseg_ros.segmenters.xdecoder.pixel_decoder import PixelDecoder
from ovseg_ros.segmenters.xdecoder.text_tower import TextTower
from ovseg_ros.segmenters.xdecoder.tower_backbone import TowerBackbone


class XDecoder(nn.Module):
    """Images to query embeddings and masks, and prompts to vectors they are compared with."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: Architecture) -> None:
        """Build from shapes, with random weights."""
        super().__init__()
        self.config = config
        self.backbone: FocalNet | TowerBackbone = (
            TowerBackbone(config.pyramid) if config.pyramid else FocalNet(config)
        )
        self.pixel_decoder = PixelDecoder(config, self.backbone.channels)
        self.decoder = Decoder(config)
        self.text = TextTower(config)
        self.logit_scale = nn.Parameter(torch.ones([]))
        # Buffers name their device: a model built on "meta" gets its parameters from a checkpoint.
        mean, std = (torch.tensor(v, device="cpu") for v in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.register_buffer("std", std[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> tuple[list[Decoded], Tensor]:
        """Decode normalised, padded images.

        Args:
            images: (B, 3, H, W), H and W multiples of 32.

        Returns:
            What the queries say before the first layer and after each, and mask features
            (B, C, H / 4, W / 4).
        """
        if images.shape[2] % STRIDE or images.shape[3] % STRIDE:
            raise ValueError(
                f"images: expected sides that are multiples of {STRIDE}, got {tuple(images.shape)}"
            )
        scales, features = self.pixel_decoder(self.backbone(images))
        return self.decoder(scales, features), features

    def normalise(self, images: Tensor) -> Tensor:
        """Return RGB in 0..255, (B, 3, H, W), normalised and zero-padded right and bottom."""
        height, width = images.shape[2:]
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        return F.pad((images - self.mean) / self.std, padding)

    def match(self, embeddings: Tensor, text: Tensor) -> Tensor:
        """Return logits (B, Q, K) of query embeddings (B, Q, D) for unit text vectors (K, D)."""
        unit = embeddings / (embeddings.norm(dim=-1, keepdim=True) + 1e-7)
        return self.logit_scale.exp() * unit @ text.T
