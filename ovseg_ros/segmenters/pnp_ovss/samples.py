"""What the recipe of the small matcher shows it: windows cut out of views, partly hidden."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ovseg_ros.models.conv_tower import STRIDE
from ovseg_ros.models.pyramid import Tower
from ovseg_ros.robot_cell.objects import SCENERY
from ovseg_ros.training.frames import Batch, Frames

if TYPE_CHECKING:
    from ovseg_ros.segmenters.pnp_ovss.recipe import BlipItmRecipe

MAPS = ("labels", "colours", "instances")
"""What a batch says about pixels."""

_TRIES = 4
"""How often a window is drawn again that shows nothing but scenery."""


@torch.no_grad()
def draw_views(frames: Frames, tower: Tower, config: BlipItmRecipe) -> Batch:
    """Cut views and look at them through the tower.

    Returns:
        The views, whose images are what the tower drew, (N, 3, S, S) float16; the maps are uint8.
    """
    generator = torch.Generator().manual_seed(config.loop.seed)
    size_hw, zoom = (config.size, config.size), (config.zoom[0], config.zoom[-1])
    place = next(tower.parameters()).device
    parts = []
    bar = tqdm(total=config.views, desc="views", unit="view")
    for start in range(0, config.views, 8):
        index = frames.draw(min(8, config.views - start), generator)
        batch = frames.crop(index, size_hw, generator, zoom=zoom)
        with config.loop.autocast():
            drawn = tower.draw(frames.normalise(batch.images).to(place)).half().cpu()
        maps = {key: getattr(batch, key).to(torch.uint8) for key in MAPS}
        parts.append(replace(batch, images=drawn, **maps))
        bar.update(len(index))
    bar.close()
    return Batch(**{key: torch.cat([getattr(p, key) for p in parts]) for key in vars(parts[0])})


def cut_windows(
    views: Batch, frames: Frames, config: BlipItmRecipe, rng: np.random.Generator
) -> Batch:
    """Cut square windows of one size out of views: many small ones or a few large ones.

    Small ones teach names apart that frames always show together; large ones teach to find a thing
    among many.
    """
    low, high = np.log([config.windows[0], min(config.windows[-1], config.size // STRIDE)])
    side = round(float(np.exp(rng.uniform(low, high))))
    count = int(np.clip(config.patches // side**2, 4, config.loop.batch))
    things = torch.tensor([0, *(name not in SCENERY for name in frames.categories)]).bool()
    rows, places = rng.integers(len(views.index), size=count), []
    for row in rows:
        for _ in range(_TRIES):
            top, left = rng.integers(0, config.size // STRIDE - side + 1, 2) * STRIDE
            where = np.s_[..., top : top + side * STRIDE, left : left + side * STRIDE]
            if things[views.labels[row][where].int()].any():
                break
        places.append((row, where))
    cut = {
        key: torch.stack([getattr(views, key)[row][where] for row, where in places])
        for key in ("images", *MAPS)
    }
    return Batch(views.index[rows], cut["images"].float(), **{key: cut[key].long() for key in MAPS})


def hide(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Hide patches of every window, as Salience DropOut does; what is hidden is not shown.

    Args:
        batch: The windows.
        share: Share of the patches.
        generator: Source of randomness.
    """
    height, width = (side // STRIDE for side in batch.labels.shape[1:])
    where = draw_patches(
        len(batch.index), (height, width), round(height * width * share), generator
    )
    dark = torch.zeros(len(batch.index), height * width, dtype=torch.bool).scatter_(1, where, True)
    dark = dark.view(-1, height, width).repeat_interleave(STRIDE, 1).repeat_interleave(STRIDE, 2)
    return replace(
        batch,
        images=batch.images.masked_fill(dark[:, None], 0.0),
        labels=batch.labels.masked_fill(dark, 0),
        instances=batch.instances.masked_fill(dark, 0),
    )


def draw_patches(
    batch: int, grid_hw: tuple[int, int], count: int, generator: torch.Generator
) -> Tensor:
    """Draw for every image ``count`` patches, scattered or (half of the images) in blobs.

    Returns:
        Patch indices (batch, count) int64 in ascending order.
    """
    height, width = grid_hw
    noise = torch.rand(batch, height * width, generator=generator)
    coarse = torch.rand(batch, 1, 4, 4, generator=generator)
    blobs = F.interpolate(coarse, size=grid_hw, mode="bicubic").flatten(1)
    chosen = torch.where(torch.rand(batch, 1, generator=generator) < 0.5, noise, blobs)
    return chosen.topk(count, dim=1).indices.sort(1).values
