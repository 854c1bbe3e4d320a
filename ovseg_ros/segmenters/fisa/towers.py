"""CLIP's vision transformers in parts, so that mask tokens can ride along with an image.

open_clip has two kinds: its own, and timm's EVA. Both are shown as the same steps; the modules stay
what they are, so that published weights fit.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(Protocol):
    """One layer in parts; tokens are (B, N, C).

    Attributes:
        heads: Number of heads.
    """

    heads: int

    def normalise(self, x: Tensor) -> Tensor:
        """Return what the attention reads."""
        ...

    def project(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of what :meth:`normalise` returned."""
        ...

    def query(self) -> tuple[Tensor, Tensor | None]:
        """Return weight (C, C) and bias (C,) of the query projection."""
        ...

    def output(self, attended: Tensor) -> Tensor:
        """Return the output projection of the heads' results."""
        ...

    def add(self, x: Tensor, output: Tensor) -> Tensor:
        """Return the layer's tokens: residuals and MLP."""
        ...


class Tower(Protocol):
    """A vision transformer in parts.

    Attributes:
        blocks: Its layers.
        width: Width C of its tokens.
        embedding: What makes patches of pixels.
    """

    blocks: list[Block]
    width: int
    embedding: nn.Module

    def patches(self, images: Tensor) -> Tensor:
        """Return patches (B, C, h, w) of normalised images (B, 3, H, W)."""
        ...

    def embed(self, patches: Tensor) -> Tensor:
        """Return tokens (B, 1 + h * w, C), the class token first, of patches (B, C, h, w)."""
        ...

    def finish(self, x: Tensor) -> Tensor:
        """Return tokens in the space of the text, (B, M, D)."""
        ...


class _OpenClipBlock:
    def __init__(self, block: Any) -> None:
        self.block, self.heads = block, block.attn.num_heads

    def normalise(self, x: Tensor) -> Tensor:
        y: Tensor = self.block.ln_1(x)
        return y

    def project(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        attention = self.block.attn
        query, key, value = F.linear(y, attention.in_proj_weight, attention.in_proj_bias).chunk(
            3, -1
        )
        return query, key, value

    def query(self) -> tuple[Tensor, Tensor | None]:
        attention, width = self.block.attn, self.block.attn.embed_dim
        return attention.in_proj_weight[:width], attention.in_proj_bias[:width]

    def output(self, attended: Tensor) -> Tensor:
        found: Tensor = self.block.attn.out_proj(attended)
        return found

    def add(self, x: Tensor, output: Tensor) -> Tensor:
        x = x + self.block.ls_1(output)
        y: Tensor = self.block.ls_2(self.block.mlp(self.block.ln_2(x)))
        return x + y


class OpenClipTower:
    """open_clip's own vision transformer."""

    def __init__(self, visual: Any) -> None:
        """Show a ``VisionTransformer`` in parts.

        Raises:
            ValueError: if it pools otherwise than by its class token.
        """
        if visual.attn_pool is not None or visual.pool_type != "tok":
            raise ValueError("clip: expected a vision transformer whose class token meets the text")
        self.visual = visual
        self.blocks: list[Block] = [_OpenClipBlock(b) for b in visual.transformer.resblocks]
        self.width: int = visual.transformer.width
        self.embedding: nn.Module = visual.conv1

    def patches(self, images: Tensor) -> Tensor:
        """Return patches; see :class:`Tower`."""
        found: Tensor = self.visual.conv1(images)
        return found

    def embed(self, patches: Tensor) -> Tensor:
        """Return tokens; see :class:`Tower`."""
        visual, grid = self.visual, (patches.shape[2], patches.shape[3])
        first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], 1)
        table = visual.positional_embedding
        positions = resize_positions(table, tuple(visual.grid_size), grid)
        found: Tensor = visual.ln_pre(tokens + positions.to(tokens.dtype))
        return found

    def finish(self, x: Tensor) -> Tensor:
        """Return tokens in the space of the text; see :class:`Tower`."""
        found: Tensor = self.visual.ln_post(x)
        return found if self.visual.proj is None else found @ self.visual.proj


class _EvaBlock:
    def __init__(self, block: Any) -> None:
        self.block, self.heads = block, block.attn.num_heads

    def normalise(self, x: Tensor) -> Tensor:
        y: Tensor = self.block.norm1(x)
        return y

    def project(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        attention = self.block.attn
        bias = None
        if attention.q_bias is not None:
            bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
        query, key, value = F.linear(y, attention.qkv.weight, bias).chunk(3, -1)
        return query, key, value

    def query(self) -> tuple[Tensor, Tensor | None]:
        attention = self.block.attn
        return attention.qkv.weight.chunk(3)[0], attention.q_bias

    def output(self, attended: Tensor) -> Tensor:
        found: Tensor = self.block.attn.proj(self.block.attn.norm(attended))
        return found

    def add(self, x: Tensor, output: Tensor) -> Tensor:
        block = self.block
        x = x + (output if block.gamma_1 is None else block.gamma_1 * output)
        y: Tensor = block.mlp(block.norm2(x))
        return x + (y if block.gamma_2 is None else block.gamma_2 * y)


class EvaTower:
    """timm's EVA (EVA01), as open_clip wraps it."""

    def __init__(self, visual: Any) -> None:
        """Show a ``TimmModel`` around an EVA in parts.

        Raises:
            ValueError: if it has rotary positions, or its attention is of another kind.
        """
        trunk = visual.trunk
        plain = all(
            block.attn.qkv is not None and isinstance(block.attn.q_norm, nn.Identity)
            for block in trunk.blocks
            if hasattr(block, "norm1")
        )
        if trunk.rope is not None or not plain or trunk.num_prefix_tokens != 1:
            raise ValueError("clip: expected an EVA01 (absolute positions, one class token)")
        self.visual, self.trunk = visual, trunk
        self.blocks: list[Block] = [_EvaBlock(block) for block in trunk.blocks]
        self.width: int = trunk.embed_dim
        self.embedding: nn.Module = trunk.patch_embed.proj

    def patches(self, images: Tensor) -> Tensor:
        """Return patches; see :class:`Tower`."""
        found: Tensor = self.trunk.patch_embed.proj(images)
        return found

    def embed(self, patches: Tensor) -> Tensor:
        """Return tokens; see :class:`Tower`."""
        trunk, grid = self.trunk, (patches.shape[2], patches.shape[3])
        tokens = trunk.patch_embed.norm(patches.flatten(2).transpose(1, 2))
        tokens = torch.cat([trunk.cls_token.expand(len(patches), -1, -1), tokens], 1)
        positions = resize_positions(trunk.pos_embed[0], trunk.patch_embed.grid_size, grid)
        found: Tensor = trunk.norm_pre(tokens + positions)
        return found

    def finish(self, x: Tensor) -> Tensor:
        """Return tokens in the space of the text; see :class:`Tower`."""
        found: Tensor = self.visual.head(self.trunk.head(self.trunk.fc_norm(self.trunk.norm(x))))
        return found


def show_tower(visual: nn.Module) -> Tower:
    """Return the vision tower of an open_clip model in parts.

    Raises:
        ValueError: if it is of a kind that has no mask tokens here.
    """
    if hasattr(visual, "class_embedding"):
        return OpenClipTower(visual)
    trunk = getattr(visual, "trunk", None)
    if type(trunk).__name__ == "Eva":
        return EvaTower(visual)
    raise ValueError(
        f"clip: expected a vision transformer of open_clip or an EVA, got {type(visual).__name__}"
    )


def resize_positions(table: Tensor, old: tuple[int, ...], new: tuple[int, int]) -> Tensor:
    """Return position embeddings (1 + N, C) for another grid, bilinear; the first one stays."""
    if tuple(old) == new:
        return table
    grid = table[1:].T.unflatten(1, old)[None]  # (1, C, h, w)
    grid = F.interpolate(grid, size=new, mode="bilinear")
    return torch.cat([table[:1], grid[0].flatten(1).T])
