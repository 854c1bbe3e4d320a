"""X-Decoder's decoder: object queries and a class token read the image and become masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.segmenters.xdecoder.architecture import Architecture
from ovseg_ros.segmenters.xdecoder.pixel_decoder import sine_positions


@dataclass(frozen=True)
class Decoded:
    """What the queries say.

    Attributes:
        embeddings: In the space of text, not normalised, (B, Q, D).
        kernels: Whose product with mask features gives mask logits, (B, Q, C).
    """

    embeddings: Tensor
    kernels: Tensor

    def masks(self, features: Tensor) -> Tensor:
        """Return mask logits (B, Q, h, w) on mask features (B, C, h, w)."""
        return torch.einsum("bqc,bchw->bqhw", self.kernels, features)


class Attention(nn.Module):
    """Attention and the norm after it."""

    def __init__(self, width: int, heads: int) -> None:
        """Build with random weights."""
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, block: Tensor
    ) -> Tensor:
        """Return ``norm(x + attention)``; True in ``block`` forbids."""
        read, _ = self.attention(query, key, value, attn_mask=block, need_weights=False)
        return self.norm(x + read)


class FeedForward(nn.Module):
    """A ReLU MLP and the norm after it."""

    def __init__(self, width: int, hidden: int) -> None:
        """Build with random weights."""
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, Q, C) to (B, Q, C)."""
        return self.norm(x + self.linear2(F.relu(self.linear1(x))))


class DecoderLayer(nn.Module):
    """Cross-attention, self-attention, MLP."""

    def __init__(self, config: Architecture) -> None:
        """Build with random weights."""
        super().__init__()
        self.cross_attention = Attention(config.width, config.heads)
        self.self_attention = Attention(config.width, config.heads)
        self.ffn = FeedForward(config.width, config.feedforward)

    def forward(
        self, x: Tensor, places: Tensor, memory: Tensor, keys: Tensor, unseen: Tensor, apart: Tensor
    ) -> Tensor:
        """Return the next state of the queries.

        Args:
            x: Queries, (B, Q, C).
            places: Their learned positions, (Q, C).
            memory: Tokens of the image, (B, N, C).
            keys: The same with their positions added.
            unseen: Tokens that a query may not read, (B * heads, Q, N) bool.
            apart: Queries that may not read each other, (Q, Q) bool.
        """
        x = self.cross_attention(x, x + places, keys, memory, unseen)
        placed = x + places
        x = self.self_attention(x, placed, placed, x, apart)
        return self.ffn(x)


class Mlp(nn.Module):
    """Three layers with ReLU between them."""

    def __init__(self, width: int) -> None:
        """Build with random weights."""
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        first, second, third = self.layers
        return third(F.relu(second(F.relu(first(x)))))


class Decoder(nn.Module):
    """Queries over three scales in turn; each reads only where its last mask was."""

    apart: Tensor

    def __init__(self, config: Architecture) -> None:
        """Build with random weights."""
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.query_feat = nn.Embedding(config.queries, width)
        self.query_embed = nn.Embedding(config.queries, width)
        self.level_embed = nn.Embedding(3, width)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.LayerNorm(width)
        self.class_embed = nn.Linear(width, config.text_width, bias=False)
        self.mask_embed = Mlp(width)
        apart = torch.zeros(config.queries, config.queries, dtype=torch.bool, device="cpu")
        apart[:-1, -1] = apart[-1, :-1] = True  # the class token and the objects
        self.register_buffer("apart", apart, persistent=False)

    def forward(self, scales: list[Tensor], features: Tensor) -> list[Decoded]:
        """Return what the queries say before the first layer and after each.

        Args:
            scales: Maps at strides 32, 16 and 8, (B, C, h, w).
            features: Mask features at stride 4, (B, C, H, W).
        """
        batch = len(features)
        memory, keys, small = [], [], []
        for level, scale in enumerate(scales):
            tokens = scale.flatten(2).transpose(1, 2) + self.level_embed.weight[level]
            width, high, wide = scale.shape[1:]
            positions = sine_positions(high, wide, width, scale.device)
            memory.append(tokens)  # (B, h*w, C)
            keys.append(tokens + positions.to(tokens.dtype))
            # Resizing is linear: features are resized once, not every mask after every layer.
            small.append(resize(features, scale.shape[2:]).to(features.dtype))
        x = self.query_feat.weight.expand(batch, -1, -1)
        decoded = [self._read_out(x)]
        for number, layer in enumerate(self.layers):
            level = number % 3
            unseen = self._unseen(decoded[-1].masks(small[level]))
            x = layer(x, self.query_embed.weight, memory[level], keys[level], unseen, self.apart)
            decoded.append(self._read_out(x))
        return decoded

    def _read_out(self, x: Tensor) -> Decoded:
        """Normalise queries (B, Q, C), pool the class token over the objects, apply the heads."""
        tokens = self.decoder_norm(x)
        unit = tokens / (tokens.norm(dim=-1, keepdim=True) + 1e-7)
        weights = (unit[:, -1:] @ unit[:, :-1].transpose(1, 2)).softmax(-1)  # (B, 1, Q - 1)
        tokens = torch.cat([tokens[:, :-1], weights @ tokens[:, :-1]], 1)
        return Decoded(self.class_embed(tokens), self.mask_embed(tokens))

    def _unseen(self, masks: Tensor) -> Tensor:
        """Return where queries may not look, (B * heads, Q, N), from mask logits (B, Q, h, w)."""
        outside = masks.detach().flatten(2) < 0  # sigmoid below one half
        outside = outside & ~outside.all(-1, keepdim=True)  # who would see nothing sees everything
        return outside.repeat_interleave(self.heads, dim=0)


def resize(maps: Tensor, size_hw: tuple[int, int] | torch.Size, mode: str = "bicubic") -> Tensor:
    """Return maps (B, C, h, w) resized to ``size_hw``, with antialiasing, float32."""
    grown = all(new >= old for new, old in zip(size_hw, maps.shape[2:], strict=True))
    # Growing bilinearly there is nothing to antialias; a bicubic filter is another one without.
    antialias = mode != "bilinear" or not grown
    return F.interpolate(maps.float(), size=tuple(size_hw), mode=mode, antialias=antialias)
