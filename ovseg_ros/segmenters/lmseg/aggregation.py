"""Refining cost maps: over places by Swin blocks, over names by linear attention.

Names have no order: nothing here knows which of them comes first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.segmenters.lmseg.config import Shape


class SpatialLayer(nn.Module):
    """A pair of Swin blocks (plain and shifted windows) on every name's map by itself.

    Queries and keys also see the image's guidance; values are the map's alone.
    """

    def __init__(self, shape: Shape) -> None:
        """Build with random weights."""
        super().__init__()
        self.blocks = nn.ModuleList(WindowBlock(shape, shift) for shift in (0, shape.window // 2))

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Refine maps.

        Args:
            x: (N, h, w, C); N counts names of all images.
            guidance: Of each name's image, (N, h, w, G).
        """
        for block in self.blocks:
            x = block(x, guidance)
        return x


class WindowBlock(nn.Module):
    """Pre-norm attention in windows, and an MLP."""

    def __init__(self, shape: Shape, shift: int) -> None:
        """Build with random weights; windows begin ``shift`` places later."""
        super().__init__()
        self.window, self.shift, self.heads = shape.window, shift, shape.heads
        width, both = shape.width, shape.width + shape.guidance
        self.norm, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(both, width), nn.Linear(both, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        # Bias by relative place, one number a head, as Swin learns it.
        self.bias = nn.Parameter(torch.zeros(shape.heads, (2 * shape.window - 1) ** 2))

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Refine maps (N, h, w, C) with guidance (N, h, w, G)."""
        height, width = x.shape[1:3]
        window = min(self.window, height, width)
        shift = self.shift if window < max(height, width) else 0
        y = self.norm(x)
        seen = torch.cat([y, guidance], -1)
        inside = torch.ones(1, height, width, 1, device=x.device, dtype=torch.bool)
        parts = [
            cut(t, window, shift) for t in (self.query(seen), self.key(seen), self.value(y), inside)
        ]
        query, key, value = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in parts[:3]
        )  # (N * windows, heads, window^2, C / heads)
        groups = parts[3][..., 0] if shift == 0 else self._groups(height, width, window, shift)
        same = groups[:, :, None] == groups[:, None]  # (windows, places, places)
        real = cut(inside.int(), window, shift)[..., 0] > 0
        mask = torch.where(same & real[:, None], 0.0, -torch.inf)[:, None]
        # Windows count as heads, so that one mask serves all N maps without a copy for each.
        mask = (mask + self._bias(window)).to(query.dtype).flatten(0, 1)[None]
        query, key, value = (
            t.unflatten(0, (len(x), -1)).flatten(1, 2) for t in (query, key, value)
        )
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        found = found.unflatten(1, (-1, self.heads)).flatten(0, 1)
        found = self.output(found.transpose(1, 2).flatten(2))
        x = x + uncut(found, window, shift, (height, width))
        y = x + self.mlp(self.norm2(x))
        return y

    def _bias(self, window: int) -> Tensor:
        """Return the bias of every pair of places in a window, (heads, places, places)."""
        rows, columns = torch.meshgrid(
            torch.arange(window, device=self.bias.device),
            torch.arange(window, device=self.bias.device),
            indexing="ij",
        )
        places = torch.stack([rows.flatten(), columns.flatten()])  # (2, places)
        apart = places[:, :, None] - places[:, None] + self.window - 1
        return self.bias[:, apart[0] * (2 * self.window - 1) + apart[1]]

    def _groups(self, height: int, width: int, window: int, shift: int) -> Tensor:
        """Return which part of the map a place of a window is from: a shift joins both edges."""
        rows = torch.arange(height, device=self.bias.device)
        columns = torch.arange(width, device=self.bias.device)
        part = 2 * (rows < shift)[:, None] + (columns < shift)[None]
        return cut(part[None, ..., None], window, shift)[..., 0]


def cut(x: Tensor, window: int, shift: int) -> Tensor:
    """Return windows (N * windows, window^2, C) of maps (N, h, w, C), padded, after a shift."""
    if shift:
        x = x.roll((-shift, -shift), (1, 2))
    height, width = x.shape[1:3]
    x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
    x = x.unflatten(2, (-1, window)).unflatten(1, (-1, window))  # (N, r, s, c, s, C)
    return x.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def uncut(x: Tensor, window: int, shift: int, size: tuple[int, int]) -> Tensor:
    """Return maps (N, h, w, C) of windows; undoes :func:`cut`."""
    rows, columns = (-(-side // window) for side in size)
    x = x.unflatten(0, (-1, rows, columns)).unflatten(3, (window, window))
    x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, : size[0], : size[1]]
    return x.roll((shift, shift), (1, 2)) if shift else x


class ClassLayer(nn.Module):
    """Every place looks over all names, by attention that is linear in their number."""

    def __init__(self, shape: Shape) -> None:
        """Build with random weights."""
        super().__init__()
        self.pool, self.heads = shape.pool, shape.heads
        width, both = shape.width, shape.width + shape.guidance
        self.norm, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(both, width), nn.Linear(both, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Refine maps.

        Args:
            x: (B, K, h, w, C).
            guidance: Of the names' text, (K, G).
        """
        size = x.shape[2:4]
        small = x.permute(0, 1, 4, 2, 3).flatten(0, 1)  # (B * K, C, h, w)
        if self.pool > 1 and min(size) >= self.pool:
            small = F.avg_pool2d(small, self.pool)
        y = small.unflatten(0, x.shape[:2]).permute(0, 3, 4, 1, 2)  # (B, h', w', K, C)
        z = self.norm(y)
        seen = torch.cat([z, guidance.expand(*z.shape[:-1], -1)], -1)
        query, key, value = (
            t.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
            for t in (self.query(seen), self.key(seen), self.value(z))
        )  # (B, h', w', heads, K, C / heads)
        found = linear_attention(query, key, value).transpose(-2, -3).flatten(-2)
        changed = y + self.output(found)
        changed = changed + self.mlp(self.norm2(changed))
        difference = (changed - y).permute(0, 3, 4, 1, 2).flatten(0, 1)  # (B * K, C, h', w')
        if difference.shape[2:] != size:
            difference = F.interpolate(difference, size=size, mode="bilinear")
        return x + difference.unflatten(0, x.shape[:2]).permute(0, 1, 3, 4, 2)


def linear_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return phi(Q) (phi(K)^T V) / (phi(Q) . sum phi(K) + 1e-6), phi = elu + 1.

    Args:
        query: (..., K, C).
        key: (..., K, C).
        value: (..., K, C).
    """
    query, key = F.elu(query) + 1, F.elu(key) + 1
    memory = key.transpose(-2, -1) @ value  # (..., C, C)
    total = (query * key.sum(-2, keepdim=True)).sum(-1, keepdim=True)
    found: Tensor = (query @ memory) / (total + 1e-6)
    return found


class Aggregator(nn.Module):
    """Layers of both kinds in turn."""

    def __init__(self, shape: Shape) -> None:
        """Build with random weights."""
        super().__init__()
        self.spatial = nn.ModuleList(
            SpatialLayer(shape) for _ in range(shape.layers if shape.spatial else 0)
        )
        self.classes = nn.ModuleList(
            ClassLayer(shape) for _ in range(shape.layers if shape.classes else 0)
        )
        self.layers = shape.layers

    def forward(self, x: Tensor, image: Tensor, text: Tensor) -> Tensor:
        """Refine maps.

        Args:
            x: (B, K, h, w, C).
            image: Guidance of the images, (B, h, w, G).
            text: Guidance of the names, (K, G).
        """
        own = image[:, None].expand(-1, x.shape[1], -1, -1, -1).flatten(0, 1)
        for number in range(self.layers):
            if self.spatial:
                x = self.spatial[number](x.flatten(0, 1), own).unflatten(0, x.shape[:2])
            if self.classes:
                x = self.classes[number](x, text)
        return x
