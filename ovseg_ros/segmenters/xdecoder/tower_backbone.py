"""The robot cell's tower as X-Decoder's backbone: it learns from few images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ovseg_ros.models.maps import TowerMaps
from ovseg_ros.segmenters.xdecoder.architecture import IMAGENET_MEAN, IMAGENET_STD


class TowerBackbone(TowerMaps):
    """A tower that reads images as X-Decoder normalises them."""

    seen_mean: Tensor
    seen_std: Tensor

    def __init__(self, shape: dict[str, Any]) -> None:
        """Build a tower, see :class:`~ovseg_ros.models.maps.TowerMaps`."""
        super().__init__(shape)
        for name, values in (("seen_mean", IMAGENET_MEAN), ("seen_std", IMAGENET_STD)):
            value = torch.tensor(values, device="cpu")[:, None, None]
            self.register_buffer(name, value, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps of strides 4 to 32, each (B, C, h, w), of normalised images (B, 3, H, W).

        H and W must be multiples of 32.
        """
        return super().forward(images * self.seen_std + self.seen_mean)
