"""The masks-then-captions baseline: crops around segment-anything's masks, captioned by BLIP."""

from __future__ import annotations

import numpy as np
import torch

from ovseg_ros.discovery.captioner import Captioner
from ovseg_ros.discovery.config import SamBlipConfig
from ovseg_ros.discovery.masks import MaskGenerator
from ovseg_ros.language.nouns import NounConfig, support
from ovseg_ros.types import Discovery, check_images


class SamBlip:
    """Captions a crop around every mask and takes the nouns."""

    name = "sam_blip"

    def __init__(
        self,
        generator: MaskGenerator,
        captioner: Captioner,
        nouns: NounConfig,
        config: SamBlipConfig,
    ) -> None:
        """Combine the parts.

        Raises:
            ValueError: if ``config.size`` does not fit the captioner's patches.
        """
        captioner.check_size(config.size)
        self.generator = generator
        self.captioner = captioner
        self.nouns = nouns
        self.config = config
        self.device = str(captioner.device)

    @torch.inference_mode()
    def discover(self, image: np.ndarray, *, seed: int = 0) -> Discovery:
        """Find the names of one image (H, W, 3) uint8 RGB; see ``Discoverer.discover``."""
        image = check_images(np.asarray(image)[None])[0]
        masks = self._largest(self.generator.masks(image))
        captions: list[list[str]] = []
        for start in range(0, len(masks), self.config.batch):
            crops = [self._crop(image, m) for m in masks[start : start + self.config.batch]]
            features = [self.captioner.encode(crop, self.config.size).features for crop in crops]
            captions += self.captioner.caption(features, seed=seed + start)
        found = support(captions, self.nouns)
        clusters, order = paint(masks, image.shape[:2])
        return Discovery(
            proposals=found.proposals,
            captions=tuple(caption for region in captions for caption in region),
            clusters=clusters,
            cluster_names=tuple(found.best[i] if i >= 0 else "" for i in order),
        )

    def _largest(self, masks: list[np.ndarray]) -> list[np.ndarray]:
        """Return the masks that are captioned, the largest first."""
        sized = [(int(mask.sum()), mask) for mask in masks]
        kept = [(n, m) for n, m in sized if n and n >= self.config.min_share * m.size]
        kept.sort(key=lambda entry: -entry[0])
        return [mask for _, mask in kept[: self.config.max_masks]]

    def _crop(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        spans = []
        for found, limit in ((rows, image.shape[0]), (columns, image.shape[1])):
            first, last = int(found[0]), int(found[-1]) + 1
            extra = round(self.config.margin * (last - first))
            spans.append(slice(max(0, first - extra), min(limit, last + extra)))
        return image[spans[0], spans[1]]


def paint(masks: list[np.ndarray], size_hw: tuple[int, int]) -> tuple[np.ndarray, list[int]]:
    """Lay masks over each other, the first at the bottom, as clusters without gaps.

    Returns:
        Cluster of every pixel, (H, W) int64, and for every cluster the index of its mask, -1 for
        the pixels that no mask covers.
    """
    owner = np.full(size_hw, -1, np.int64)
    for index, mask in enumerate(masks):
        owner[mask] = index
    present, clusters = np.unique(owner, return_inverse=True)
    return clusters.reshape(size_hw).astype(np.int64), present.tolist()
