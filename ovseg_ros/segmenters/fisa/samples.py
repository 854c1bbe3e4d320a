"""Panoptic samples for training: large-scale jitter, a fixed crop, a flip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ovseg_ros.evaluation.datasets import Dataset, Sample


@dataclass(frozen=True)
class View:
    """A view of a sample.

    Attributes:
        image: RGB, (3, H, W) uint8; what lies outside of the image is grey.
        ids: Segment 1..T of every pixel, (H, W) uint8 or int32; 0 is none, or not to be learnt.
        labels: Names of the segments, (T,) int64 in 0..K - 1.
    """

    image: Tensor
    ids: Tensor
    labels: Tensor

    def masks(self) -> Tensor:
        """Return the segments' masks, (T, H, W) float32."""
        numbers = torch.arange(1, len(self.labels) + 1)[:, None, None]
        return (self.ids == numbers).float()


class PanopticViews:
    """Draws views of a panoptic data set.

    Every image is resized by a factor drawn from ``scale``, relative to the size at which it just
    fits the crop (large-scale jitter), and cropped or padded to the crop's size.
    """

    def __init__(
        self,
        dataset: Dataset,
        crop_hw: tuple[int, int],
        scale: tuple[float, float],
        least: int = 16,
    ) -> None:
        """Prepare to draw.

        Args:
            dataset: A data set whose samples have segments.
            crop_hw: Height and width of the views in pixels.
            scale: Range of the jitter (published: 0.1 to 2).
            least: Pixels a view must show of a segment that is asked for.
        """
        self.dataset, self.crop_hw, self.scale, self.least = dataset, crop_hw, scale, least

    def draw(self, generator: torch.Generator) -> View:
        """Draw a view.

        Raises:
            ValueError: if the data set has no panoptic ground truth.
        """
        index = int(torch.randint(len(self.dataset), (1,), generator=generator))
        draws = torch.rand(4, generator=generator).tolist()
        return self.view(self.dataset[index], draws)

    def view(self, sample: Sample, draws: Sequence[float]) -> View:
        """Return a view of a sample by four numbers in 0..1: scale, row, column, flip."""
        if sample.segments is None:
            raise ValueError(f"dataset: expected panoptic ground truth, {sample.id} has none")
        height, width = sample.labels.shape
        fit = min(self.crop_hw[0] / height, self.crop_hw[1] / width)
        low, high = self.scale
        factor = fit * (low + draws[0] * (high - low))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        image = cv2.resize(sample.image, size, interpolation=way)
        ids = cv2.resize(sample.segments.ids, size, interpolation=cv2.INTER_NEAREST_EXACT)
        if draws[3] < 0.5:
            image, ids = image[:, ::-1], ids[:, ::-1]
        rows, columns = (
            round(draw * max(0, have - want))
            for draw, have, want in zip(draws[1:3], ids.shape, self.crop_hw, strict=True)
        )
        image = image[rows : rows + self.crop_hw[0], columns : columns + self.crop_hw[1]]
        ids = ids[rows : rows + self.crop_hw[0], columns : columns + self.crop_hw[1]]
        return self._pad(image, ids, sample)

    def _pad(self, image: np.ndarray, ids: np.ndarray, sample: Sample) -> View:
        assert sample.segments is not None
        canvas = np.full((*self.crop_hw, 3), 124, np.uint8)
        canvas[: image.shape[0], : image.shape[1]] = image
        numbers, labels = np.zeros(self.crop_hw, np.int32), []
        values, counts = np.unique(ids, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            known = sample.segments.of.get(value)
            if known is None or known.crowd or count < self.least:
                continue
            labels.append(known.label - 1)
            numbers[: ids.shape[0], : ids.shape[1]][ids == value] = len(labels)
        return View(
            torch.from_numpy(canvas).permute(2, 0, 1).contiguous(),
            torch.from_numpy(numbers.astype(np.uint8) if len(labels) < 256 else numbers),
            torch.tensor(labels, dtype=torch.int64),
        )
