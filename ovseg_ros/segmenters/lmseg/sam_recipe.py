"""A small segment-anything: masks without names, from points, as its authors train theirs.

A point inside an instance asks for its mask (Kirillov et al., ICCV 2023); of three masks the best
one learns. The weights serve LMSeg, which reads the image encoder's neck.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from ovseg_ros.config import Config, option
from ovseg_ros.evaluation.datasets import Dataset
from ovseg_ros.models.sam import build_small_sam, save_small_sam
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option, open_regions
from ovseg_ros.training.distributed import rank, share
from ovseg_ros.training.loop import LoopConfig, optimise


@dataclass(frozen=True, kw_only=True)
class SamShape(Config):
    """Sizes of the model."""

    size: int = option(256, "side of the square image in pixels, a multiple of 16", low=64)
    width: int = option(128, "width of the image encoder", low=16)
    depth: int = option(4, "blocks of the image encoder", low=1)
    heads: int = option(4, "its heads", low=1)
    channels: int = option(64, "channels of the neck", low=8)
    window: int = option(8, "side of the attention windows in patches", low=2)

    def __post_init__(self) -> None:
        """Validate the sizes against each other."""
        super().__post_init__()
        if self.size % 16:
            raise ValueError(f"size: expected a multiple of 16, got {self.size}")
        if self.width % self.heads:
            raise ValueError(f"heads: expected a divisor of width {self.width}, got {self.heads}")


@dataclass(frozen=True, kw_only=True)
class SamRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    out: str = option("out/sam", "directory of the result", kind="place")
    shape: SamShape = SamShape()
    points: int = option(4, "instances of an image that are asked for in a step", low=1)
    least: int = option(32, "pixels an instance must show", low=1)
    loop: LoopConfig = LoopConfig(steps=1500, batch=8, lr=1e-3, weight_decay=0.05)


def train(config: SamRecipe) -> None:
    """Train, and write weights, card and curves to ``config.out``."""
    device = config.loop.join()
    data = open_regions(config.data, "train")
    shape = asdict(config.shape)
    model = build_small_sam(**shape).to(device)

    count, mine = share(config.loop.batch)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        indices = torch.randint(len(data), (count,), generator=generator)
        seeds = torch.randint(2**31, (count,), generator=generator)
        drawn = [
            draw(data, int(i), config, int(seed))
            for i, seed in zip(indices[mine], seeds[mine], strict=True)
        ]
        drawn = [own for own in drawn if len(own[1])] or drawn[:1]
        pixels = torch.stack([model.preprocess(own[0].to(device)) for own in drawn])
        with config.loop.autocast():
            necks = model.image_encoder(pixels)
        losses = [
            mask_loss(model, neck.float(), own[1].to(device), own[2].to(device))
            for neck, own in zip(necks, drawn, strict=True)
            if len(own[1])
        ]
        loss = torch.stack(losses).mean() if losses else 0.0 * necks.float().sum()
        return {"loss": loss}

    out = Path(config.out)
    seconds = optimise(model, step, config.loop, out, recipe=config)
    if rank() == 0:
        save_small_sam(model.cpu(), shape, out)
        write_card(
            out,
            recipe="sam",
            config=config,
            seconds=seconds,
            data=f"{data.name}, {len(data)} images, instance masks without names",
        )


def draw(data: Dataset, index: int, config: SamRecipe, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw points of an image.

    Returns:
        The image (3, S, S) float32 in 0..255, padded as the predictor pads it; points (N, 2)
        float32 as (x, y) in its pixels; the masks of what lies there (N, S / 4, S / 4) float32.

    Raises:
        ValueError: if the data set has no instances.
    """
    sample = data[index]
    if sample.segments is None:
        raise ValueError(f"dataset: expected instances, {sample.id} has none")
    rng, size = np.random.default_rng(seed), config.shape.size
    scale = size / max(sample.labels.shape)
    height, width = (max(1, round(n * scale)) for n in sample.labels.shape)
    image = cv2.resize(sample.image, (width, height), interpolation=cv2.INTER_AREA)
    ids = cv2.resize(
        sample.segments.ids.astype(np.int32), (width, height),
        interpolation=cv2.INTER_NEAREST_EXACT,
    )  # fmt: skip
    if rng.random() < 0.5:
        image, ids = image[:, ::-1], ids[:, ::-1]
    canvas, large = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.int32)
    canvas[:height, :width], large[:height, :width] = image, ids
    values, counts = np.unique(ids, return_counts=True)
    chosen = [
        int(v)
        for v, n in zip(values, counts, strict=True)
        if n >= config.least and int(v) in sample.segments.of
    ]
    chosen = rng.permutation(chosen).astype(int).tolist()[: config.points]
    points, masks = [], []
    for value in chosen:
        rows, columns = np.nonzero(large == value)
        pick = int(rng.integers(len(rows)))
        points.append((float(columns[pick]), float(rows[pick])))
        mask = (large == value).astype(np.float32)
        masks.append(cv2.resize(mask, (size // 4, size // 4), interpolation=cv2.INTER_AREA))
    return (
        torch.from_numpy(canvas).permute(2, 0, 1).contiguous(),
        torch.tensor(points, dtype=torch.float32).view(-1, 2),
        torch.from_numpy(np.array(masks, np.float32).reshape(-1, size // 4, size // 4)),
    )


def mask_loss(model: Any, neck: Tensor, points: Tensor, masks: Tensor) -> Tensor:
    """Return focal and dice loss (20 : 1) of the best of three masks, and that of its own score.

    Args:
        model: A ``segment_anything.modeling.Sam``.
        neck: Features of one image, (C, h, w).
        points: One inside each mask, (N, 2).
        masks: True masks, (N, S / 4, S / 4).
    """
    labels = torch.ones(len(points), 1, dtype=torch.int, device=points.device)
    sparse, dense = model.prompt_encoder(points=(points[:, None], labels), boxes=None, masks=None)
    found, scores = model.mask_decoder(
        image_embeddings=neck[None],
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )  # (N, 3, S / 4, S / 4), (N, 3)
    truth = masks[:, None].expand_as(found)
    odds = found.sigmoid()
    focal = sigmoid_focal_loss(found, truth, alpha=-1).mean((2, 3))  # alpha -1: none
    overlap = (odds * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (odds.sum((2, 3)) + truth.sum((2, 3)) + 1)
    losses = 20 * focal + dice  # (N, 3)
    best = losses.argmin(1)
    with torch.no_grad():
        hard, true = found > 0, truth > 0.5
        iou = (hard & true).sum((2, 3)) / (hard | true).sum((2, 3)).clamp_min(1)
    return losses.gather(1, best[:, None]).mean() + F.mse_loss(scores, iou.float())
