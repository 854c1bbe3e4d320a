"""The towers of SimZSS: a frozen visual tower, mostly a ViT, and a causal text transformer."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.transformer import TextTransformer
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ovseg_ros.models.files import (
    architecture,
    load_state,
    read_object,
    read_tensors,
    write_tensors,
)
from ovseg_ros.models.pyramid import PyramidTower
from ovseg_ros.models.tokenizer import Tokenizer, load_tokenizer
from ovseg_ros.models.word_tower import WordTower, named_word_tower
from ovseg_ros.whole_files import write_json


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Shapes of the two towers, as written to ``config.json`` beside the weights.

    Attributes:
        visual: Keyword arguments of timm's ``VisionTransformer``, of ``PyramidTower`` if they
            name a ``backbone``, or of ``named_word_tower`` if they name a ``tower``.
        text: Keyword arguments of open_clip's ``TextTransformer`` (``output_dim`` is the ViT's).
        denoiser: Side of the denoiser's square position table in patches; 0 for no denoiser.
        image_hw: Input size (height, width) in pixels that the model was trained with.
        mean: Channel means in [0, 1] that images are normalised with.
        std: Channel standard deviations.
        taught: Names that captions taught, on a tower whose real words come from a dictionary.
    """

    visual: dict[str, Any]
    text: dict[str, Any]
    denoiser: int = 0
    image_hw: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = field(default=OPENAI_CLIP_MEAN)
    std: tuple[float, ...] = field(default=OPENAI_CLIP_STD)
    taught: tuple[str, ...] = ()


class _Vit(nn.Module):
    """Holds the ViT: one level more, so that the keys of weights are those of the authors."""

    def __init__(self, model: VisionTransformer) -> None:
        super().__init__()
        self.model = model


class VisionTower(nn.Module):
    """A ViT whose patches may be cleaned by one more transformer block (the denoiser)."""

    def __init__(self, config: Architecture) -> None:
        """Build from shapes, with random weights."""
        super().__init__()
        self.vit = _Vit(
            VisionTransformer(num_classes=0, global_pool="", dynamic_img_size=True, **config.visual)
        )
        width = self.vit.model.embed_dim
        if config.denoiser:
            self.pos_embed = nn.Parameter(torch.zeros(1, config.denoiser**2, width))
            self.denoiser = Block(
                width,
                num_heads=config.visual.get("num_heads", 12),
                qkv_bias=True,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),  # type: ignore[arg-type]
            )
        self.has_denoiser = bool(config.denoiser)
        self.patch = self.vit.model.patch_embed.patch_size
        self.embed_dim = width

    @property
    def trunk(self) -> nn.Module:
        """The part that `ovseg train pyramid` or others pretrain."""
        return self.vit.model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode normalised images.

        Args:
            images: (B, 3, H, W), H and W multiples of the patch size.

        Returns:
            Class tokens (B, D) and patch tokens (B, h, w, D), after the final norm.
        """
        h, w = images.shape[2] // self.patch[0], images.shape[3] // self.patch[1]
        tokens = self.vit.model.forward_features(images)  # (B, prefix + h*w, D)
        patches = tokens[:, self.vit.model.num_prefix_tokens :]
        if self.has_denoiser:
            positions = resample_abs_pos_embed(
                self.pos_embed, [h, w], num_prefix_tokens=0, interpolation="bicubic"
            )
            patches = self.denoiser(patches + positions)
        return tokens[:, 0], patches.unflatten(1, (h, w))


class SimZSS(nn.Module):
    """Vision tower, text tower and the learned temperature of the global loss."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: Architecture) -> None:
        """Build from shapes, with random weights."""
        super().__init__()
        self.config = config
        self.visual = build_tower(config)
        self.text = TextTransformer(
            output_dim=self.visual.embed_dim, output_tokens=True, **config.text
        )
        self.logit_scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
        self.register_buffer("mean", torch.tensor(config.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(config.std)[:, None, None], persistent=False)

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return class tokens (B, D) and patches (B, h, w, D) of normalised images (B, 3, H, W)."""
        return self.visual(images)

    def encode_text(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sentence (B, D) and its tokens (B, L, D), both projected, of ids (B, L).

        Tokens behind the longest sentence's end are zero.
        """
        text, ends = self.text, ids.argmax(-1)  # (B,), the end mark has the largest id
        length = int(ends.max()) + 1  # causal attention: what follows the end marks changes nothing
        tokens = text.token_embedding(ids[:, :length]) + text.positional_embedding[:length]
        tokens = text.transformer(tokens, attn_mask=text.attn_mask[:length, :length])
        # open_clip projects the pooled token only; concepts live in the projected space too.
        tokens = text.ln_final(tokens) @ text.text_projection  # (B, length, D)
        pooled = tokens[torch.arange(len(ids), device=ids.device), ends]
        return pooled, F.pad(tokens, (0, 0, 0, ids.shape[1] - length))

    def normalise(self, images: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in [0, 1], normalised with the channel statistics."""
        return (images - self.mean) / self.std


def build_tower(config: Architecture) -> VisionTower | PyramidTower | WordTower:
    """Return the visual tower that a configuration describes, with random weights.

    One that is stored for itself comes with its own.

    Raises:
        ValueError: if the stored tower has another digest.
    """
    if "tower" in config.visual:
        return named_word_tower(**config.visual, taught=config.taught)
    if "backbone" in config.visual:
        return PyramidTower(**config.visual)
    return VisionTower(config)


def save_simzss(
    model: SimZSS, tokenizer: Tokenizer, directory: Path, *, dtype: torch.dtype = torch.float16
) -> None:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer to a directory.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        directory: Where to; made if need be.
        dtype: Of the stored numbers; a package of small models wants float16, published weights
            keep the float32 they came in.
    """
    config = {name: getattr(model.config, name) for name in model.config.__dataclass_fields__}
    write_json(directory / "config.json", config)
    frozen = not next(model.visual.parameters()).requires_grad  # the objective clip trains it
    stored = frozen and isinstance(model.visual, WordTower)  # for itself: config.json names it
    weights = {
        key: value.to(dtype).contiguous()
        for key, value in model.state_dict().items()
        if not (stored and key.startswith("visual."))
    }
    write_tensors(directory / "model.safetensors", weights)
    tokenizer.save(directory)


def load_simzss(directory: Path) -> tuple[SimZSS, Tokenizer]:
    """Load a directory written by :func:`save_simzss`.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: naming the keys if the weights do not fit the configuration.
    """
    path = directory / "config.json"
    raw = read_object(path)
    raw.update({key: tuple(value) for key, value in raw.items() if isinstance(value, list)})
    tensors = read_tensors(directory / "model.safetensors")
    with architecture(path, "a SimZSS"):
        model = SimZSS(Architecture(**raw))
    if isinstance(model.visual, WordTower):
        own = model.visual.state_dict(prefix="visual.")
        tensors = {**own, **tensors}
    load_state(model, tensors, directory / "model.safetensors")
    text: Any = model.text
    tokenizer = load_tokenizer(directory, ids=text.vocab_size, length=text.context_length)
    return model.eval(), tokenizer


def is_simzss(directory: Path) -> bool:
    """Tell whether a folder holds a SimZSS."""
    config = directory / "config.json"
    return config.is_file() and {"visual", "text"} <= read_object(config).keys()


def unit(x: Tensor) -> Tensor:
    """Return ``x`` scaled to unit length along the last dimension."""
    return F.normalize(x, dim=-1)
