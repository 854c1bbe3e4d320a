"""PnP-OVSS: filter names, read salience, make masks (arXiv 2311.17095)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ovseg_ros.segmenters.base import Cadence
from ovseg_ros.segmenters.dense import DenseSegmenter
from ovseg_ros.segmenters.pnp_ovss.config import (
    PnpOvssConfig,
)
from ovseg_ros.segmenters.pnp_ovss.filters import build_filter
from ovseg_ros.segmenters.pnp_ovss.masks import label
from ovseg_ros.segmenters.pnp_ovss.matchers import load_matcher
from ovseg_ros.segmenters.pnp_ovss.saliency import check_place, salience_maps
from ovseg_ros.types import Segmentation, Vocabulary, label_dtype


class PnpOvssSegmenter(DenseSegmenter):
    """Segments with an image-text matcher that was never trained to segment.

    Heavy: four forward and backward passes and a dense CRF, so it is meant for key frames.
    """

    name = "pnp_ovss"
    cadence: Cadence = "keyframe"

    def __init__(self, config: PnpOvssConfig, *, device: str = "auto", dtype: str = "auto") -> None:
        """Load the models.

        Raises:
            FileNotFoundError: if weights or a file are missing.
            ValueError: if weights and configuration disagree.
        """
        super().__init__(device=device, dtype=dtype)
        self.config = config
        self.matcher = load_matcher(
            config.weights,
            size=config.image_size,
            device=device,
            dtype=dtype,
            tower=config.tower,
            vision_epsilon=config.vision_epsilon,
        )
        check_place(self.matcher, config.saliency)
        self.filter = build_filter(
            config.filter,
            self.matcher,
            opening=config.saliency.opening,
            rows=config.saliency.rows,
            device=device,
            dtype=dtype,
        )

    def label(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Filter the names of every image, read their salience, make masks."""
        kind = label_dtype(vocabulary.ids)
        labels = np.zeros(images.shape[:3], kind)
        confidence = np.zeros(images.shape[:3], np.uint8)
        kept = self.filter.keep(images, vocabulary.names)
        salience = self.salience(images, [[vocabulary.names[k] for k in own] for own in kept])
        for index, (own, maps) in enumerate(zip(kept, salience, strict=True)):
            if own:
                found, sure = label(maps.cpu().numpy(), images[index], self.config.masks)
                labels[index] = np.array([0, *vocabulary.ids[own]], kind)[found]
                confidence[index] = np.rint(255 * sure)
        return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)

    @torch.no_grad()
    def salience(self, images: np.ndarray, names: Sequence[Sequence[str]]) -> list[Tensor]:
        """Return how strongly each patch stands for each name.

        Args:
            images: RGB, (B, H, W, 3) uint8.
            names: For every image its K_i names.

        Returns:
            For every image (K_i, grid, grid) float32, at least 0.
        """
        pixels = self.matcher.prepare(images)
        return salience_maps(
            self.matcher,
            pixels,
            names,
            self.config.saliency,
            as_released=self.config.as_released,
        )
