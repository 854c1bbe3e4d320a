"""The robot cell's visual tower: a small convolutional pyramid that learns from simulator masks.

It stands in for DINOv2-scale pretraining, which cannot be downloaded where the package is tested.
It is frozen afterwards; the small BLIP, its matcher and X-Decoder are trained on top of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.config import Config, option
from ovseg_ros.evaluation.metrics.semantic import confusion, mean_iou
from ovseg_ros.models.pyramid import PyramidTower
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option, has_split
from ovseg_ros.training.frames import load_frames
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
    device = config.loop.join()
    frames = load_frames(config.data, "train", config.height)
    visual = {
        "backbone": config.backbone,
        "channels": config.channels,
        "embed_dim": config.width,
    }
    categories, colours = len(frames.categories) + 1, len(frames.colours) + 1
    model = PyramidTrainer(visual, categories, colours)
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
    metrics = probe(model, config.data, config.height)
    save_tower(out, model.tower, visual)
    write_card(
        out, recipe="pyramid", config=config, seconds=seconds, data=frames.summary(), **metrics
    )


@torch.no_grad()
def probe(model: Any, data: str, height: int) -> dict[str, float]:
    """Return the mIoU ``val_miou`` of the tower's own classifier, nothing without a split val.

    Args:
        model: A tower and its heads; on the CPU and in eval mode afterwards.
        data: What the recipe is trained on.
        height: Height in pixels that frames are scaled to; whole frames are classified.
    """
    model.eval().cpu()
    if not has_split(data, "val"):
        return {}
    frames = load_frames(data, "val", height)
    count, size = len(frames.categories), frames.size_hw
    matrix = np.zeros((count, count + 1), np.int64)
    for number in range(len(frames)):
        batch = frames.crop(torch.tensor([number]), size, torch.Generator(), zoom=(1.0, 1.0))
        with torch.autocast("cpu", torch.bfloat16):
            _, patches = model.tower(frames.normalise(batch.images))
        logits = model.classify(patches)[0].permute(0, 3, 1, 2)
        found = F.interpolate(logits, size=size, mode="bilinear").argmax(1)
        matrix += confusion(batch.labels.numpy() - 1, found.numpy() - 1, count)
    return {"val_miou": round(mean_iou(matrix), 4)}
