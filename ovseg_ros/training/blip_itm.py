"""The robot cell's image-text matcher: a small BLIP-ITM behind the frozen pyramid.

It learns to say whether a text fits an image. Its hard negatives are texts with one noun replaced
by an absent one, so that to tell them apart every noun must look for its own patches: the
cross-attention that PnP-OVSS reads as masks. No mask takes part in the losses; the simulator's
instances only say which names a (cropped, partly hidden) view shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForImageTextRetrieval,
    BlipImageProcessor,
    BlipProcessor,
)

from ovseg_ros.config import Config, option
from ovseg_ros.pyramid import PyramidTower
from ovseg_ros.robot_cell.captions import MIN_SHARE, frame_captions
from ovseg_ros.segmenters.simzss.model import OPENAI_MEAN, OPENAI_STD
from ovseg_ros.training.blip import PROMPT, BlipRecipe, blip_config, build_tokenizer
from ovseg_ros.training.card import write_card
from ovseg_ros.training.frames import Batch, Frames, load_frames
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.tower import PATCH, draw_regions, frozen_pyramid, tower_card

START = "[ENC]"
"""First token of a text that is matched with an image, as in BLIP."""


@dataclass(frozen=True, kw_only=True)
class BlipItmRecipe(Config):
    """Options of the recipe."""

    data: str = option("", "directory of the rendered robot cell")
    tower: str = option(
        "robot_cell/simzss", "frozen pyramid: folder of `ovseg train pyramid`, or a SimZSS with one"
    )
    out: str = option("out/blip_itm", "directory of the result")
    height: int = option(360, "height in pixels that frames are scaled to", low=64)
    depth: int = option(1, "blocks of the ViT", low=1)
    width: int = option(192, "width of the ViT and of the text encoder", low=64)
    layers: int = option(3, "blocks of the text encoder", low=1)
    heads: int = option(6, "attention heads of a block", low=1)
    size: int = option(384, "side of the square images in pixels", low=32)
    zoom: tuple[float, ...] = option(
        (0.5, 1.0), "sides of a view as shares of its frame's, least and most", low=0.05, high=1.0
    )
    pairs: int = option(2, "fitting texts of an image, each with a negative of its own", low=1)
    names: int = option(8, "names in a text without grammar at most", low=1)
    sentences: float = option(
        0.3, "share of the texts that are captions instead of names", low=0.0, high=1.0
    )
    hidden: float = option(
        0.8, "largest share of the patches that half of the steps hide", low=0.0, high=0.95
    )
    views: int = option(
        0, "augmented views that are drawn once and used again; 0: new ones in every step", low=0
    )
    words: float = option(1.0, "weight of judging every name of a text by itself", low=0.0)
    contrast: float = option(0.3, "weight of the image-text contrast with single names", low=0.0)
    loop: LoopConfig = LoopConfig(steps=2000, batch=24, lr=1e-3)


def train(config: BlipItmRecipe) -> None:
    """Train the model and write it, its card and its curves to ``config.out``."""
    torch.manual_seed(config.loop.seed)
    frames = load_frames(Path(config.data), "train", config.height)
    tower = frozen_pyramid(Path(config.tower))
    tokenizer = build_tokenizer(frames, start=START)
    trainer = _Trainer(BlipForImageTextRetrieval(itm_config(config, tokenizer)))
    model, device = trainer.model, config.loop.join()
    trainer.to(device)
    tower.to(device)
    classes = [f"{PROMPT} {name}" for name in frames.categories]

    cache = _draw_views(frames, tower, config) if config.views else None

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        if cache is None:
            drawn, batch = look(frames, tower, config, generator)
        else:
            drawn, batch = cache.draw(config.loop.batch, generator)
        share = config.hidden * float(rng.choice([0, rng.random()]))
        dark, batch = hide(batch, share, generator)  # as Salience DropOut does
        drawn = drawn.to(device).float().masked_fill(dark.to(device), 0.0)
        shown, absent = shown_categories(batch, len(frames.categories))
        texts, rows, match = write_pairs(frames, batch, shown, absent, config, rng)
        known = [
            {name: bool(shown[row, k]) for k, name in enumerate(frames.categories)
             if shown[row, k] or absent[row, k]}
            for row in range(len(shown))
        ]  # fmt: skip
        fits = [known[row] for row in rows.tolist()]
        with config.loop.autocast():
            memory = model.vision_model(drawn, interpolate_pos_encoding=True).last_hidden_state
            losses = match_losses(model, tokenizer, memory[rows.to(device)], texts, match, fits)
            losses["contrast"] = contrast_loss(trainer, tokenizer, memory[:, 0], classes, shown)
        weights = {"match": 1.0, "words": config.words, "contrast": config.contrast}
        total = torch.stack([weights[key] * loss for key, loss in losses.items()]).sum()
        return {"loss": total, **losses}

    out = Path(config.out)
    seconds = optimise(trainer, step, config.loop, out, recipe=config)
    model.cpu().half().save_pretrained(out)
    images = BlipImageProcessor(
        size={"height": config.size, "width": config.size},
        image_mean=list(OPENAI_MEAN),
        image_std=list(OPENAI_STD),
    )
    BlipProcessor(images, tokenizer).save_pretrained(out)
    data, tower_facts = frames.summary(), tower_card(Path(config.tower))
    write_card(out, recipe="blip_itm", config=config, seconds=seconds, data=data, tower=tower_facts)


@torch.no_grad()
def look(
    frames: Frames, tower: PyramidTower, config: BlipItmRecipe, generator: torch.Generator
) -> tuple[Tensor, Batch]:
    """Cut views and look at them through the tower; of half of them pixels were blackened.

    Black is what the reward of a search leaves of an image outside of a mask.

    Returns:
        What the tower drew, (B, 3, S, S), and the views, whose labels are none where it was dark.
    """
    index = frames.draw(config.loop.batch, generator)
    zoom = (config.zoom[0], config.zoom[-1])
    batch = frames.crop(index, (config.size, config.size), generator, zoom=zoom)
    if float(torch.rand(1, generator=generator)) < 0.5:
        share = config.hidden * float(torch.rand(1, generator=generator))
        dark, batch = hide(batch, share, generator)
        batch = replace(batch, images=batch.images.masked_fill(dark, 0.0))
    place = next(tower.parameters()).device
    with config.loop.autocast():
        drawn = tower.draw(frames.normalise(batch.images).to(place))
    return drawn, batch


class _Views:
    """Views that are kept, small: float16 and bytes."""

    def __init__(self, parts: list[tuple[Tensor, Batch]]) -> None:
        self._drawn = torch.cat([drawn.half().cpu() for drawn, _ in parts])
        self._index = torch.cat([batch.index for _, batch in parts])
        self._maps = {
            key: torch.cat([getattr(batch, key).to(torch.uint8) for _, batch in parts])
            for key in ("labels", "colours", "instances")
        }

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """Return some views like :func:`look`, without their images."""
        pick = torch.randint(len(self._index), (count,), generator=generator)
        maps = {key: values[pick].long() for key, values in self._maps.items()}
        return self._drawn[pick], Batch(self._index[pick], images=torch.empty(0), **maps)


def _draw_views(frames: Frames, tower: PyramidTower, config: BlipItmRecipe) -> _Views:
    generator = torch.Generator().manual_seed(config.loop.seed)
    steps = tqdm(range(-(-config.views // config.loop.batch)), desc="views")
    return _Views([look(frames, tower, config, generator) for _ in steps])


class _Trainer(nn.Module):
    """The model and the temperature, which only training has."""

    def __init__(self, model: BlipForImageTextRetrieval) -> None:
        super().__init__()
        self.model = model
        self.scale = nn.Parameter(torch.tensor(10.0).log())


def itm_config(config: BlipItmRecipe, tokenizer: BertTokenizer) -> BlipConfig:
    """Return the shapes of the model."""
    shapes = BlipRecipe(
        depth=config.depth, width=config.width, layers=config.layers, sizes=(config.size,)
    )
    found = blip_config(shapes, tokenizer, start=START)
    text: Any = found.text_config
    vision: Any = found.vision_config
    text.num_attention_heads = config.heads
    # BERT's 0.02 is meant for a width of 768: smaller ones attend to everything alike for long.
    # The default of BLIP's vision (1e-10) never starts to learn.
    text.initializer_range = vision.initializer_range = 0.55 / config.width**0.5
    found.image_text_hidden_size = 128
    return found


def hide(batch: Batch, share: float, generator: torch.Generator) -> tuple[Tensor, Batch]:
    """Choose patches of every view that nobody shall see, as Salience DropOut does.

    Args:
        batch: The views.
        share: Share of the patches.
        generator: Source of randomness.

    Returns:
        Which pixels are hidden, (B, 1, H, W) bool, and the views whose labels and instances are
        none there.
    """
    height, width = (side // PATCH for side in batch.labels.shape[1:])
    where = draw_regions(
        len(batch.index), (height, width), round(height * width * share), generator
    )
    dark = torch.zeros(len(batch.index), height * width, dtype=torch.bool).scatter_(1, where, True)
    dark = dark.view(-1, height, width).repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2)
    hidden = {key: getattr(batch, key).masked_fill(dark, 0) for key in ("labels", "instances")}
    return dark[:, None], replace(batch, **hidden)


def shown_categories(batch: Batch, categories: int) -> tuple[Tensor, Tensor]:
    """Return which categories every view surely shows and surely not, both (B, C) bool.

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
    """Write texts that fit, and for each one that differs by a noun of something absent.

    Returns:
        Texts, the row of the batch each belongs to (N,) int64, and 1 if it fits else 0 (N,) int64.
    """
    texts: list[str] = []
    rows: list[int] = []
    for row in range(len(shown)):
        inside = [frames.categories[i] for i in torch.nonzero(shown[row]).flatten()]
        outside = [frames.categories[i] for i in torch.nonzero(absent[row]).flatten()]
        if not inside or not outside:
            continue
        for _ in range(config.pairs):
            other = str(rng.choice(outside))
            if rng.random() < config.sentences:
                text = _sentence(frames, batch, row, rng)
                spoken = [name for name in frames.categories if f" {name}" in f" {text}"]
                if spoken:
                    wrong = text.replace(str(rng.choice(spoken)), other)
                    texts += [f"{PROMPT} {text}", f"{PROMPT} {wrong}"]
                    rows += [row, row]
                    continue
            most = min(len(inside), config.names)
            count = 1 + int(rng.random() ** 2 * most)  # few names teach faster than many
            names = [str(name) for name in rng.permutation(inside)[:count]]
            texts.append(f"{PROMPT} {' '.join(names)}")
            names[int(rng.integers(count))] = other
            texts.append(f"{PROMPT} {' '.join(names)}")
            rows += [row, row]
    return texts, torch.tensor(rows), torch.tensor([1, 0]).repeat(len(texts) // 2)


def match_losses(
    model: BlipForImageTextRetrieval,
    tokenizer: BertTokenizer,
    memory: Tensor,
    texts: list[str],
    match: Tensor,
    fits: Sequence[Mapping[str, bool]],
) -> dict[str, Tensor]:
    """Return how well the model knows that texts fit, and which of their names do.

    Names are judged by the same head one block before the end, so that the text's first token can
    still read there what each name has found.

    Args:
        model: The matcher.
        tokenizer: Its tokenizer.
        memory: What the texts are matched with, (N, P, D).
        texts: N texts.
        match: 1 if the text fits, else 0, (N,) int64.
        fits: For every text the names in it that surely fit, or surely do not.

    Returns:
        Mean cross-entropies: ``match`` of the texts, ``words`` of the names.
    """
    tokens = _tokens(tokenizer, texts, return_offsets_mapping=True)
    spans = tokens.pop("offset_mapping")
    tokens = tokens.to(memory.device)
    tokens.input_ids[:, 0] = tokenizer.convert_tokens_to_ids(START)
    output = model.text_encoder(
        **{key: tokens[key] for key in ("input_ids", "attention_mask")},
        encoder_hidden_states=memory,
        output_hidden_states=True,
    )
    where, words, right = find_names(texts, spans, fits)
    early = output.hidden_states[-2][where.to(memory.device)]  # (M, L, D)
    early = torch.einsum("ml,mld->md", words.to(early), early)
    judged = model.itm_head(early).float(), model.itm_head(output.last_hidden_state[:, 0]).float()
    return {
        "match": F.cross_entropy(judged[1], match.to(memory.device)),
        "words": F.cross_entropy(judged[0], right.to(memory.device)),
    }


def find_names(
    texts: Sequence[str], spans: Tensor, fits: Sequence[Mapping[str, bool]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the tokens of names in texts.

    Args:
        texts: N texts.
        spans: First and last character of every token, (N, L, 2).
        fits: For every text names that may be in it, and whether they fit.

    Returns:
        For each of M names its text (M,), weights that average its tokens (M, L) float32, and 1 if
        it fits else 0 (M,).
    """
    where, words, right = [], [], []
    for row, (text, names) in enumerate(zip(texts, fits, strict=True)):
        left = text
        for name in sorted(names, key=len, reverse=True):  # soccer ball before ball
            start = f" {left} ".find(f" {name}")
            if start < 0:
                continue
            end = start + len(name)
            left = left[:start] + "_" * len(name) + left[end:]
            inside = (spans[row, :, 0] < end) & (spans[row, :, 1] > start)
            if inside.any():
                where.append(row)
                words.append(inside.float() / inside.sum())
                right.append(int(names[name]))
    empty = torch.zeros(0, spans.shape[1])
    return torch.tensor(where).long(), torch.stack(words) if words else empty, torch.tensor(right)


def contrast_loss(
    trainer: _Trainer, tokenizer: BertTokenizer, first: Tensor, classes: list[str], shown: Tensor
) -> Tensor:
    """Return how far the images' similarities to single names are from what they show.

    Args:
        trainer: The matcher and its temperature.
        tokenizer: Its tokenizer.
        first: CLS of the images, (B, D).
        classes: One text for each category, C.
        shown: Which categories the images show, (B, C) bool.
    """
    model, tokens = trainer.model, _tokens(tokenizer, classes).to(first.device)
    states = model.text_encoder(
        input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
    ).last_hidden_state
    text = F.normalize(model.text_proj(states[:, 0]).float(), dim=-1)  # (C, E)
    image = F.normalize(model.vision_proj(first).float(), dim=-1)  # (B, E)
    odds = (trainer.scale.exp() * image @ text.T).log_softmax(-1)  # (B, C)
    shown = shown.to(first.device)
    wanted = shown / shown.sum(1, keepdim=True).clamp_min(1)
    return -(wanted * odds).sum(1).mean()


def _sentence(frames: Frames, batch: Batch, row: int, rng: np.random.Generator) -> str:
    instances = frames.instances(batch, row)
    captions = frame_captions(instances, batch.labels[row].numel(), rng)
    return captions[int(rng.integers(len(captions)))]


def _tokens(tokenizer: BertTokenizer, texts: list[str], **options: bool) -> Any:
    return tokenizer(
        texts, padding=True, truncation=True, max_length=64, return_tensors="pt", **options
    )
