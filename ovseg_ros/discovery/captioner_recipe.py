"""The robot cell's BLIP captioner: a small ViT and text decoder behind the frozen pyramid.

Local captions do not emerge at this scale from whole-image captions, so the model is also trained
on region-restricted memories: its ViT encodes CLS and the patches of one region alone, and the
caption names only what the region shows. That is BBoost's ``local`` memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    PreTrainedModel,
)

from ovseg_ros.config import Config, option
from ovseg_ros.discovery.captioner import honour_memory_masks
from ovseg_ros.models.files import share
from ovseg_ros.models.pyramid import load_pyramid
from ovseg_ros.models.tower import note_tower
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.robot_cell.captions import region_caption
from ovseg_ros.robot_cell.instances import Instance
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option
from ovseg_ros.training.frames import Batch, Frames, load_frames, numpy_rng
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.tower import PATCH, encode_patches, tower_card, tower_option

PROMPT = "a picture of"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, kw_only=True)
class BlipRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    tower: str = tower_option()
    out: str = option("out/blip", "directory of the result", kind="place")
    height: int = option(360, "height in pixels that frames are scaled to", low=64)
    depth: int = option(2, "blocks of the ViT", low=1)
    width: int = option(192, "width of the ViT and of the text decoder", low=64)
    layers: int = option(3, "blocks of the text decoder", low=1)
    sizes: tuple[int, ...] = option((384, 512), "sides of the square images in pixels")
    patches: int = option(160, "patches of a region at most", low=8)
    regions: int = option(4, "regions read of every image", low=1)
    whole: float = option(0.2, "share of steps that caption whole images", low=0.0, high=1.0)
    names: int = option(4, "names in the caption of a region at most", low=1)
    loop: LoopConfig = LoopConfig(steps=1200, batch=32, lr=1e-3)


def train(config: BlipRecipe) -> None:
    """Train the model and write it, its card and its curves to ``config.out``."""
    device = config.loop.join()
    frames = load_frames(config.data, "train", config.height)
    tower = load_pyramid(Path(resolve_weights(config.tower)))
    tokenizer = build_tokenizer(frames)
    blip = BlipForConditionalGeneration(blip_config(config, tokenizer))
    blip.vision_model.requires_grad_(False)  # it takes no mask; timm's ViT, which does, is the same
    honour_memory_masks(blip)
    vit = VisionTransformer(num_classes=0, global_pool="", dynamic_img_size=True, **_vit(config))
    model = nn.ModuleDict({"vit": vit, "blip": blip})
    model.to(device)
    tower.to(device)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        whole = float(torch.rand(1, generator=generator)) < config.whole
        pick = torch.randint(len(config.sizes), (1,), generator=generator)
        size = config.sizes[int(pick)]
        index = frames.draw(max(1, config.loop.batch // config.regions), generator)
        batch = frames.crop(index, (size, size), generator)
        with torch.no_grad(), config.loop.autocast():
            seen_through = tower.draw(frames.normalise(batch.images.to(device)))
        if whole:
            regions = torch.arange((size // PATCH) ** 2).expand(len(index), -1)
            seen = torch.ones_like(regions, dtype=torch.bool)
            captions = [_whole_caption(frames, batch, row) for row in range(len(index))]
        else:
            repeated = batch.repeat(config.regions)
            seen_through = seen_through.repeat_interleave(config.regions, 0)
            regions, seen, captions = draw_regions(frames, repeated, PATCH, config, generator)
        regions, seen = regions.to(device), seen.to(device)
        with config.loop.autocast():
            memory = encode_patches(vit, seen_through, regions, seen)
            loss = decode_loss(blip, tokenizer, memory, seen, captions)
        return {"loss": loss, "whole" if whole else "region": loss}

    out = Path(config.out)
    seconds = optimise(model, step, config.loop, out, recipe=config)
    blip.vision_model.load_state_dict(vision_state(vit.cpu().state_dict()))
    save_blip(blip, tokenizer, out, size=config.sizes[0], tower=config.tower)
    data, tower_facts = frames.summary(), tower_card(Path(config.tower))
    write_card(out, recipe="blip", config=config, seconds=seconds, data=data, tower=tower_facts)


def save_blip(
    model: PreTrainedModel, tokenizer: BertTokenizer, out: Path, *, size: int, tower: str
) -> None:
    """Write a BLIP (float16), its processor for square images of a size, and its tower's name."""
    model.cpu().half().save_pretrained(out)
    share(out / "model.safetensors")
    images = BlipImageProcessor(
        size={"height": size, "width": size},
        image_mean=list(OPENAI_CLIP_MEAN),
        image_std=list(OPENAI_CLIP_STD),
    )
    BlipProcessor(images, tokenizer).save_pretrained(out)
    note_tower(out, tower)


def _vit(config: BlipRecipe) -> dict[str, Any]:
    """Return the arguments of timm's VisionTransformer."""
    return {
        "img_size": config.sizes[0],
        "patch_size": PATCH,
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.width // 64,
    }


def blip_config(config: BlipRecipe, tokenizer: BertTokenizer, start: str = "[DEC]") -> BlipConfig:
    """Return the shapes of the model."""
    width = config.width
    return BlipConfig(
        vision_config={
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": config.depth,
            "num_attention_heads": width // 64,
            "image_size": config.sizes[0],
            "patch_size": PATCH,
            "layer_norm_eps": 1e-6,
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": config.width,
            "encoder_hidden_size": width,
            "intermediate_size": 4 * config.width,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.width // 64,
            "max_position_embeddings": 64,
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.0,
            "pad_token_id": tokenizer.pad_token_id,
            "sep_token_id": tokenizer.sep_token_id,
            "eos_token_id": tokenizer.sep_token_id,
            "bos_token_id": tokenizer.convert_tokens_to_ids(start),
        },
        projection_dim=64,
    )


def build_tokenizer(frames: Frames, start: str = "[DEC]") -> BertTokenizer:
    """Return a WordPiece tokenizer of the captions' words, with single letters for all others.

    Args:
        frames: Where the words come from.
        start: A special token that begins texts for the model.
    """
    words = {word for captions in frames.captions for text in captions for word in _words(text)}
    letters = [chr(code) for code in range(33, 127)]
    pieces = sorted({*words, *_words(PROMPT), *letters} | {f"##{letter}" for letter in letters})
    vocabulary = {piece: i for i, piece in enumerate((*SPECIAL, start, *pieces))}
    return BertTokenizer(vocab=vocabulary, bos_token=start)  # special: no part of captions


def vision_state(tower: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of BLIP's vision model for the state dict of timm's ViT."""
    names = {
        "cls_token": "embeddings.class_embedding",
        "pos_embed": "embeddings.position_embedding",
        "patch_embed.proj": "embeddings.patch_embedding",
        "blocks": "encoder.layers",
        "attn.qkv": "self_attn.qkv",
        "attn.proj": "self_attn.projection",
        "norm1": "layer_norm1",
        "norm2": "layer_norm2",
        "norm.": "post_layernorm.",
    }
    state = {}
    for key, value in tower.items():
        for old, new in names.items():
            if key.startswith(old) or (old[-1] != "." and f".{old}." in key):
                key = key.replace(old, new, 1)
        state[key] = value
    return state


def decode_loss(
    model: BlipForConditionalGeneration,
    tokenizer: BertTokenizer,
    memory: Tensor,
    seen: Tensor,
    captions: list[str],
) -> Tensor:
    """Return the mean cross-entropy of the captions' words after the prompt."""
    text = tokenizer(
        [f"{PROMPT} {caption}" for caption in captions],
        padding=True,
        truncation=True,
        max_length=60,
        return_tensors="pt",
    ).to(memory.device)
    ids = text.input_ids
    ids[:, 0] = tokenizer.convert_tokens_to_ids("[DEC]")
    labels = ids.masked_fill(text.attention_mask == 0, -100)
    labels[:, : 1 + len(_words(PROMPT))] = -100
    logits = model.text_decoder(
        input_ids=ids,
        attention_mask=text.attention_mask,
        encoder_hidden_states=memory,
        encoder_attention_mask=F.pad(seen, (1, 0), value=True).long(),
    ).logits  # (B, L, V)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())


def draw_regions(
    frames: Frames, batch: Batch, patch: int, config: BlipRecipe, generator: torch.Generator
) -> tuple[Tensor, Tensor, list[str]]:
    """Draw a region of every view like BBoost's clusters: objects together, ragged, with strays.

    Returns:
        Patch indices (B, n) int64, which of them count (B, n) bool, and what each region shows.
    """
    rng = numpy_rng(generator)
    count, side = len(batch.index), batch.instances.shape[-1]
    middle = slice(patch // 2, side, patch)
    owners = batch.instances[:, middle, middle].flatten(1).numpy()  # (B, P) instance per patch
    regions = torch.zeros(count, config.patches, dtype=torch.int64)
    seen = torch.zeros(count, config.patches, dtype=torch.bool)
    captions = []
    for row in range(count):
        visible = {instance.id: instance for instance in frames.instances(batch, row)}
        chosen = _draw_patches(owners[row], visible, config, rng)
        regions[row, : len(chosen)] = torch.from_numpy(chosen)
        seen[row, : len(chosen)] = True
        captions.append(_region_caption(owners[row][chosen], visible, config, rng))
    longest = int(seen.sum(1).max())
    return regions[:, :longest], seen[:, :longest], captions


def _draw_patches(
    owners: np.ndarray, visible: dict[int, Instance], config: BlipRecipe, rng: np.random.Generator
) -> np.ndarray:
    """Return the patches of one to four instances, some lost, some strays added."""
    ids, sizes = np.unique(owners, return_counts=True)
    odds = sizes.astype(float) ** rng.choice([0.0, 0.5])  # small things as often as large ones
    number = min(len(ids), int(rng.choice([1, 1, 2, 2, 3, 4])))
    picked = rng.choice(ids, size=number, replace=False, p=odds / odds.sum())
    inside = np.isin(owners, picked)
    kept = inside & (rng.random(len(owners)) > rng.uniform(0, 0.5))
    strays = ~inside & (rng.random(len(owners)) < rng.choice([0, 0.01, 0.03]))
    chosen = np.flatnonzero(kept | strays)
    if len(chosen) == 0:
        chosen = np.flatnonzero(inside)
    if len(chosen) > config.patches:
        chosen = np.sort(rng.choice(chosen, size=config.patches, replace=False))
    return chosen


def _region_caption(
    owners: np.ndarray, visible: dict[int, Instance], config: BlipRecipe, rng: np.random.Generator
) -> str:
    """Name what has at least two patches and a twelfth of the region, the largest first."""
    ids, sizes = np.unique(owners, return_counts=True)
    enough = max(min(2, int(sizes.max())), len(owners) / 12)
    named = [
        visible[i]
        for i, size in sorted(zip(ids, sizes, strict=True), key=lambda pair: -pair[1])
        if size >= enough and i in visible
    ]
    return region_caption(named[: config.names], rng) if named else "something"


def _whole_caption(frames: Frames, batch: Batch, row: int) -> str:
    rng = np.random.default_rng((int(batch.index[row]), int(batch.instances[row].sum()), 1))
    captions = frames.describe(batch, row, rng)
    return captions[int(rng.integers(len(captions)))]


def _words(text: str) -> list[str]:
    return text.replace(",", " , ").split()
