"""Masks of anything: segment-anything, and colour regions where its weights are not at hand."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np

from ovseg_ros.discovery.config import ColorConfig, SamConfig
from ovseg_ros.models.sam import load_sam_model
from ovseg_ros.photographs import shrink

_MOST = 256
"""Colour regions at most, the largest: noise has one for every pixel."""


class MaskGenerator(Protocol):
    """Cuts an image into masks without names."""

    device: str

    def masks(self, image: np.ndarray) -> list[np.ndarray]:
        """Return masks, each (H, W) bool, that may overlap, of an image (H, W, 3) uint8 RGB."""
        ...


class SamMasks:
    """segment-anything."""

    def __init__(self, model: Any, config: SamConfig) -> None:
        """Wrap a loaded ``segment_anything.modeling.Sam``, already on its device."""
        from segment_anything import SamAutomaticMaskGenerator

        self.device = str(model.device)
        self._generator = SamAutomaticMaskGenerator(
            model.eval(),
            points_per_side=config.points_per_side,
            points_per_batch=config.points_per_batch,
            pred_iou_thresh=config.min_iou,
            stability_score_thresh=config.min_stability,
            box_nms_thresh=config.max_overlap,
        )

    def masks(self, image: np.ndarray) -> list[np.ndarray]:
        """Return the masks of an image; see ``MaskGenerator.masks``."""
        found = self._generator.generate(np.ascontiguousarray(image))
        return [entry["segmentation"] for entry in found]


def load_sam(config: SamConfig, *, device: str) -> SamMasks:
    """Load an official checkpoint; its size (ViT-B, -L or -H) is read off the weights.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no checkpoint of segment-anything.
    """
    return SamMasks(load_sam_model(config.weights, device=device), config)


class ColorMasks:
    """Connected regions of an image whose colours mean shift has drawn together."""

    device = "cpu"

    def __init__(self, config: ColorConfig) -> None:
        """Remember the options."""
        self._config = config

    def masks(self, image: np.ndarray) -> list[np.ndarray]:
        """Return the regions of an image, which do not overlap; see ``MaskGenerator.masks``."""
        config = self._config
        flat = np.ascontiguousarray(shrink(image, config.max_side))
        if min(flat.shape[:2]) > 1:  # OpenCV refuses a single row
            flat = cv2.pyrMeanShiftFiltering(  # at one level: a pyramid blurs the borders
                flat, config.reach_px, config.tolerance, maxLevel=0
            )
        labels = _flood(flat, config.tolerance / 4)
        sizes = np.bincount(labels.ravel())[1:]
        largest = 1 + np.argsort(-sizes, kind="stable")[:_MOST]
        labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return [labels == label for label in largest.tolist()]


def _flood(image: np.ndarray, tolerance: float) -> np.ndarray:
    """Label connected regions whose neighbours differ by at most ``tolerance``, (h, w) int32."""
    height, width = image.shape[:2]
    taken = np.zeros((height + 2, width + 2), np.uint8)  # OpenCV wants a border
    labels = np.zeros((height, width), np.int32)
    canvas, count = image.copy(), 0
    reach = (tolerance,) * 3
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
    for row in range(height):
        for column in np.flatnonzero(taken[row + 1, 1:-1] == 0).tolist():
            if taken[row + 1, column + 1]:
                continue
            before = taken[1:-1, 1:-1].copy()
            cv2.floodFill(canvas, taken, (column, row), 0, reach, reach, flags)
            count += 1
            labels[(taken[1:-1, 1:-1] != 0) & (before == 0)] = count
    return labels
