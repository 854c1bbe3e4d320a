"""LMSeg's trained parts: fusion, cost embedding, aggregation, decoder (arXiv 2412.00364).

The towers are frozen and not part of it. What the paper leaves open follows CAT-Seg's published
design (arXiv 2303.11797) and is marked [choice].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.segmenters.lmseg.aggregation import Aggregator
from ovseg_ros.segmenters.lmseg.config import Shape
from ovseg_ros.segmenters.lmseg.features import Dense, cost_map, fuse

START = 2.2
"""Of w's logit: at first CLIP has nine tenths [choice]."""


class Lmseg(nn.Module):
    """From features and text to a logit of every name at four times the features' resolution."""

    def __init__(self, shape: Shape, *, space: int, clip: int, sam: int) -> None:
        """Build with random weights.

        Args:
            shape: Sizes and switches.
            space: Width D of the space where images meet text.
            clip: Width of CLIP's tokens.
            sam: Channels of segment-anything's neck.
        """
        super().__init__()
        self.shape = shape
        self.sam_in = nn.Conv2d(sam, space, 1)
        self.sam_norm = nn.LayerNorm(space)
        self.weight = nn.Parameter(torch.tensor(START))
        self.embed = nn.Conv2d(1, shape.width, 7, padding=3)
        self.image_guidance = nn.Conv2d(space, shape.guidance, 1)
        self.text_guidance = nn.Linear(space, shape.guidance)
        self.aggregator = Aggregator(shape)
        self.decoder = Decoder(shape, clip)
        # Scale and shift of the cost map in the logits: a cosine of 0.4 is even odds at first.
        self.skip = nn.Parameter(torch.tensor([10.0, -4.0])) if shape.skip else None
        if shape.skip:  # all that is learnt is added to what CLIP knows, from nothing on
            nn.init.zeros_(self.decoder.last.weight)
            nn.init.zeros_(self.decoder.last.bias)  # type: ignore[arg-type]

    @property
    def mix(self) -> Tensor:
        """The weight w of CLIP in the fusion, ()."""
        return self.weight.sigmoid()

    def see(self, dense: Dense, neck: Tensor) -> Tensor:
        """Return unit features (B, D, g, g), fused or of one tower alone.

        Args:
            dense: CLIP's features.
            neck: segment-anything's, of the same view, (B, C, h, w).
        """
        grid = (self.shape.grid, self.shape.grid)
        clip = resize(dense.features, grid)
        if self.shape.features == "clip":
            return F.normalize(clip, dim=1)
        sam = self.sam_norm(self.sam_in(neck).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        sam = resize(sam, grid)
        if self.shape.features == "sam":
            return F.normalize(sam, dim=1)
        return fuse(clip, sam, self.mix)

    def forward(self, dense: Dense, neck: Tensor, text: Tensor) -> Tensor:
        """Return logits of K names, (B, K, 4 g, 4 g).

        Args:
            dense: CLIP's features of the views.
            neck: segment-anything's, (B, C, h, w).
            text: Class text, (K, D).
        """
        return self.refine(self.see(dense, neck), dense, text)

    def refine(self, features: Tensor, dense: Dense, text: Tensor) -> Tensor:
        """Return logits of K names, (B, K, 4 g, 4 g), from what :meth:`see` returned."""
        cost = cost_map(features, text)  # (B, K, g, g)
        x = self.embed(cost.flatten(0, 1)[:, None]).unflatten(0, cost.shape[:2])
        x = x.permute(0, 1, 3, 4, 2)  # (B, K, g, g, C)
        image = self.image_guidance(features).permute(0, 2, 3, 1)
        names = self.text_guidance(F.normalize(text, dim=1))
        x = self.aggregator(x, image, names)
        grid = (self.shape.grid, self.shape.grid)
        logits: Tensor = self.decoder(x, resize(dense.middle, grid), resize(dense.early, grid))
        if self.skip is not None:
            logits = logits + self.skip[0] * resize(cost, logits.shape[2:]) + self.skip[1]
        return logits


class Decoder(nn.Module):
    """Two steps, each to twice the resolution, with guidance of CLIP's inner layers [choice]."""

    def __init__(self, shape: Shape, clip: int) -> None:
        """Build with random weights for CLIP tokens of a width."""
        super().__init__()
        guides, widths = shape.decoder_guidance, (shape.width, *shape.decoder)
        self.guides = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(clip, 2 * channels, scale, scale),
                nn.Conv2d(2 * channels, channels, 3, padding=1),
                nn.ReLU(),
            )
            for channels, scale in zip(guides, (2, 4), strict=True)
        )
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(before, before - channels, 2, 2)
            if before > channels
            else nn.ConvTranspose2d(before, before, 2, 2)
            for before, channels in zip(widths[:2], guides, strict=True)
        )
        self.merges = nn.ModuleList()
        for up, channels, after in zip(self.ups, guides, widths[1:], strict=True):
            assert isinstance(up, nn.ConvTranspose2d)
            layers: list[nn.Module] = []
            for width in (up.out_channels + channels, after):
                layers += [
                    nn.Conv2d(width, after, 3, padding=1, bias=False),
                    nn.GroupNorm(max(1, after // 16), after),
                    nn.ReLU(),
                ]
            self.merges.append(nn.Sequential(*layers))
        self.last = nn.Conv2d(widths[2], 1, 3, padding=1)

    def forward(self, x: Tensor, middle: Tensor, early: Tensor) -> Tensor:
        """Return logits (B, K, 4 g, 4 g).

        Args:
            x: Refined maps, (B, K, g, g, C).
            middle: Tokens of CLIP's middle layer, (B, C', g, g).
            early: Those of its early layer.
        """
        batch, names = x.shape[:2]
        y = x.permute(0, 1, 4, 2, 3).flatten(0, 1)  # (B * K, C, g, g)
        for guide, up, merge, tokens in zip(
            self.guides, self.ups, self.merges, (middle, early), strict=True
        ):
            own = guide(tokens)[:, None].expand(-1, names, -1, -1, -1).flatten(0, 1)
            y = merge(torch.cat([up(y), own], 1))
        logits: Tensor = self.last(y)[:, 0].unflatten(0, (batch, names))
        return logits


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return maps (B, C, h, w) at another size, bilinear."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear")
