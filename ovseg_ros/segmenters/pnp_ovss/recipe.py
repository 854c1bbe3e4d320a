"""The robot cell's image-text matcher: a small BLIP-ITM behind the frozen pyramid.

It learns to say how well a text fits an image: which share of its names the image shows. No mask
takes part in the losses; the simulator's instances only say which names a window shows. BLIP's
contrastive heads stay untrained.

GradCAM needs a judgement that still depends on attention when it is right. One that is sure of a
text whatever a name attends to has gradients without a meaning, and they grow more so with every
step. Three things keep it in doubt: graded and smoothed targets, attention weights that are dropped
and scaled at random, and windows of which only a part is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertTokenizer, BlipConfig, BlipForImageTextRetrieval

from ovseg_ros.config import Config, option
from ovseg_ros.discovery.captioner_recipe import (
    PROMPT,
    BlipRecipe,
    blip_config,
    build_tokenizer,
    save_blip,
)
from ovseg_ros.models.conv_tower import STRIDE
from ovseg_ros.models.pyramid import load_pyramid
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.robot_cell.captions import MIN_SHARE
from ovseg_ros.segmenters.pnp_ovss.samples import cut_windows, draw_views, hide
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option
from ovseg_ros.training.frames import Batch, Frames, load_frames, numpy_rng
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.tower import tower_card, tower_option

START = "[ENC]"
"""First token of a text that is matched with an image, as in BLIP."""


@dataclass(frozen=True, kw_only=True)
class BlipItmRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    tower: str = tower_option()
    out: str = option("out/blip_itm", "directory of the result", kind="place")
    height: int = option(480, "height in pixels that frames are scaled to", low=64)
    width: int = option(192, "width of the patches and of the text encoder", low=64)
    layers: int = option(2, "blocks of the text encoder", low=2)
    heads: int = option(6, "attention heads of a block", low=1)
    size: int = option(512, "side of the square images in pixels", low=32)
    views: int = option(1200, "views that the tower looks at once, 2.4 MB each at 512", low=1)
    zoom: tuple[float, ...] = option(
        (0.7, 1.0), "sides of a view as shares of its frame's, least and most", low=0.05, high=1.0
    )
    windows: tuple[int, ...] = option(
        (4, 48), "sides of the windows cut from views, in patches, least and most", low=2
    )
    patches: int = option(6400, "patches of all windows of a step, about", low=16)
    pairs: int = option(2, "fitting texts of a window, each with a worse one", low=1)
    attributes: float = option(
        0.2, "share of the names that are said with their colour or material", low=0.0, high=1.0
    )
    hidden: float = option(
        0.8, "largest share of the patches that half of the steps hide", low=0.0, high=0.95
    )
    words: float = option(1.0, "weight of judging every name of a text by itself", low=0.0)
    smoothing: float = option(0.2, "how much the targets are drawn to the middle", low=0.0, high=1)
    dropout: float = option(0.4, "dropout of hidden states", low=0.0, high=0.9)
    attention_dropout: float = option(0.5, "dropout of attention weights", low=0.0, high=0.9)
    loop: LoopConfig = LoopConfig(steps=900, batch=96, lr=1e-3)


def train(config: BlipItmRecipe) -> None:
    """Train the model and write it, its card and its curves to ``config.out``."""
    device = config.loop.join()
    frames = load_frames(config.data, "train", config.height)
    tower = load_pyramid(Path(resolve_weights(config.tower)))
    tokenizer = build_tokenizer(frames, start=START)
    model: Any = BlipForImageTextRetrieval(itm_config(config, tokenizer))
    # Windows come from anywhere in a frame: places mean nothing.
    nn.init.zeros_(model.vision_model.embeddings.position_embedding)
    for layer in model.text_encoder.encoder.layer:
        attention = layer.crossattention.self
        attention.dropout = nn.Sequential(RandomMass(), attention.dropout)
    model.to(device)
    views = draw_views(frames, tower.to(device), config)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = numpy_rng(generator)
        batch = cut_windows(views, frames, config, rng)
        share = config.hidden * float(rng.choice([0, rng.random()]))
        batch = hide(batch, share, generator)  # as Salience DropOut does
        shown, absent = shown_categories(batch, len(frames.categories))
        texts, rows, fit = write_pairs(frames, batch, shown, absent, config, rng)
        known = [
            {name: bool(shown[row, k]) for k, name in enumerate(frames.categories)
             if shown[row, k] or absent[row, k]}
            for row in range(len(shown))
        ]  # fmt: skip
        names = [known[row] for row in rows.tolist()]
        with config.loop.autocast():
            pixels = batch.images.to(device)
            memory = model.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state
            losses = match_losses(
                model, tokenizer, memory[rows.to(device)], texts, fit, names, config.smoothing
            )
        return {"loss": losses["match"] + config.words * losses["words"], **losses}

    out = Path(config.out)
    seconds = optimise(model, step, config.loop, out, recipe=config)
    save_blip(model, tokenizer, out, size=config.size, tower=config.tower)
    data, tower_facts = frames.summary(), tower_card(Path(config.tower))
    write_card(out, recipe="blip_itm", config=config, seconds=seconds, data=data, tower=tower_facts)


class RandomMass(nn.Module):
    """Scales each query's attention by a random factor in training, with mean 1.

    A name then has to count for as much as it is attended to.
    """

    def forward(self, attention: Tensor) -> Tensor:
        """Scale (N, heads, L, P)."""
        if not self.training:
            return attention
        return attention * (2 * torch.rand_like(attention[..., :1]))


def itm_config(config: BlipItmRecipe, tokenizer: BertTokenizer) -> BlipConfig:
    """Return the shapes of the model.

    Its ViT has no blocks: the pyramid has looked already, and patches that exchange what they know
    would tell names from anywhere.
    """
    shapes = BlipRecipe(width=config.width, layers=config.layers, sizes=(config.size,))
    found = blip_config(shapes, tokenizer, start=START)
    text: Any = found.text_config
    vision: Any = found.vision_config
    vision.num_hidden_layers, vision.patch_size = 0, STRIDE
    text.num_attention_heads = config.heads
    text.hidden_dropout_prob = config.dropout
    text.attention_probs_dropout_prob = config.attention_dropout
    # BERT's 0.02 is meant for a width of 768: smaller ones attend to everything alike for long.
    # The default of BLIP's vision (1e-10) never starts to learn.
    text.initializer_range = vision.initializer_range = 0.55 / config.width**0.5
    return found


def shown_categories(batch: Batch, categories: int) -> tuple[Tensor, Tensor]:
    """Return which categories every window surely shows and surely not, both (B, C) bool.

    Between the two are those with a few pixels; nobody asks for them.
    """
    labels = batch.labels.flatten(1)
    counts = torch.zeros(len(labels), categories + 1)
    counts.scatter_add_(1, labels, torch.ones_like(labels, dtype=torch.float32))
    return counts[:, 1:] >= MIN_SHARE * labels.shape[1], counts[:, 1:] == 0


def write_pairs(
    frames: Frames,
    batch: Batch,
    shown: Tensor,
    absent: Tensor,
    config: BlipItmRecipe,
    rng: np.random.Generator,
) -> tuple[list[str], Tensor, Tensor]:
    """Write texts that fit, and for each one in which some names are of absent things.

    Returns:
        Texts, the row of the batch each belongs to (N,) int64, and the share of its names that fit,
        (N,) float32.
    """
    texts: list[str] = []
    rows: list[int] = []
    fit: list[float] = []
    for row in range(len(shown)):
        inside = [frames.categories[i] for i in torch.nonzero(shown[row]).flatten()]
        outside = [frames.categories[i] for i in torch.nonzero(absent[row]).flatten()]
        if not inside or not outside:
            continue
        said = _with_attributes(frames, batch, row, config.attributes, rng)
        for _ in range(config.pairs):
            count = 1 + int(rng.integers(len(inside)))
            names = [said.get(name, name) for name in rng.permutation(inside)[:count].tolist()]
            texts.append(f"{PROMPT} {' '.join(names)}")
            wrong = min(1 + int(rng.integers(count)), len(outside))
            places = rng.permutation(count)[:wrong]
            for place, name in zip(places, rng.permutation(outside)[:wrong], strict=True):
                names[place] = str(name)
            texts.append(f"{PROMPT} {' '.join(names)}")
            rows += [row, row]
            fit += [1.0, 1 - wrong / count]
    return texts, torch.tensor(rows).long(), torch.tensor(fit)


def match_losses(
    model: BlipForImageTextRetrieval,
    tokenizer: BertTokenizer,
    memory: Tensor,
    texts: list[str],
    fit: Tensor,
    names: Sequence[Mapping[str, bool]],
    smoothing: float,
) -> dict[str, Tensor]:
    """Return how well the model knows how well texts fit, and which of their names do.

    Names are judged by the same head one block before the end, so that the text's first token can
    still read there what each name has found.

    Args:
        model: The matcher.
        tokenizer: Its tokenizer.
        memory: What the texts are matched with, (N, P, D).
        texts: N texts.
        fit: How well the texts fit, (N,) in 0..1.
        names: For every text the names in it that surely fit, or surely do not.
        smoothing: How much targets are drawn to the middle, 0..1.

    Returns:
        Mean cross-entropies: ``match`` of the texts, ``words`` of the names.
    """
    tokens: Any = tokenizer(
        texts, padding=True, truncation=True, max_length=64, return_tensors="pt",
        return_offsets_mapping=True,
    )  # fmt: skip
    spans = tokens.pop("offset_mapping")
    tokens = tokens.to(memory.device)
    tokens.input_ids[:, 0] = tokenizer.convert_tokens_to_ids(START)
    output = model.text_encoder(
        **{key: tokens[key] for key in ("input_ids", "attention_mask")},
        encoder_hidden_states=memory,
        output_hidden_states=True,
    )
    where, words, right = find_names(texts, spans, names)
    early = output.hidden_states[-2][where.to(memory.device)]  # (M, L, D)
    early = torch.einsum("ml,mld->md", words.to(early), early)
    judged = {"match": (output.last_hidden_state[:, 0], fit), "words": (early, right)}
    return {
        key: F.cross_entropy(
            model.itm_head(states).float(),
            torch.stack([1 - target, target], 1).to(states.device),
            label_smoothing=smoothing,
        )
        for key, (states, target) in judged.items()
    }


def find_names(
    texts: Sequence[str], spans: Tensor, names: Sequence[Mapping[str, bool]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the tokens of names in texts.

    Args:
        texts: N texts.
        spans: First and last character of every token, (N, L, 2).
        names: For every text names that may be in it, and whether they fit.

    Returns:
        For each of M names its text (M,), weights that average its tokens (M, L) float32, and 1 if
        it fits else 0 (M,) float32.
    """
    where, words, right = [], [], []
    for row, (text, own) in enumerate(zip(texts, names, strict=True)):
        left = text
        for name in sorted(own, key=len, reverse=True):  # soccer ball before ball
            start = f" {left} ".find(f" {name} ")
            if start < 0:
                continue
            end = start + len(name)
            left = left[:start] + "_" * len(name) + left[end:]
            inside = (spans[row, :, 0] < end) & (spans[row, :, 1] > start)
            if inside.any():
                where.append(row)
                words.append(inside.float() / inside.sum())
                right.append(float(own[name]))
    empty = torch.zeros(0, spans.shape[1])
    return torch.tensor(where).long(), torch.stack(words) if words else empty, torch.tensor(right)


def _with_attributes(
    frames: Frames, batch: Batch, row: int, share: float, rng: np.random.Generator
) -> dict[str, str]:
    """Return some of a window's names with the attribute of an instance: mug -> red mug."""
    return {
        instance.category: f"{instance.attribute} {instance.category}"
        for instance in frames.instances(batch, row)
        if instance.attribute and rng.random() < share
    }
