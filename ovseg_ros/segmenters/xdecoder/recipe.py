"""A small X-Decoder on the robot cell, with the simulator's masks.

The published recipe needs millions of images. What makes a small one learn in minutes: the robot
cell's pretrained tower as a frozen backbone, windows around objects, segments by name instead of
by instance, a loss on the very map that inference reads, and pixels that meet the text themselves
(a head that exists only while training). Without a tower a small FocalNet learns from random
weights, which takes many times longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.config import Config, option
from ovseg_ros.models.tokenizer import Tokenizer, train_tokenizer
from ovseg_ros.segmenters.prompts import templates
from ovseg_ros.segmenters.xdecoder.architecture import Architecture
from ovseg_ros.segmenters.xdecoder.checkpoint import save_xdecoder
from ovseg_ros.segmenters.xdecoder.losses import (
    Segments,
    class_loss,
    find_segments,
    mask_losses,
    match_queries,
    pixel_loss,
    summed_loss,
)
from ovseg_ros.segmenters.xdecoder.model import XDecoder
from ovseg_ros.segmenters.xdecoder.segmenter import BACKGROUND
from ovseg_ros.segmenters.xdecoder.tower_backbone import TowerBackbone
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option
from ovseg_ros.training.frames import Batch, Frames, load_frames, numpy_rng
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.tower import load_tower, patch_shares, tower_card

CELL = 4
"""Side in pixels of the cells that losses look at: the stride of mask features."""


@dataclass(frozen=True, kw_only=True)
class XDecoderRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    tower: str = option(
        "robot_cell/tower",
        "frozen tower: folder of `ovseg train tower` or `pyramid`, or a SimZSS on a pyramid; empty "
        "for a FocalNet that learns",
        kind="weights",
    )
    out: str = option("out/xdecoder", "directory of the result", kind="place")
    height: int = option(360, "height in pixels that frames are scaled to", low=64)
    window: int = option(160, "side of the training windows in pixels, a multiple of 32", low=64)
    dim: int = option(32, "FocalNet: channels of the first stage", low=8)
    depths: tuple[int, ...] = option((1, 1, 2, 1), "FocalNet: blocks of the stages")
    levels: int = option(3, "FocalNet: focal levels", low=1)
    queries: int = option(33, "queries, the class token among them", low=2)
    width: int = option(96, "width of pixel decoder and decoder", low=16)
    encoder_layers: int = option(1, "transformer layers on the coarsest map", low=0)
    decoder_layers: int = option(3, "decoder layers", low=1)
    text_width: int = option(128, "width of the text tower", low=16)
    text_layers: int = option(2, "blocks of the text tower", low=1)
    vocab_size: int = option(1024, "size of the tokenizer", low=300)
    synonyms: float = option(
        0.3, "share of the categories that a step calls by a synonym", low=0.0, high=1.0
    )
    painted: float = option(
        0.25, "share of the steps whose texts have colours, as 'red mug'", low=0.0, high=1.0
    )
    pixels_first: float = option(
        0.25,
        "share of the steps in which pixels learn alone: queries only disturb features that do "
        "not tell things apart yet",
        low=0.0,
        high=1.0,
    )
    pixel_weight: float = option(5.0, "weight of the pixels' own texts", low=0.0)
    summed_weight: float = option(3.0, "weight of the map that inference reads", low=0.0)
    loop: LoopConfig = LoopConfig(
        steps=3000, batch=8, lr=1e-3, muon_lr=0.02, warmup=0.02, weight_decay=0.02
    )


class XDecoderTrainer(nn.Module):
    """The model and the pixels' head."""

    def __init__(self, model: XDecoder) -> None:
        """Wrap a model; set what random weights of the published recipe leave to long training."""
        super().__init__()
        self.model = model
        self.pixel = nn.Conv2d(model.config.width, model.config.text_width, 1)
        if isinstance(model.backbone, TowerBackbone):
            model.backbone.requires_grad_(False).eval()
        with torch.no_grad():
            model.logit_scale.fill_(math.log(1 / 0.07))
            for name, parameter in model.backbone.named_parameters():
                if "gamma" in name:  # blocks count from the first step
                    parameter.fill_(0.5)


def architecture(
    config: XDecoderRecipe, tokenizer: Tokenizer, pyramid: dict[str, Any]
) -> Architecture:
    """Return the shapes that a recipe asks for, with a tower's arguments if there is one."""
    return Architecture(
        dim=config.dim,
        depths=config.depths,
        focal_levels=config.levels,
        queries=config.queries,
        width=config.width,
        heads=4,
        feedforward=4 * config.width,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        groups=16,
        text_width=config.text_width,
        text_layers=config.text_layers,
        text_heads=4,
        context_length=tokenizer.context_length,
        vocab_size=tokenizer.vocab_size,
        pyramid=pyramid,
    )


def train(config: XDecoderRecipe) -> None:
    """Train and write the model, its card and its curves to ``config.out``."""
    device = config.loop.join()
    visual, weights = load_tower(Path(config.tower)) if config.tower else ({}, {})
    frames = load_frames(config.data, "train", config.height)
    tokenizer = build_tokenizer(frames, config.vocab_size)
    model = XDecoder(architecture(config, tokenizer, visual))
    if isinstance(model.backbone, TowerBackbone):
        model.backbone.load_tower(weights)
    trainer = XDecoderTrainer(model).to(device)
    rarity, size = frames.rarity(), (config.window, config.window)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        batch = frames.window(frames.draw(config.loop.batch, generator), size, generator)
        painted = float(torch.rand(1, generator=generator)) < config.painted
        phrases, groups, rare = draw_texts(frames, batch, rarity, painted, config, generator)
        shares = patch_shares(groups, CELL, len(phrases) + 1)[..., 1:]  # 0 is no text
        shares = shares.unflatten(1, (config.window // CELL, -1)).to(device)
        segments = find_segments(shares, least=4.0)
        prompts = draw_prompts([*phrases, BACKGROUND], generator)
        with config.loop.autocast():
            text = trainer.model.text(tokenizer(prompts).to(device))
        text = F.normalize(text.float(), dim=-1)  # (K + 1, D)
        alone = number < config.pixels_first * config.loop.steps
        compute = pixel_losses if alone else losses
        return compute(trainer, batch.images.to(device), text, segments, rare.to(device), config)

    out = Path(config.out)
    seconds = optimise(trainer, step, config.loop, out, recipe=config)
    save_xdecoder(trainer.model, tokenizer, out)
    write_card(
        out,
        recipe="xdecoder",
        config=config,
        seconds=seconds,
        data=frames.summary(),
        backbone="the frozen tower" if visual else "FocalNet, not pretrained",
        **({"tower": tower_card(Path(config.tower))} if visual else {}),
    )


def losses(
    trainer: XDecoderTrainer,
    images: Tensor,
    text: Tensor,
    segments: Segments,
    rarity: Tensor,
    config: XDecoderRecipe,
) -> dict[str, Tensor]:
    """Return the losses of a batch.

    Queries are matched once, by what they say last; every layer is held to that.

    Args:
        trainer: The model.
        images: RGB in 0..1, (B, 3, H, W).
        text: Unit vectors of the K texts and the background, (K + 1, D).
        segments: Targets at stride 4.
        rarity: Weight of every text, (K,).
        config: The recipe.
    """
    model = trainer.model
    with config.loop.autocast():
        decoded, features = model(model.normalise(255 * images))
        pixels = trainer.pixel(features)
    logits = [model.match(layer.embeddings.float(), text) for layer in decoded]
    small, coarse = F.avg_pool2d(features, 2), segments.halved()
    pairs = match_queries(logits[-1][:, :-1], decoded[-1].masks(small)[:, :-1], coarse)
    found: dict[str, list[Tensor]] = {"class": [], "mask": [], "dice": []}
    for layer, scores in zip(decoded, logits, strict=True):
        last = layer is decoded[-1]
        masks = layer.masks(features if last else small)
        cross, dice = mask_losses(masks, segments if last else coarse, pairs)
        found["class"].append(class_loss(scores, segments, pairs))
        found["mask"].append(cross)
        found["dice"].append(dice)
    parts = {name: torch.stack(values).mean() for name, values in found.items()}
    parts["summed"] = summed_loss(logits[-1], masks, segments, rarity)
    parts["pixel"] = pixel_loss(own_logits(trainer, pixels, text), segments, rarity)
    total = (
        2 * parts["class"]
        + 5 * parts["mask"]
        + 5 * parts["dice"]
        + config.summed_weight * parts["summed"]
        + config.pixel_weight * parts["pixel"]
    )
    return {"loss": total, **parts}


def pixel_losses(
    trainer: XDecoderTrainer,
    images: Tensor,
    text: Tensor,
    segments: Segments,
    rarity: Tensor,
    config: XDecoderRecipe,
) -> dict[str, Tensor]:
    """Return the loss of the pixels alone, the decoder aside; arguments as of :func:`losses`."""
    model = trainer.model
    with config.loop.autocast():
        _, features = model.pixel_decoder(model.backbone(model.normalise(255 * images)))
        pixels = trainer.pixel(features)
    found = pixel_loss(own_logits(trainer, pixels, text), segments, rarity)
    return {"loss": config.pixel_weight * found, "pixel": found}


def own_logits(trainer: XDecoderTrainer, pixels: Tensor, text: Tensor) -> Tensor:
    """Return logits (B, h, w, K) of pixels (B, D, h, w) for all of the texts but the last."""
    unit = F.normalize(pixels.float(), dim=1).permute(0, 2, 3, 1)
    return trainer.model.logit_scale.exp() * unit @ text[:-1].T


def build_tokenizer(frames: Frames, vocab_size: int) -> Tokenizer:
    """Return a tokenizer of the captions' words and of the categories' synonyms."""
    names = [word for name in frames.categories for word in (name, *frames.synonyms.get(name, ()))]
    texts = [caption for captions in frames.captions for caption in captions]
    return train_tokenizer(texts + 50 * names, vocab_size=vocab_size, context_length=24)


def draw_texts(
    frames: Frames,
    batch: Batch,
    rarity: Tensor,
    painted: bool,
    config: XDecoderRecipe,
    generator: torch.Generator,
) -> tuple[list[str], Tensor, Tensor]:
    """Draw what a step calls things: all categories, or what is there with its colours.

    Args:
        frames: The frames.
        batch: Views of them.
        rarity: Weights of the categories, (C + 1,).
        painted: Whether texts have colours.
        config: The recipe.
        generator: Source of randomness.

    Returns:
        The K texts, for every pixel its text as 1..K (0 is none), (B, H, W) int64, and the weights
        of the texts, (K,).
    """
    rng = numpy_rng(generator)
    nouns = [
        str(rng.choice(list(frames.synonyms[name])))
        if frames.synonyms.get(name) and rng.random() < config.synonyms
        else name
        for name in frames.categories
    ]
    if not painted:
        return nouns, batch.labels, rarity[1:]
    colours = len(frames.colours) + 1
    both = batch.labels * colours + batch.colours  # (B, H, W)
    kinds, groups = both.unique(return_inverse=True)
    labels, paints = kinds // colours, kinds % colours
    named = labels > 0
    order = torch.where(named, named.cumsum(0), 0)  # group -> text 1..K, unlabelled 0
    phrases = [
        f"{frames.colours[paint - 1]} {nouns[label - 1]}" if paint else nouns[label - 1]
        for label, paint in zip(labels[named].tolist(), paints[named].tolist(), strict=True)
    ]
    return phrases, order[groups], rarity[labels[named]]


def draw_prompts(phrases: list[str], generator: torch.Generator) -> list[str]:
    """Put every phrase into one of the cell's templates, or leave it as it is."""
    forms = ("{}", *templates("cell"))
    picks = torch.randint(len(forms), (len(phrases),), generator=generator).tolist()
    return [forms[pick].format(phrase) for pick, phrase in zip(picks, phrases, strict=True)]
