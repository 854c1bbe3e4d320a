"""X-Decoder's text tower: CLIP's causal transformer, with a LayerNorm of its own."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from ovseg_ros.segmenters.prompts import templates
from ovseg_ros.segmenters.xdecoder.architecture import Architecture

EPSILON = 1e-12
"""Of the tower's LayerNorms; CLIP's own is 1e-5."""


def prompt_templates() -> tuple[str, ...]:
    """Return the 81 prompts of the release: the bare name with a full stop, and CLIP's 80."""
    return ("{}.", *templates("clip"))


class QuickGELU(nn.Module):
    """The sigmoid approximation of GELU that CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (...) to (...)."""
        return x * torch.sigmoid(1.702 * x)


class TextBlock(nn.Module):
    """Pre-norm causal self-attention and MLP."""

    def __init__(self, width: int, heads: int) -> None:
        """Build with random weights."""
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width, eps=EPSILON), nn.LayerNorm(width, eps=EPSILON)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                gelu=QuickGELU(),
                c_proj=nn.Linear(4 * width, width),
            )
        )

    def forward(self, x: Tensor, future: Tensor) -> Tensor:
        """Map (N, L, D) to (N, L, D); True in ``future`` (L, L) forbids."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=future, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class TextTower(nn.Module):
    """Prompts to vectors in the space where queries meet them."""

    future: Tensor

    def __init__(self, config: Architecture) -> None:
        """Build with random weights."""
        super().__init__()
        width = config.text_width
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.zeros(config.context_length, width))
        self.resblocks = nn.ModuleList(
            TextBlock(width, config.text_heads) for _ in range(config.text_layers)
        )
        self.ln_final = nn.LayerNorm(width, eps=EPSILON)
        self.projection = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        length = config.context_length
        future = torch.ones(length, length, dtype=torch.bool, device="cpu").triu(1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the projected feature at the first end mark (the largest id), (N, D).

        Args:
            ids: Token ids, (N, L) int64.
        """
        ends = ids.argmax(1)
        length = int(ends.max()) + 1  # causal attention: what follows the end marks changes nothing
        ids = ids[:, :length]
        x = self.token_embedding(ids) + self.positional_embedding[:length]  # (N, L, D)
        for block in self.resblocks:
            x = block(x, self.future[:length, :length])
        x = self.ln_final(x)
        return self.projection(x[torch.arange(len(x), device=x.device), ends])
