"""The tower's own tags: names from ImageNet's classifier for the parts of a photograph.

BBoost's idea with a classifier as the decoder: the last features of the tower are clustered, each
cluster's mean is compared with what lies where among the thousand classes, and named at the level
at which people name things ("dog"), with the finer name as a synonym. Costs one pass of the tower.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor
from torchvision.transforms.functional import normalize

from ovseg_ros.discovery.clustering import spherical_kmeans
from ovseg_ros.discovery.config import TagsConfig
from ovseg_ros.language import things
from ovseg_ros.models.device import resolve_device
from ovseg_ros.models.files import read_tensors
from ovseg_ros.models.tower import CELL_FILE, PhotoTower, load_photo_tower
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.types import Discovery, Proposal

_STRIDE = 32


class Tags:
    """Names the clusters of the tower's last features, and the image as a whole."""

    name = "tags"

    def __init__(self, tower: PhotoTower, config: TagsConfig, cell: dict[str, Tensor]) -> None:
        """Combine the parts.

        Args:
            tower: In eval mode.
            config: Options.
            cell: ``mean`` (192,) and ``precision`` (192, 192) of the frames of the robot cell.
        """
        self.config = config
        self._tower = tower
        self._prototypes = tower.prototypes()  # (1000, 192)
        self._mean, self._precision = (
            cell[key].float().to(self._prototypes.device) for key in ("mean", "precision")
        )
        self.device = str(self._prototypes.device)

    def discover(self, image: np.ndarray, *, seed: int = 0) -> Discovery:
        """Find the names of one image (H, W, 3) uint8 RGB; see ``Discoverer.discover``."""
        return self.name_parts(self.look(image), seed=seed)

    @torch.inference_mode()
    def look(self, image: np.ndarray) -> Tensor:
        """Return the last features of an image (H, W, 3) uint8 RGB in the basis, (h, w, 192)."""
        height, width = image.shape[:2]
        scale = self.config.size / min(height, width)
        size = [max(1, round(min(side * scale, 4 * self.config.size) / _STRIDE)) * _STRIDE
                for side in (height, width)]  # fmt: skip
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).to(self.device)
        pixels = pixels.permute(2, 0, 1)[None].float()
        pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True) / 255
        pixels = normalize(pixels, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
        weight = self._tower.trunk.classifier.weight  # type: ignore[union-attr]
        last = self._tower.last(pixels.to(weight.dtype))  # type: ignore[union-attr,arg-type]
        return last[0].float().permute(1, 2, 0) @ self._tower.basis.float()

    def strangeness(self, looks: Tensor) -> float:
        """Return how far an image is from the frames of the robot cell (Mahalanobis distance).

        Args:
            looks: What :meth:`look` returned.
        """
        apart = F.normalize(looks.mean((0, 1)), dim=0) - self._mean
        return float((apart @ self._precision @ apart).clamp_min(0).sqrt())

    @torch.inference_mode()
    def name_parts(self, looks: Tensor, *, seed: int = 0) -> Discovery:
        """Name the parts of an image, and the whole.

        Args:
            looks: What :meth:`look` returned, (h, w, 192).
            seed: Seed of the clustering.
        """
        grid, cells = looks.shape[:2], looks.flatten(0, 1)
        found: dict[str, float] = {}
        finer: dict[str, dict[str, float]] = {}
        clusters, names = torch.zeros(len(cells), dtype=torch.int64), [""]
        for k in (1, *self.config.clusters):
            if k > len(cells):
                continue
            labels = spherical_kmeans(cells, k, seed=seed)
            means = torch.stack([cells[labels == j].mean(0) for j in range(int(labels.max()) + 1)])
            scores, best = (F.normalize(means, dim=1) @ self._prototypes.T).max(1)
            called = []
            for score, number in zip(scores.tolist(), best.tolist(), strict=True):
                name = self._call(number)
                called.append(name if score >= self.config.min_similarity else "")
                if called[-1]:
                    found[name] = max(score, found.get(name, 0.0))
                    fine = things.class_names()[number]
                    sure = finer.setdefault(name, {})
                    sure[fine] = max(score, sure.get(fine, 0.0))
            clusters, names = labels, called
        proposals = tuple(
            Proposal(
                name=name, score=round(min(1.0, score), 4), synonyms=_others(name, finer[name])
            )
            for name, score in sorted(found.items(), key=lambda item: (-item[1], item[0]))
        )
        return Discovery(
            proposals=proposals[: self.config.most],
            clusters=clusters.reshape(grid).cpu().numpy(),
            cluster_names=tuple(names),
        )

    def _call(self, number: int) -> str:
        if self.config.level == "basic":
            return things.basic_name(number)
        return things.class_names()[number]


def _others(name: str, finer: dict[str, float]) -> tuple[str, ...]:
    """Return the finer names, the surest first, without the name itself."""
    ranked = sorted(finer, key=lambda fine: (-finer[fine], fine))
    return tuple(fine for fine in ranked if fine != name)


def load_tags(config: TagsConfig, *, device: str) -> Tags:
    """Load the tower.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if its files are damaged.
    """
    directory = Path(resolve_weights(config.tower))
    tower = load_photo_tower(directory).fuse().to(resolve_device(device))
    return Tags(tower, config, read_tensors(directory / CELL_FILE, option="tower"))
