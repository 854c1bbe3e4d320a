"""Training frames in memory, with crops that keep image, labels and captions together."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor
from torchvision.transforms.functional import normalize
from tqdm import tqdm

from ovseg_ros.robot_cell.captions import frame_captions
from ovseg_ros.robot_cell.instances import Instance
from ovseg_ros.robot_cell.objects import SCENERY
from ovseg_ros.training.data import Example, Source, open_source


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

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(**{key: value.to(device) for key, value in vars(self).items()})

    def repeat(self, times: int) -> Batch:
        """Return every view several times in a row."""
        return Batch(
            **{key: value.repeat_interleave(times, 0) for key, value in vars(self).items()}
        )


class Frames:
    """A split in memory."""

    def __init__(self, source: Source, height: int | None = None) -> None:
        """Read every image (about 0.9 MB each at 480x360).

        All get the size of the first one, scaled; those of another aspect are squeezed.

        Args:
            source: A split.
            height: Height in pixels that images are scaled to; as the first one is if None.

        Raises:
            ValueError: if they do not fit into the machine's memory.
        """
        self.categories, self.synonyms = source.categories, source.synonyms
        self.colours, self.title, self.written = source.colours, source.title, source.written
        self.captions: list[list[str]] = []
        self.visible: list[tuple[Instance, ...]] = []
        self._centres = []
        kind = torch.uint8 if len(self.categories) < 256 else torch.int16
        for index in tqdm(range(len(source)), desc=f"read {source.title}"):
            example = source[index]
            self.captions.append(list(example.captions))
            self.visible.append(example.instances)
            if index == 0:  # all at once: a list and its stack would need twice the memory
                size_hw: tuple[int, int] = example.labels.shape
                if height is not None:
                    size_hw = height, max(1, round(size_hw[1] * height / size_hw[0]))
                _check_memory(len(source), size_hw)
                self._images = torch.empty(len(source), 3, *size_hw, dtype=torch.uint8)
                self._labels = torch.empty(len(source), *size_hw, dtype=kind)
                self._masks = torch.empty(len(source), *size_hw, dtype=torch.uint8)
            image = _resize(example.image, size_hw, cv2.INTER_AREA)
            image = np.require(image, requirements="W")  # torch wraps no other
            self._images[index] = torch.from_numpy(image).permute(2, 0, 1)
            for maps, values in (
                (self._labels, example.labels),
                (self._masks, example.instance_mask),
            ):
                small = _resize(values, size_hw, cv2.INTER_NEAREST)
                maps[index] = torch.from_numpy(small.astype(np.int32)).to(maps.dtype)
            self._centres.append(_centres(example))
        self._paint = torch.zeros(len(source), 256, dtype=torch.uint8)  # instance id -> attribute
        for row, instances in zip(self._paint, self.visible, strict=True):
            for instance in instances:
                if instance.attribute:
                    row[instance.id] = self.colours.index(instance.attribute) + 1

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._images)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the frames in pixels."""
        height, width = self._images.shape[2:]
        return height, width

    def summary(self) -> str:
        """Return one line about the data, for cards."""
        height, width = self.size_hw
        return f"{self.title}, {len(self)} frames {width}x{height}"

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
        )[: len(self.categories) + 1].float()  # categories of the novel split have no weight
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
        draw = _Uniform(len(index), generator)
        if zoom == (1.0, 1.0):
            return self._view(index, size_hw, torch.ones(len(index), 2), torch.zeros(len(index), 2))
        scale = draw(*zoom)
        side = torch.stack([scale, (scale * draw(0.85, 1.18)).clamp(max=1.0)], 1)  # x, y
        shift = torch.stack([draw(-1, 1), draw(-1, 1)], 1) * (1 - side)
        return self._view(index, size_hw, side, shift, draw)

    def window(
        self,
        index: Tensor,
        size_hw: tuple[int, int],
        generator: torch.Generator,
        *,
        scale: tuple[float, float] = (0.7, 1.4),
        aspect: tuple[float, float] = (0.75, 1.2),
        focus: float = 0.8,
    ) -> Batch:
        """Cut windows at about the frames' own scale, most of them around an object; flip, tint.

        Args:
            index: Frames, (B,) int64.
            size_hw: Size of the windows in pixels, at most the frames'.
            generator: Source of randomness.
            scale: Range of the magnification.
            aspect: Range of horizontal by vertical magnification; BBoost squeezes frames.
            focus: Share of the windows that look at an object.
        """
        draw = _Uniform(len(index), generator)
        height, width = self.size_hw
        magnified, squeezed = (
            torch.exp(draw(math.log(low), math.log(high)) * power)
            for (low, high), power in ((scale, 1.0), (aspect, 0.5))
        )
        magnification = torch.stack([magnified * squeezed, magnified / squeezed], 1)  # x, y
        side = torch.tensor([size_hw[1] / width, size_hw[0] / height]) / magnification
        side = side.clamp(max=1.0)
        anywhere = torch.stack([draw(-1, 1), draw(-1, 1)], 1)
        pick, focused = draw(0, 1), draw(0, 1) < focus
        wobble = torch.stack([draw(-0.8, 0.8), draw(-0.8, 0.8)], 1)
        for row, frame in enumerate(index.tolist()):
            centres = self._centres[frame]
            if focused[row] and len(centres):
                anywhere[row] = centres[int(pick[row] * len(centres))] + wobble[row] * side[row]
        return self._view(index, size_hw, side, anywhere.clamp(side - 1, 1 - side), draw)

    def _view(
        self,
        index: Tensor,
        size_hw: tuple[int, int],
        side: Tensor,
        shift: Tensor,
        draw: _Uniform | None = None,
    ) -> Batch:
        """Sample views of a side (B, 2) around a centre (B, 2), as shares of the half frame."""
        count = len(index)
        flip = torch.ones(count) if draw is None else torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
        theta = torch.zeros(count, 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = side[:, 0] * flip, side[:, 1]
        theta[:, :, 2] = shift
        grid = F.affine_grid(theta, [count, 1, *size_hw], align_corners=False)
        images = F.grid_sample(
            self._images[index].float() / 255, grid, align_corners=False, padding_mode="reflection"
        )
        if draw is not None:
            gain = draw(0.8, 1.2)[:, None, None, None] + 0.04 * draw.normal(3, 1, 1)
            noise = 0.02 * draw.normal(*images.shape[1:])
            images = (images * gain + noise * draw(0, 1)[:, None, None, None]).clamp(0, 1)
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
        return normalize(images, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)

    def instances(self, batch: Batch, row: int) -> list[Instance]:
        """Return the instances that a view shows, with their pixels counted in the view."""
        counts = torch.bincount(batch.instances[row].flatten(), minlength=256)
        return [
            replace(instance, pixels=int(counts[instance.id]))
            for instance in self.visible[int(batch.index[row])]
            if counts[instance.id] > 0
        ]

    def describe(self, batch: Batch, row: int, rng: np.random.Generator) -> list[str]:
        """Return captions of a view: those somebody wrote, else what it shows."""
        frame = int(batch.index[row])
        if frame in self.written:
            return self.captions[frame]
        shown = self.instances(batch, row)
        if not shown:
            return ["something"]
        return [text for text in frame_captions(shown, batch.labels[row].numel(), rng) if text]

    def describe_part(
        self, batch: Batch, row: int, rows: slice, columns: slice, share: float
    ) -> list[str]:
        """Return captions of a part of a view; they name what covers a share of it."""
        part = replace(
            batch,
            **{
                name: getattr(batch, name)[row : row + 1, rows, columns]
                for name in ("labels", "colours", "instances")
            },
            index=batch.index[row : row + 1],
        )
        pixels = part.labels[0].numel()
        visible = self.instances(part, 0)
        large = [instance for instance in visible if instance.pixels >= share * pixels]
        named = large or sorted(visible, key=lambda instance: -instance.pixels)[:1]
        if not named:  # nothing that has a label
            return ["something"]
        said = frame_captions(named, pixels, _rng(part, 0))
        return [caption for caption in said if caption]  # of a bare wall some say nothing


class _Uniform:
    """Draws one number per view."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self._count, self._generator = count, generator

    def __call__(self, low: float, high: float) -> Tensor:
        """Return uniform numbers, (B,)."""
        return torch.rand(self._count, generator=self._generator) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        """Return normal numbers, (B, *shape)."""
        return torch.randn(self._count, *shape, generator=self._generator)


def _centres(frame: Example) -> Tensor:
    """Return the centres of what stands on the table, (N, 2), x and y in [-1, 1]."""
    height, width = frame.labels.shape
    boxes = [i.bbox_xyxy for i in frame.instances if i.category not in SCENERY]
    box = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    return (box[:, :2] + box[:, 2:]) / torch.tensor([width, height]) - 1


def _resize(image: np.ndarray, size_hw: tuple[int, int], interpolation: int) -> np.ndarray:
    if image.shape[:2] == size_hw:
        return image
    return cv2.resize(image, size_hw[::-1], interpolation=interpolation)


def numpy_rng(generator: torch.Generator) -> np.random.Generator:
    """Draw a generator of NumPy's."""
    return np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))


def _rng(batch: Batch, row: int) -> np.random.Generator:
    """Return a generator that depends on what the view shows only."""
    return np.random.default_rng((int(batch.index[row]), int(batch.instances[row].sum())))


def load_frames(data: str | Path, split: str, height: int | None = None) -> Frames:
    """Read a split of what ``--data`` names, scaled to a height in pixels if one is given.

    Args:
        data: See :mod:`ovseg_ros.training.data`.
        split: train or val.
        height: Height in pixels.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is not such data, or does not fit into the machine's memory.
    """
    return Frames(open_source(data, split), height)


def _check_memory(count: int, size_hw: tuple[int, int]) -> None:
    """Refuse what would be killed half way."""
    wanted = 6 * count * size_hw[0] * size_hw[1]
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if wanted > 0.8 * there:
        raise ValueError(
            f"height: {count} images of {size_hw[1]}x{size_hw[0]} take {wanted / 2**30:.0f} GiB, "
            f"this machine has {there / 2**30:.0f}; lower it, or name a folder with fewer images"
        )
