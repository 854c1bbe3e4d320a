"""BBoost: the words of an image, from BLIP alone (AutoSeg, arXiv 2312.04539, section 3.2)."""

from __future__ import annotations

import logging

import numpy as np
import torch

from ovseg_ros.discovery import clustering, released
from ovseg_ros.discovery.captioner import Captioner, Encoding
from ovseg_ros.discovery.config import BBoostConfig
from ovseg_ros.discovery.released import DriftingPositions
from ovseg_ros.language.nouns import NounConfig, support
from ovseg_ros.models.crf import refine_labels, smooth
from ovseg_ros.models.mean_field import smooth as smooth_torch
from ovseg_ros.types import Discovery

logger = logging.getLogger(__name__)


class BBoost:
    """Clusters BLIP's patches, captions every cluster, and reads the names off the captions."""

    name = "bboost"

    def __init__(self, captioner: Captioner, nouns: NounConfig, config: BBoostConfig) -> None:
        """Combine the parts.

        Raises:
            ValueError: if a size does not fit the captioner's patches or has fewer than ``k_max``.
        """
        self.captioner = captioner
        self.nouns = nouns
        self.config = config
        self.device = str(captioner.device)
        self._drifting: DriftingPositions | None = None
        if config.as_released:
            table = captioner.model.vision_model.embeddings.position_embedding.detach()
            self._drifting = DriftingPositions(table, max(config.sizes) // captioner.patch_size)
        for name, sizes in (("sizes", config.sizes), ("caption_size", (config.caption_size,))):
            for size in sizes:
                sides, rest = divmod(size, captioner.patch_size)
                if rest or (name == "sizes" and sides**2 < config.k_max):
                    raise ValueError(
                        f"{name}: expected multiples of {captioner.patch_size} pixels with at "
                        f"least k_max = {config.k_max} patches, got {size}"
                    )

    @torch.inference_mode()
    def discover(self, image: np.ndarray, *, seed: int = 0) -> Discovery:
        """Find the names of one image (H, W, 3) uint8 RGB; see ``Discoverer.discover``."""

        def encode(image: np.ndarray, size: int) -> Encoding:
            return self.captioner.encode(image, size, released=self._drifting)

        encodings = {size: encode(image, size) for size in self.config.sizes}
        clusters = self.cluster(list(encodings.values()), seed=seed)
        whole = encodings.get(self.config.caption_size) or encode(image, self.config.caption_size)
        captions = self.captioner.caption(self.memories(whole, clusters), seed=seed)
        found = support(captions, self.nouns)
        names = found.best
        if not found.proposals:  # nothing nameable in any part: ask about the whole
            captions += self.captioner.caption([whole.features], seed=seed)
            found = support(captions[-1:], self.nouns)
        if not found.proposals:
            logger.warning("no caption named anything: the vocabulary of this image is empty")
        return Discovery(
            proposals=found.proposals,
            captions=tuple(caption for region in captions for caption in region),
            clusters=refine_labels(clusters, image) if self.config.refine_clusters else clusters,
            cluster_names=names,
        )

    def cluster(self, encodings: list[Encoding], *, seed: int = 0) -> np.ndarray:
        """Cluster an image's patches: many k-means runs, their consensus, denoised.

        Args:
            encodings: The image at each size.
            seed: Seed of the k-means starts.

        Returns:
            Cluster of every patch of the finest grid, (h, w) int64, labels 0..n-1 without gaps.
        """
        config = self.config
        generator = torch.Generator().manual_seed(seed)
        finest = max(encoding.grid for encoding in encodings)
        resize = released.resize_labels if config.as_released else clustering.resize_labels
        align = released.align if config.as_released else clustering.align
        ks = range(config.k_min, config.k_max + 1)
        runs = []
        for encoding in encodings:
            points = self._points(encoding)
            starts = None
            if config.as_released:
                starts = released.kmeans_starts(len(points), ks, config.inits)
            labels = clustering.kmeans(
                points,
                ks,
                inits=config.inits,
                iterations=config.iterations,
                tolerance=config.tolerance,
                generator=generator,
                starts=starts,
            ).labels  # (K, h * w)
            runs.append(resize(labels.view(-1, *encoding.grid), finest))
        aligned = align(torch.cat(runs).flatten(1).cpu().numpy())
        probabilities = clustering.vote(aligned).reshape(-1, *finest)  # (C, h, w)
        winners = self._denoise(probabilities).argmax(axis=0)
        winners = clustering.majority_filter(winners, rounds=config.majority_rounds)
        return clustering.drop_empty(winners)

    def memories(self, whole: Encoding, clusters: np.ndarray) -> list[torch.Tensor]:
        """Return what the text decoder sees of every cluster, each (n, D).

        Args:
            whole: The image at the captioning size.
            clusters: Cluster of every patch, (h, w) int64, on any grid.
        """
        mode = self.config.caption_mode
        labels = clustering.resize_labels(torch.from_numpy(clusters), whole.grid).flatten()
        parts = [
            torch.nonzero(labels == label).flatten().to(whole.features.device)
            for label in range(int(clusters.max()) + 1)
        ]
        cls = whole.features[:1]
        if mode == "cls":
            return [cls for _ in parts]
        seen = [self._patches(whole)[part] if len(part) else cls for part in parts]
        if mode == "global":
            return seen
        alone = self.captioner.encode_parts(whole, parts, own_positions=not self.config.as_released)
        if mode == "local":
            return alone
        return [torch.cat(both) for both in zip(alone, seen, strict=True)]

    def _points(self, encoding: Encoding) -> torch.Tensor:
        """Return patches with their positional code, (h * w, D + positional dims) float32."""
        config, patches = self.config, self._patches(encoding).float()
        code = clustering.positional_code(encoding.grid, config.positional_dims)
        return torch.cat((patches, config.positional_weight * code.to(patches.device)), dim=1)

    def _patches(self, encoding: Encoding) -> torch.Tensor:
        """Return the features of the grid's cells, (h * w, D).

        The release drops the last token instead of CLS: every feature stands one cell too far.
        """
        return encoding.features[:-1] if self.config.as_released else encoding.patches

    def _denoise(self, probabilities: np.ndarray) -> np.ndarray:
        config = self.config
        if config.crf == "none":
            return probabilities
        backend = smooth if config.crf == "pydensecrf" else smooth_torch
        if config.as_released:
            backend = released.smooth
        return backend(
            probabilities,
            weight=config.crf_weight,
            theta=config.crf_theta,
            iterations=config.crf_iterations,
        )
