"""A small Mask2Former on the robot cell: FISA's frozen generator.

It is transformers' model and transformers' loss, on the robot cell's frozen pyramid. It learns what
a single thing or surface is, not what it is called: there is one class.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.fisa.generator import MaskGenerator, build_small, save_small
from ovseg_ros.segmenters.fisa.pyramid import PyramidMaps
from ovseg_ros.segmenters.fisa.validation import mask_recall
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option, has_split
from ovseg_ros.training.distributed import rank, share
from ovseg_ros.training.frames import Batch, load_frames
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.tower import load_tower, tower_card, tower_option


@dataclass(frozen=True, kw_only=True)
class MasksRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    tower: str = tower_option()
    out: str = option("out/fisa_masks", "directory of the result", kind="place")
    height: int = option(360, "height in pixels that frames are scaled to", low=64)
    window: tuple[int, ...] = option(
        (256, 320), "height and width of the training windows in pixels, multiples of 32", low=64
    )
    scale: tuple[float, ...] = option(
        (0.6, 1.2), "least and largest magnification of the windows", low=0.1
    )
    least: int = option(60, "pixels a window shows of an instance that is asked for", low=1)
    width: int = option(128, "width of pixel decoder and decoder", low=16)
    queries: int = option(40, "proposals of an image", low=1)
    encoder_layers: int = option(1, "layers of the pixel decoder", low=1)
    decoder_layers: int = option(4, "layers of the decoder, the first one counted", low=2)
    points: int = option(3136, "points at which masks are compared", low=16)
    loop: LoopConfig = LoopConfig(steps=2400, batch=2, lr=1e-3, warmup=0.03, save_every=50)


class MasksTrainer(nn.Module):
    """What is trained: checkpoints need not repeat the frozen pyramid."""

    def __init__(self, model: Any) -> None:
        """Take all of a model but its backbone."""
        super().__init__()
        self.decoder = model.model.pixel_level_module.decoder
        self.transformer, self.classes = model.model.transformer_module, model.class_predictor


def build(config: MasksRecipe) -> tuple[Any, dict[str, Any]]:
    """Return the model, its pyramid trained and the rest random, and the pyramid's arguments."""
    visual, weights = load_tower(Path(config.tower))
    settings = {
        "num_labels": 1,
        "hidden_dim": config.width,
        "feature_size": config.width,
        "mask_feature_size": config.width,
        "encoder_layers": config.encoder_layers,
        "encoder_feedforward_dim": 2 * config.width,
        "decoder_layers": config.decoder_layers,
        "dim_feedforward": 4 * config.width,
        "num_attention_heads": 4,
        "num_queries": config.queries,
        "train_num_points": config.points,
    }
    model = build_small(settings, visual)
    for part in model.modules():
        if isinstance(part, PyramidMaps):
            part.load_tower(weights)
    return model, visual


def train(config: MasksRecipe) -> None:
    """Train and write the model, its card and its curves to ``config.out``."""
    if len(config.scale) != 2 or config.scale[0] > config.scale[1]:
        raise ValueError(f"scale: expected the least and the largest, got {config.scale}")
    if len(config.window) != 2 or any(side % 32 for side in config.window):
        raise ValueError(f"window: expected two multiples of 32, got {config.window}")
    device = config.loop.join()
    frames = load_frames(config.data, "train", config.height)
    model, visual = build(config)
    trainer = MasksTrainer(model.to(device)).train()
    size, scale = (config.window[0], config.window[1]), (config.scale[0], config.scale[1])
    count, mine = share(config.loop.batch)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        drawn = frames.draw(count, generator)[mine]
        batch = frames.window(drawn, size, generator, scale=scale)
        masks = [instance_masks(batch, row, config.least).to(device) for row in range(len(drawn))]
        classes = [torch.zeros(len(own), dtype=torch.int64, device=device) for own in masks]
        with config.loop.autocast():
            found = model(
                pixel_values=255 * batch.images.to(device), mask_labels=masks, class_labels=classes
            )
        return {"loss": found.loss.squeeze()}

    out = Path(config.out)
    seconds = optimise(trainer, step, config.loop, out, recipe=config)
    if rank() == 0:
        save_small(model.cpu(), visual, out)
        alone = {}
        if has_split(config.data, "val"):
            unseen = load_frames(config.data, "val", config.height)
            alone = {"val": mask_recall(MaskGenerator(model).eval(), unseen)}
        write_card(
            out,
            recipe="fisa_masks",
            config=config,
            seconds=seconds,
            data=frames.summary() + ", instances without names",
            tower=tower_card(Path(config.tower)),
            **alone,
        )


def instance_masks(batch: Batch, row: int, least: int) -> Tensor:
    """Return the instances of a view with at least ``least`` pixels, (T, H, W) float32, T >= 1."""
    ids, counts = batch.instances[row].unique(return_counts=True)
    chosen = ids[(ids > 0) & (counts >= least)]
    if not len(chosen):
        chosen = ids[counts.argmax()][None]
    return (batch.instances[row] == chosen[:, None, None]).float()
