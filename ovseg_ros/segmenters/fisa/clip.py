"""Mask classifiers: models of open_clip, and the small CLIP of the recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ovseg_ros.models.files import (
    architecture,
    check_finite,
    first_damaged,
    first_line,
    read_object,
    read_tensors,
    write_tensors,
)
from ovseg_ros.models.maps import load_own_state, own_state
from ovseg_ros.models.tokenizer import Tokenizer, load_tokenizer
from ovseg_ros.models.weights import resolve_folder
from ovseg_ros.segmenters.fisa.pyramid import PyramidPatches
from ovseg_ros.whole_files import write_json

FILE = "open_clip_config.json"
"""Where open_clip keeps a model's shapes; ours have the arguments of the pyramid there too."""


@dataclass(frozen=True)
class Clip:
    """A CLIP and what belongs to it.

    Attributes:
        model: A model of open_clip.
        tokenizer: Texts to ids (N, L) int64.
        mean: Channel means in 0..255, (3, 1, 1).
        std: Channel standard deviations, (3, 1, 1).
        width: Width D of the space where images meet text.
        digest: Of everything the meaning of text depends on.
        side: Side of a patch in pixels.
        small: Whether it reads a pyramid, which normalises images itself.
    """

    model: nn.Module
    tokenizer: Callable[[Sequence[str]], Tensor]
    mean: Tensor
    std: Tensor
    width: int
    digest: str
    side: int
    small: bool

    def normalise(self, images: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in 0..255 as the model reads them."""
        if self.small:
            return images
        return (images - self.mean.to(images.device)) / self.std.to(images.device)

    def to(self, device: torch.device) -> Clip:
        """Return it with everything on a device, so that no frame has to bring anything there."""
        mean, std = self.mean.to(device), self.std.to(device)
        return replace(self, model=self.model.to(device), mean=mean, std=std)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return text vectors, (N, D), not normalised."""
        ids = self.tokenizer(list(texts)).to(next(self.model.parameters()).device)
        model: Any = self.model
        if getattr(model, "text_pool_type", "") != "argmax" or model.attn_mask is None:
            vectors: Tensor = model.encode_text(ids)  # a tower that reads to the end
            return vectors
        ends = ids.argmax(-1)  # (N,), the end mark has the largest id
        length = int(ends.max()) + 1  # causal attention: what follows the end marks changes nothing
        kind = model.transformer.get_cast_dtype()
        tokens = model.token_embedding(ids[:, :length]) + model.positional_embedding[:length]
        tokens = model.transformer(tokens.to(kind), attn_mask=model.attn_mask[:length, :length])
        pooled: Tensor = model.ln_final(tokens)[torch.arange(len(ids), device=ids.device), ends]
        projection: nn.Module | Tensor | None = model.text_projection
        if isinstance(projection, nn.Module):
            return projection(pooled)  # type: ignore[no-any-return]
        return pooled if projection is None else pooled @ projection


def load_clip(name: str) -> Clip:
    """Load a CLIP: a folder or public name with open_clip's files, or a small one of ours.

    Raises:
        FileNotFoundError: if the weights are not there, or are something else.
        ValueError: if they are damaged.
    """
    folder = Path(resolve_folder(name))
    if not (folder / FILE).is_file():
        raise FileNotFoundError(
            f"clip: expected a CLIP of open_clip, {folder} has no {FILE}; public ones are called "
            "like timm/vit_large_patch14_clip_336.openai"
        )
    config = read_object(folder / FILE, option="clip")
    if "pyramid" in config:
        return _load_small(folder, config)
    import open_clip

    source = f"local-dir:{folder}"
    try:
        model = open_clip.create_model(source, require_pretrained=True)
        tokenizer = open_clip.get_tokenizer(source)
    except Exception as error:  # whatever a damaged or a foreign file leads its reader to
        reason = first_damaged(folder) or first_line(error)
        raise FileNotFoundError(f"clip: could not load {name!r}: {reason}") from error
    check_finite(model.named_parameters(), folder)
    seen, width = config.get("preprocess_cfg", {}), int(config["model_cfg"]["embed_dim"])
    return make_clip(
        model,
        tokenizer,
        width,
        mean=seen.get("mean", open_clip.OPENAI_DATASET_MEAN),
        std=seen.get("std", open_clip.OPENAI_DATASET_STD),
    )


def make_clip(
    model: nn.Module,
    tokenizer: Callable[[Sequence[str]], Tensor],
    width: int,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> Clip:
    """Return a model with what belongs to it.

    Args:
        model: A model of open_clip.
        tokenizer: Texts to ids.
        width: Width D of the space where images meet text.
        mean: Channel means in 0..1.
        std: Channel standard deviations.
    """
    visual: Any = model.visual
    small = isinstance(getattr(visual, "conv1", None), PyramidPatches)
    if small:
        side = 8 * visual.conv1.side
    elif hasattr(visual, "patch_size"):
        side = visual.patch_size[0]
    else:
        side = visual.trunk.patch_embed.patch_size[0]
    return Clip(
        model=model.eval(),
        tokenizer=tokenizer,
        mean=255 * torch.tensor(mean)[:, None, None],
        std=255 * torch.tensor(std)[:, None, None],
        width=width,
        digest=_digest(model, tokenizer),
        side=side,
        small=small,
    )


def renewed(clip: Clip) -> Clip:
    """Return a CLIP whose text tower has other weights now, with a digest of those."""
    return replace(clip, digest=_digest(clip.model, clip.tokenizer))


def build_small(config: dict[str, Any]) -> nn.Module:
    """Return open_clip's CLIP on the robot cell's pyramid, with random weights.

    Args:
        config: ``model_cfg`` as open_clip writes it, and ``pyramid``, arguments of a
            ``PyramidTower``.
    """
    from open_clip import CLIP

    model = CLIP(**config["model_cfg"])
    visual: Any = model.visual
    visual.conv1 = PyramidPatches(
        config["pyramid"], visual.class_embedding.shape[0], visual.patch_size[0] // 8
    )
    return model


def save_small(model: nn.Module, config: dict[str, Any], tokenizer: Tokenizer, out: Path) -> None:
    """Write what :func:`build_small` made, in float16, and its tokenizer."""
    write_json(out / FILE, config)
    write_tensors(out / "model.safetensors", own_state(model))
    tokenizer.save(out)


def _load_small(folder: Path, config: dict[str, Any]) -> Clip:
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    with architecture(folder / FILE, "a CLIP", option="clip"):
        model = build_small(config)
    path = folder / "model.safetensors"
    load_own_state(model, read_tensors(path, option="clip"), path)
    text: Any = model
    return make_clip(
        model,
        load_tokenizer(folder, ids=text.vocab_size, length=text.context_length),
        int(config["model_cfg"]["embed_dim"]),
        mean=OPENAI_DATASET_MEAN,
        std=OPENAI_DATASET_STD,
    )


def _digest(model: nn.Module, tokenizer: Any) -> str:
    """Return a digest of the text tower and the tokenizer."""
    found = hashlib.sha256()
    for key, value in model.state_dict().items():
        if not key.startswith("visual.") and not value.is_meta:
            found.update(f"{key}{tuple(value.shape)}".encode())
            found.update(value.float().contiguous().cpu().numpy().tobytes())
    written = getattr(tokenizer, "_fast", None)
    found.update(b"clip" if written is None else written.to_str().encode())
    return found.hexdigest()
