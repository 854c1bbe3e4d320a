"""Training frames in memory, with crops that keep image, labels and captions together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ovseg_ros.robot_cell.captions import frame_captions
from ovseg_ros.robot_cell.colors import COLORS
from ovseg_ros.robot_cell.dataset import RobotCell
from ovseg_ros.robot_cell.instances import Instance
from ovseg_ros.robot_cell.objects import CATALOGUE
from ovseg_ros.segmenters.simzss.model import OPENAI_MEAN, OPENAI_STD

ATTRIBUTES = (*COLORS, "wooden")
"""Words before nouns, in the order of attribute labels 1, 2, ...; 0 is none."""


@dataclass(frozen=True)
class Batch:
    """Augmented views.

    Attributes:
        index: Which frames, (B,) int64.
        images: RGB in [0, 1], (B, 3, H, W) float32.
        labels: Category ids, (B, H, W) int64; 0 is unlabelled.
        colours: Attribute labels, (B, H, W) int64; 0 is none.
        instances: Instance ids, (B, H, W) int64.
    """

    index: Tensor
    images: Tensor
    labels: Tensor
    colours: Tensor
    instances: Tensor


class Frames:
    """A split of the robot cell in memory."""

    def __init__(self, cell: RobotCell) -> None:
        """Read every frame (about 0.4 MB each at 320x240)."""
        self.categories = tuple(kind.name for kind in CATALOGUE if not kind.novel)
        if cell.categories[1 : 1 + len(self.categories)] != self.categories:
            raise ValueError(
                f"data: expected the categories of this version, {', '.join(self.categories)}; "
                f"got {', '.join(cell.categories[1:])}; render the split again"
            )
        self.colours = ATTRIBUTES
        self.split, self.captions = cell.split, [list(cell.captions(i)) for i in range(len(cell))]
        self.visible = [cell.instances(i) for i in range(len(cell))]
        images, labels, masks = [], [], []
        for frame in tqdm(cell, desc=f"read {cell.split}", total=len(cell)):
            images.append(torch.from_numpy(frame.image).permute(2, 0, 1))
            labels.append(torch.from_numpy(frame.labels))
            masks.append(torch.from_numpy(frame.instance_mask))
        self._images = torch.stack(images)  # (N, 3, H, W) uint8
        self._labels = torch.stack(labels)  # (N, H, W) uint8
        self._masks = torch.stack(masks)  # (N, H, W) uint8
        self._paint = torch.zeros(len(cell), 256, dtype=torch.uint8)  # instance id -> attribute
        for row, instances in zip(self._paint, self.visible, strict=True):
            for instance in instances:
                if instance.attribute:
                    row[instance.id] = ATTRIBUTES.index(instance.attribute) + 1

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._images)

    def summary(self) -> str:
        """Return one line about the data, for cards."""
        height, width = self._images.shape[2:]
        return f"robot cell, split {self.split}, {len(self)} frames {width}x{height}"

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw frame indices with replacement, (count,) int64."""
        return torch.randint(len(self), (count,), generator=generator)

    def rarity(self) -> Tensor:
        """Return weights of the categories, (C + 1,): inverse square root of their share.

        Unlabelled pixels weigh nothing; the mean over all labelled pixels is 1.
        """
        counts = torch.bincount(
            self._labels[:: max(1, len(self) // 500), ::4, ::4].flatten().long(),
            minlength=len(self.categories) + 1,
        ).float()
        counts[0] = 0
        share = counts / counts.sum()
        weights = torch.where(share > 0, share.clamp_min(1e-5) ** -0.5, 0)
        return weights / (weights * share).sum()

    def crop(
        self,
        index: Tensor,
        size_hw: tuple[int, int],
        generator: torch.Generator,
        *,
        zoom: tuple[float, float] = (0.5, 1.0),
    ) -> Batch:
        """Cut, flip and tint; ``zoom`` (1, 1) gives the whole frames as they are.

        Args:
            index: Frames, (B,) int64.
            size_hw: Size of the views (any aspect: the frame is squeezed like in inference).
            generator: Source of randomness.
            zoom: Range of the crop's side as a share of the frame's.
        """
        count, whole = len(index), zoom == (1.0, 1.0)

        def uniform(low: float, high: float) -> Tensor:
            return torch.rand(count, generator=generator) * (high - low) + low

        scale = uniform(*zoom)
        side = torch.stack([scale, (scale * uniform(0.85, 1.18)).clamp(max=1.0)], 1)  # x, y
        if whole:
            side = torch.ones(count, 2)
        shift = torch.stack([uniform(-1, 1), uniform(-1, 1)], 1) * (1 - side)
        flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0) if not whole else torch.ones(count)
        theta = torch.zeros(count, 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = side[:, 0] * flip, side[:, 1]
        theta[:, :, 2] = shift
        grid = F.affine_grid(theta, [count, 1, *size_hw], align_corners=False)
        images = F.grid_sample(
            self._images[index].float() / 255, grid, align_corners=False, padding_mode="reflection"
        )
        if not whole:
            gain = uniform(0.8, 1.2)[:, None, None, None] + 0.04 * torch.randn(
                count, 3, 1, 1, generator=generator
            )
            noise = 0.02 * torch.randn(images.shape, generator=generator)
            images = (images * gain + noise * uniform(0, 1)[:, None, None, None]).clamp(0, 1)
        both = torch.stack([self._labels[index], self._masks[index]], 1).float()
        both = F.grid_sample(
            both, grid, mode="nearest", align_corners=False, padding_mode="reflection"
        ).long()
        labels, masks = both[:, 0], both[:, 1]
        labels = torch.where(labels <= len(self.categories), labels, 0)
        paint = self._paint[index].long().gather(1, masks.flatten(1)).view_as(masks)
        return Batch(index, images, labels, paint, masks)

    def normalise(self, images: Tensor) -> Tensor:
        """Return images normalised with CLIP's statistics, which BLIP shares."""
        mean, std = (torch.tensor(v)[:, None, None] for v in (OPENAI_MEAN, OPENAI_STD))
        return (images - mean) / std

    def instances(self, batch: Batch, row: int) -> list[Instance]:
        """Return the instances that a view shows, with their pixels counted in the view."""
        counts = torch.bincount(batch.instances[row].flatten(), minlength=256)
        return [
            replace(instance, pixels=int(counts[instance.id]))
            for instance in self.visible[int(batch.index[row])]
            if counts[instance.id] > 0
        ]

    def describe(self, batch: Batch) -> list[list[str]]:
        """Return captions of what each view shows."""
        pixels = batch.labels[0].numel()
        return [
            list(frame_captions(self.instances(batch, row), pixels, _rng(batch, row)))
            for row in range(len(batch.index))
        ]


def _rng(batch: Batch, row: int) -> np.random.Generator:
    """Return a generator that depends on what the view shows only."""
    return np.random.default_rng((int(batch.index[row]), int(batch.instances[row].sum())))


def load_frames(root: Path, split: str) -> Frames:
    """Read a split that ``ovseg render`` made.

    Raises:
        ValueError: if it is not there.
    """
    return Frames(RobotCell(root, split))
