"""X-Decoder's pixel decoder: a transformer on the coarsest map, then a feature pyramid."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.segmenters.xdecoder.architecture import Architecture


def sine_positions(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Return DETR's sine code of every place, (height * width, channels) float32.

    The first half of the channels encodes the row, the second the column; coordinates count from 1
    and are scaled to (0, 2 pi]; wave lengths grow to 10000.
    """
    half = channels // 2
    order = torch.arange(half, device=device, dtype=torch.float32)
    waves = 10000.0 ** (2 * (order // 2) / half)

    def axis(length: int) -> Tensor:
        places = torch.arange(1, length + 1, device=device, dtype=torch.float32)
        angles = (places / (length + 1e-6) * 2 * math.pi)[:, None] / waves  # (length, half)
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], 2).flatten(1)

    rows = axis(height)[:, None].expand(-1, width, -1)
    columns = axis(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], 2).flatten(0, 1)


class EncoderLayer(nn.Module):
    """Post-norm self-attention with positions on queries and keys, and a ReLU MLP."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        """Build with random weights."""
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Map tokens (B, N, C) with positions (N, C) to tokens (B, N, C)."""
        placed = x + positions
        x = self.norm1(x + self.self_attn(placed, placed, x, need_weights=False)[0])
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class ConvNorm(nn.Conv2d):
    """A convolution without bias and a GroupNorm."""

    def __init__(self, inside: int, outside: int, kernel: int, groups: int) -> None:
        """Build with random weights."""
        super().__init__(inside, outside, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(groups, outside)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W)."""
        return self.norm(super().forward(x))


class PixelDecoder(nn.Module):
    """From the backbone's four maps to the decoder's three, and to mask features at stride 4."""

    def __init__(self, config: Architecture, channels: tuple[int, ...]) -> None:
        """Build with random weights for a backbone with these channels."""
        super().__init__()
        width, groups = config.width, config.groups
        self.input_proj = nn.Conv2d(channels[3], width, 1)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, config.heads, config.feedforward)
            for _ in range(config.encoder_layers)
        )
        self.adapters = nn.ModuleList(ConvNorm(c, width, 1, groups) for c in channels[:3])
        self.layers = nn.ModuleList(ConvNorm(width, width, 3, groups) for _ in range(4))
        self.mask_features = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return maps at strides 32, 16, 8 and mask features at stride 4, all (B, C, h, w)."""
        # On a CPU the GroupNorm of maps whose channels lie side by side loses half a digit.
        maps = [one.contiguous() for one in maps]
        coarse = self.input_proj(maps[3])
        batch, width, height, breadth = coarse.shape
        positions = sine_positions(height, breadth, width, coarse.device).to(coarse.dtype)
        tokens = coarse.flatten(2).transpose(1, 2)  # (B, h*w, C)
        for layer in self.encoder:
            tokens = layer(tokens, positions)
        coarse = tokens.transpose(1, 2).reshape(batch, width, height, breadth)
        y = F.relu(self.layers[3](coarse))
        scales = [y]
        for level in (2, 1, 0):
            lateral = self.adapters[level](maps[level])
            y = lateral + F.interpolate(y, size=lateral.shape[2:], mode="nearest")
            y = F.relu(self.layers[level](y))
            scales.append(y)
        return scales[:3], self.mask_features(y)
