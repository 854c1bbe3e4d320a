"""The robot cell's image-text matcher: a small BLIP-ITM behind the frozen pyramid.

It learns to say whether a text fits an image. Its hard negatives are texts with one noun replaced
by an absent one, so that to tell them apart every noun must look for its own patches: the
cross-attention that PnP-OVSS reads as masks. No mask takes part in the losses; the simulator's
instances only say which names a (cropped, partly hidden) view shows.
"""

from __future__ import annotations

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
from ovseg_ros.training.tower import PATCH, draw_regions, load_tower

START = "[ENC]"
"""First token of a text that is matched with an image, as in BLIP."""


@dataclass(frozen=True, kw_only=True)
class BlipItmRecipe(Config):
    """Options of the recipe."""

    data: str = option("", "directory of the rendered robot cell")
    tower: str = option("out/pyramid", "directory of the frozen pyramid")
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
    contrast: float = option(0.3, "weight of the image-text contrast with single names", low=0.0)
    loop: LoopConfig = LoopConfig(steps=2000, batch=24, lr=1e-3)


def train(config: BlipItmRecipe) -> None:
    """Train the model and write it, its card and its curves to ``config.out``."""
    torch.manual_seed(config.loop.seed)
    frames = load_frames(Path(config.data), "train", config.height)
    visual, weights = load_tower(Path(config.tower))
    tower = PyramidTower(**visual)
    tower.load_state_dict(weights)
    tower.requires_grad_(False).eval()
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
        with config.loop.autocast():
            memory = model.vision_model(drawn, interpolate_pos_encoding=True).last_hidden_state
            losses = {
                "match": match_loss(model, tokenizer, memory[rows.to(device)], texts, match),
                "contrast": contrast_loss(trainer, tokenizer, memory[:, 0], classes, shown),
            }
        return {"loss": losses["match"] + config.contrast * losses["contrast"], **losses}

    out = Path(config.out)
    seconds = optimise(trainer, step, config.loop, out, recipe=config)
    model.cpu().half().save_pretrained(out)
    images = BlipImageProcessor(
        size={"height": config.size, "width": config.size},
        image_mean=list(OPENAI_MEAN),
        image_std=list(OPENAI_STD),
    )
    BlipProcessor(images, tokenizer).save_pretrained(out)
    write_card(out, recipe="blip_itm", config=config, seconds=seconds, data=frames.summary())


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
    text.num_attention_heads = config.heads
    vision: Any = found.vision_config
    vision.initializer_range = text.initializer_range  # its default (1e-10) never starts to learn
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


def match_loss(
    model: BlipForImageTextRetrieval,
    tokenizer: BertTokenizer,
    memory: Tensor,
    texts: list[str],
    match: Tensor,
) -> Tensor:
    """Return the mean cross-entropy of "fits" and "does not".

    Args:
        model: The matcher.
        tokenizer: Its tokenizer.
        memory: What the texts are matched with, (N, P, D).
        texts: N texts.
        match: 1 if the text fits, else 0, (N,) int64.
    """
    tokens = _tokens(tokenizer, texts).to(memory.device)
    ids = tokens.input_ids
    ids[:, 0] = tokenizer.convert_tokens_to_ids(START)
    states = model.text_encoder(
        input_ids=ids, attention_mask=tokens.attention_mask, encoder_hidden_states=memory
    ).last_hidden_state
    return F.cross_entropy(model.itm_head(states[:, 0]).float(), match.to(memory.device))


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


def _tokens(tokenizer: BertTokenizer, texts: list[str]) -> Any:
    return tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
