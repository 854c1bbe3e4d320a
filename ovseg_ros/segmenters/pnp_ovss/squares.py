"""Images as the squares that matchers and scorers see."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def square(images: np.ndarray, size: int, device: torch.device) -> Tensor:
    """Resize RGB images (B, H, W, 3) uint8 bicubically; return (B, 3, size, size) in 0..1."""
    owned = np.require(images, requirements=["C", "W"])
    pixels = torch.from_numpy(owned).to(device).permute(0, 3, 1, 2).float() / 255
    return F.interpolate(pixels, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
