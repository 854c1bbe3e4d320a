"""What FISA adds to CLIP: SEVE's text attention, the distribution adapter, and LoRA to compare."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 16
"""Channels between the adapter's convolutions."""

_CHUNK = 2**23
"""Mask pixels that the adapter reads at a time while nothing is trained; bounds the memory."""


class SemanticExtraction(nn.Module):
    """Mask tokens read the text of the vocabulary (Eq. 3 and 4), with one head.

    [MASK]^ = softmax(g_q([MASK]) g_k([TGT])^T / sqrt(d)) g_v([TGT])
    """

    def __init__(self, width: int, text_width: int, inner: int, *, residual: bool = False) -> None:
        """Build with random weights.

        Args:
            width: Width C of the mask tokens.
            text_width: Width of the text.
            inner: Width d of queries and keys.
            residual: Add the mask token to what it read.
        """
        super().__init__()
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(text_width, inner)
        self.value = nn.Linear(text_width, width)
        self.residual = residual

    def read(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys (K, d) and values (K, C) of unit class text (K, D).

        Text is scaled to unit root mean square, as the normalised tokens are that meet it.
        """
        text = text * text.shape[-1] ** 0.5
        return self.key(text), self.value(text)

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return what tokens (B, M, C) read, (B, M, C), from what :meth:`read` returned."""
        batch = len(tokens)
        found: Tensor = F.scaled_dot_product_attention(
            self.query(tokens), keys.expand(batch, -1, -1), values.expand(batch, -1, -1)
        )
        return tokens + found if self.residual else found


class DistributionAdapter(nn.Module):
    """Convolutions that bring a generator's masks closer to what CLIP expects, mask by mask.

    With two layers: Conv(1 -> 16, 3x3), GELU, Conv(16 -> 1, 3x3), added to the mask logits. The
    last convolution starts at zero, so that an untrained adapter changes nothing.
    """

    def __init__(self, layers: int) -> None:
        """Build 0 to 3 convolutions; none is the identity."""
        super().__init__()
        widths = [1, *[HIDDEN] * (layers - 1), 1] if layers else []
        steps: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            steps += [nn.Conv2d(before, after, 3, padding=1), nn.GELU()]
        self.layers = nn.Sequential(*steps[:-1])
        if layers:
            last = self.layers[-1]
            assert isinstance(last, nn.Conv2d) and last.bias is not None
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, masks: Tensor) -> Tensor:
        """Return adapted mask logits, (B, M, h, w) as they came."""
        if not len(self.layers) or not masks.numel():
            return masks
        flat = masks.flatten(0, 1)[:, None]  # (B * M, 1, h, w)
        step = len(flat)
        if not torch.is_grad_enabled():
            step = max(1, _CHUNK // flat[0].numel())
        added = torch.cat([self.layers(part) for part in flat.split(step)])
        return masks + added.view_as(masks)


class Lora(nn.Module):
    """Low-rank updates of a layer's query, key, value and output projections; zero at first."""

    def __init__(self, width: int, rank: int) -> None:
        """Build four updates of rank ``rank`` for tokens of width C."""
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(width, rank, bias=False) for _ in range(4))
        self.up = nn.ModuleList(nn.Linear(rank, width, bias=False) for _ in range(4))
        for linear in self.up:
            nn.init.zeros_(linear.weight)  # type: ignore[arg-type]

    def forward(self, tokens: Tensor, part: int) -> Tensor:
        """Return the update of query 0, key 1, value 2 or output 3 for tokens (B, N, C)."""
        update: Tensor = self.up[part](self.down[part](tokens))
        return update
