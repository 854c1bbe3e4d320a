"""FocalNet as X-Decoder uses it: four stages whose outputs are taken before down-sampling.

Convolutions read maps that lie plane by plane, as the authors' do: with channels side by side a CPU
rounds otherwise, and a mask value within that of one half changes what a query reads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

from ovseg_ros.segmenters.xdecoder.architecture import Architecture


class PatchEmbed(nn.Module):
    """A strided convolution and a LayerNorm over channels."""

    def __init__(
        self, inside: int, outside: int, *, kernel: int, stride: int, padding: int
    ) -> None:
        """Build with random weights."""
        super().__init__()
        self.proj = nn.Conv2d(inside, outside, kernel, stride=stride, padding=padding)
        self.norm = nn.LayerNorm(outside)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, h, w, C')."""
        return self.norm(self.proj(x.contiguous()).permute(0, 2, 3, 1).contiguous())


class FocalModulation(nn.Module):
    """Gathers context at growing windows, gates it per place and modulates a query with it."""

    def __init__(self, dim: int, *, levels: int, window: int) -> None:
        """Build with random weights."""
        super().__init__()
        self.f = nn.Linear(dim, 2 * dim + levels + 1)
        self.h = nn.Conv2d(dim, dim, 1)
        self.proj = nn.Linear(dim, dim)
        kernels = [window + 2 * level for level in range(levels)]
        self.focal_layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, k, padding=k // 2, groups=dim, bias=False), nn.GELU())
            for k in kernels
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        levels, dim = len(self.focal_layers), x.shape[-1]
        mixed = self.f(x).permute(0, 3, 1, 2).contiguous()  # (B, 2C + L + 1, H, W)
        query, context, gates = mixed.split((dim, dim, levels + 1), 1)
        gathered = torch.zeros_like(query)
        for level, layer in enumerate(self.focal_layers):
            context = layer(context)
            gathered = gathered + context * gates[:, level : level + 1]
        whole = F.gelu(context.mean(2, keepdim=True).mean(3, keepdim=True))  # (B, C, 1, 1)
        gathered = (gathered + whole * gates[:, levels:]) / (levels + 1)
        return self.proj((query * self.h(gathered)).permute(0, 2, 3, 1).contiguous())


class FocalBlock(nn.Module):
    """Modulation and MLP, each normalised after it and scaled per channel (Focal-L)."""

    def __init__(self, dim: int, *, levels: int, window: int, scale: float = 1e-4) -> None:
        """Build with random weights; ``scale`` is where the layer scale starts."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.modulation = FocalModulation(dim, levels=levels, window=window)
        self.mlp = Mlp(dim, 4 * dim)
        self.gamma_1 = nn.Parameter(scale * torch.ones(dim))
        self.gamma_2 = nn.Parameter(scale * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        x = x + self.gamma_1 * self.norm1(self.modulation(x))
        return x + self.gamma_2 * self.norm2(self.mlp(x))


class DepthwiseFocalBlock(FocalBlock):
    """Focal-T's block: depthwise 3x3 first, and the norms after the sums."""

    def __init__(self, dim: int, *, levels: int, window: int, scale: float = 1e-4) -> None:
        """Build with random weights."""
        super().__init__(dim, levels=levels, window=window, scale=scale)
        self.dw1 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.dw2 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        x = x + _channels_first(self.dw1, x)
        x = self.norm1(x + self.gamma_1 * self.modulation(x))
        x = x + _channels_first(self.dw2, x)
        return self.norm2(x + self.gamma_2 * self.mlp(x))


def _channels_first(layer: nn.Module, x: Tensor) -> Tensor:
    output: Tensor = layer(x.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)
    return output


class Stage(nn.Module):
    """Blocks of one resolution and what halves it afterwards."""

    def __init__(self, config: Architecture, dim: int, depth: int, *, last: bool) -> None:
        """Build with random weights."""
        super().__init__()
        block = DepthwiseFocalBlock if config.depthwise else FocalBlock
        self.blocks = nn.ModuleList(
            block(dim, levels=config.focal_levels, window=config.focal_window) for _ in range(depth)
        )
        self.downsample = None if last else PatchEmbed(dim, 2 * dim, kernel=3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the blocks make of (B, H, W, C), and the next stage's input."""
        for block in self.blocks:
            x = block(x)
        if self.downsample is None:
            return x, x
        return x, self.downsample(x.permute(0, 3, 1, 2))


class FocalNet(nn.Module):
    """The backbone: maps at strides 4, 8, 16 and 32."""

    def __init__(self, config: Architecture) -> None:
        """Build with random weights."""
        super().__init__()
        self.channels = tuple(config.dim * 2**stage for stage in range(4))
        self.patch_embed = PatchEmbed(
            3, config.dim, kernel=7, stride=4, padding=config.stem_padding
        )
        self.layers = nn.ModuleList(
            Stage(config, dim, depth, last=stage == 3)
            for stage, (dim, depth) in enumerate(zip(self.channels, config.depths, strict=True))
        )
        self.norm0, self.norm1, self.norm2, self.norm3 = map(nn.LayerNorm, self.channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return res2 to res5, each (B, C, h, w), of normalised images (B, 3, H, W).

        H and W must be multiples of 32.
        """
        x = self.patch_embed(images)
        maps = []
        norms = (self.norm0, self.norm1, self.norm2, self.norm3)
        for layer, norm in zip(self.layers, norms, strict=True):
            before, x = layer(x)
            maps.append(norm(before).permute(0, 3, 1, 2))
        return maps
