"""The robot cell's visual tower: a small convolutional pyramid that learns from simulator masks.

It stands in for DINOv2-scale pretraining, which cannot be downloaded where the package is tested.
It is frozen afterwards; the small BLIP, its matcher and X-Decoder are trained on top of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.config import Config, option
from ovseg_ros.models.pyramid import PyramidTower
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option, has_split
from ovseg_ros.training.frames import Frames, load_frames
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.tower import CellHeads, save_tower


@dataclass(frozen=True, kw_only=True)
class PyramidConfig(Config):
    """Options of the recipe."""

    data: str = data_option()
    out: str = option("out/pyramid", "directory of the result", kind="place")
    backbone: str = option("resnet18", "convolutional model of timm")
    channels: tuple[int, ...] = option((64, 128, 224, 224), "widths of its stages")
    width: int = option(192, "width of the tokens", low=64)
    height: int = option(360, "height in pixels that frames are scaled to", low=64)
    window: int = option(192, "side of the training windows in pixels", low=64)
    loop: LoopConfig = LoopConfig(steps=5000, batch=16, lr=2e-3, warmup=0.01, weight_decay=0.02)


class PyramidTrainer(CellHeads):
    """The tower and its heads."""

    def __init__(self, visual: dict[str, Any], categories: int, colours: int) -> None:
        """Build with random weights."""
        tower = PyramidTower(**visual)
        super().__init__(tower.embed_dim, categories, colours)
        self.tower = tower


def train(config: PyramidConfig) -> None:
    """Train the tower and write it to ``config.out``."""
    torch.manual_seed(config.loop.seed)
    frames = load_frames(config.data, "train", config.height)
    visual = {
        "backbone": config.backbone,
        "channels": config.channels,
        "embed_dim": config.width,
    }
    categories, colours = len(frames.categories) + 1, len(frames.colours) + 1
    model = PyramidTrainer(visual, categories, colours)
    device = config.loop.join()
    model.to(device)
    rarity, size = frames.rarity().to(device), (config.window, config.window)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = frames.draw(config.loop.batch, generator)
        batch = frames.window(index, size, generator).to(device)
        with config.loop.autocast():
            first, patches = model.tower(frames.normalise(batch.images))
        return model.losses(first, patches, batch, rarity)

    out = Path(config.out)
    seconds = optimise(model, step, config.loop, out, recipe=config)
    metrics = {}
    if has_split(config.data, "val"):
        metrics["val_miou"] = probe(
            model.eval().cpu(), load_frames(config.data, "val", config.height)
        )
    save_tower(out, model.tower, visual)
    write_card(
        out, recipe="pyramid", config=config, seconds=seconds, data=frames.summary(), **metrics
    )


@torch.no_grad()
def probe(model: Any, frames: Frames) -> float:
    """Return the mIoU of the tower's own classifier over whole frames, at the frames' size."""
    count = len(frames.categories) + 1
    confusion = torch.zeros(count, count, dtype=torch.int64)
    for number in range(len(frames)):
        size = frames.size_hw
        batch = frames.crop(
            torch.tensor([number]), size, torch.Generator().manual_seed(0), zoom=(1.0, 1.0)
        )
        with torch.autocast("cpu", torch.bfloat16):
            _, patches = model.tower(frames.normalise(batch.images))
        logits = model.classify(patches)[0].permute(0, 3, 1, 2)
        found = F.interpolate(logits, size=size, mode="bilinear").argmax(1)
        cells = batch.labels.flatten() * count + found.flatten()
        confusion += torch.bincount(cells, minlength=count**2).view(count, count)
    confusion = confusion[1:]  # unlabelled ground truth does not count
    hits = confusion[:, 1:].diagonal()
    union = confusion.sum(1) + confusion.sum(0)[1:] - hits
    present = confusion.sum(1) > 0
    return round(float((hits / union.clamp_min(1))[present].mean()), 4)
