"""PnP-OVSS: filter names, read salience, make masks (seed 001, arXiv 2311.17095)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.base import Traits
from ovseg_ros.segmenters.pnp_ovss.filters import FilterConfig, build_filter
from ovseg_ros.segmenters.pnp_ovss.masks import MaskConfig, label
from ovseg_ros.segmenters.pnp_ovss.matchers import load_matcher
from ovseg_ros.segmenters.pnp_ovss.saliency import SaliencyConfig, check_place, salience_maps
from ovseg_ros.types import MAX_MONO8_ID, Segmentation, Vocabulary, check_images


@dataclass(frozen=True, kw_only=True)
class PnpOvssConfig(Config):
    """Options of the PnP-OVSS segmenter; the defaults are the paper's for BLIP."""

    weights: str = option(
        "Salesforce/blip-itm-large-flickr",
        "BLIP matcher or BridgeTower: folder, robot_cell/NAME or public name",
    )
    tower: str = option(
        "",
        "folder or robot_cell/NAME of a SimZSS whose pyramid a small BLIP looks through; empty: "
        "the model sees the pixels",
    )
    image_size: int = option(336, "side of the square the model sees, in pixels", low=16, high=4096)
    filter: FilterConfig = FilterConfig()
    saliency: SaliencyConfig = SaliencyConfig()
    masks: MaskConfig = MaskConfig()


class PnpOvssSegmenter:
    """Segments with an image-text matcher that was never trained to segment.

    Heavy: four forward and backward passes and a dense CRF, so it is meant for key frames.
    """

    traits = Traits(needs="names", cost="heavy", cadence="keyframe")
    name = "pnp_ovss"

    def __init__(self, config: PnpOvssConfig, *, device: str = "auto", dtype: str = "auto") -> None:
        """Load the models.

        Raises:
            FileNotFoundError: if weights or a file are missing.
            ValueError: if weights and configuration disagree.
        """
        self.config = config
        self.matcher = load_matcher(
            config.weights,
            size=config.image_size,
            device=device,
            dtype=dtype,
            tower=config.tower,
        )
        check_place(self.matcher, config.saliency)
        self.device = str(self.matcher.device)
        self.filter = build_filter(
            config.filter,
            self.matcher,
            opening=config.saliency.opening,
            rows=config.saliency.rows,
            device=device,
            dtype=dtype,
        )

    def segment(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Segment a batch (B, H, W, 3) uint8 RGB; see :class:`segmenters.base.Segmenter`."""
        check_images(images)
        kind = np.uint8 if vocabulary.ids.max(initial=0) <= MAX_MONO8_ID else np.uint16
        labels = np.zeros(images.shape[:3], kind)
        confidence = np.zeros(images.shape[:3], np.uint8)
        if len(vocabulary):
            kept = self.filter.keep(images, vocabulary.names)
            salience = self.salience(images, [[vocabulary.names[k] for k in own] for own in kept])
            for index, (own, maps) in enumerate(zip(kept, salience, strict=True)):
                if not own:
                    continue
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
        return salience_maps(self.matcher, pixels, names, self.config.saliency)
