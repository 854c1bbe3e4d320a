"""The tower that has seen photographs: EfficientNet-Lite0 of ImageNet, frozen, and a trained neck.

The trunk and its classifier stay as ImageNet taught them; the neck learns from the robot cell's
masks what stands in a cell, at stride 8. The models of the cell stand on the neck's patches, and
words for a thousand real things on the trunk's last features. A model that stands on a tower names
it and its digest (:func:`named_tower`), and is refused on another one.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn

from ovseg_ros.models.conv_tower import STRIDE, ConvTower
from ovseg_ros.models.files import load_state, read_object, read_tensors
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.whole_files import write_json

LAST = 1280
"""Width of the trunk's last features."""

COARSEST = 32
"""Stride of the trunk's last features."""

CHANNELS = (24, 40, 112, 320)
"""Widths of the trunk's maps of strides 4, 8, 16 and 32."""

MEANINGS = 192
"""Dimensions in which ImageNet's classes lie apart best, see :attr:`PhotoTower.basis`."""

SURROUNDINGS = (1, 3)
"""Sides of the grids in which the neck averages the whole image."""

FILE = "tower.safetensors"

CELL_FILE = "cell.safetensors"
"""Beside a tower: what its training frames look like as a whole, ``mean`` (192,) and ``precision``
(192, 192) of the trunk's features, and what :class:`LogitAdjustment` takes: ``category_means``
(C, D), ``rarity`` (C,) and ``scale`` ()."""

NOTE = "stands_on.json"
"""Beside weights: the tower they were trained on, by name and digest."""


class Features(NamedTuple):
    """What the tower sees in images.

    Attributes:
        first: Class tokens, (B, D).
        patches: Patch tokens of the neck, (B, H/8, W/8, D).
        last: The trunk's last features, (B, 1280, H/32, W/32), not negative.
    """

    first: Tensor
    patches: Tensor
    last: Tensor


class PhotoTower(ConvTower):
    """A frozen Lite0 and a neck that merges its maps at stride 8.

    Attributes:
        basis: (1280, 192), the first right singular vectors of ImageNet's class weights after
            their mean is taken off: the directions of the last features that tell classes apart.
    """

    basis: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, embed_dim: int = 192, backbone: str = "tf_efficientnet_lite0") -> None:
        """Build with random weights.

        Args:
            embed_dim: Width D of the neck's tokens.
            backbone: The trunk's name in timm: an EfficientNet-Lite.
        """
        super().__init__()
        self.embed_dim = embed_dim
        self.trunk = timm.create_model(backbone, pretrained=False)
        self.neck = Neck(embed_dim)
        self.summary = nn.Linear(LAST, embed_dim)
        self.register_buffer("basis", torch.zeros(LAST, MEANINGS))
        # All models of the cell normalise as CLIP does; Lite0 wants (x / 255 - 0.5) / 0.5.
        mean, std = (torch.tensor(v)[:, None, None] for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        self.register_buffer("scale", 2 * std, persistent=False)
        self.register_buffer("shift", 2 * mean - 1, persistent=False)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Features:
        """Encode images (B, 3, H, W) that are normalised with CLIP's statistics.

        H and W are multiples of 8. Lite0's own normalisation is applied here.
        """
        maps = self.see(images)
        last = self.head(maps[3])
        height, width = (side // STRIDE for side in images.shape[2:])
        patches = self.neck(*maps)[..., :height, :width]
        return Features(self.summary(last.mean((2, 3))), patches.permute(0, 2, 3, 1), last)

    def last(self, images: Tensor) -> Tensor:
        """Return the last features (B, 1280, H/32, W/32) alone, without the neck's work."""
        return self.head(self.see(images)[3])

    def head(self, coarse: Tensor) -> Tensor:
        """Return the last features of the map of stride 32."""
        found: Tensor = self.trunk.bn2(self.trunk.conv_head(coarse))  # type: ignore[operator]
        return found

    def see(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the trunk's maps of strides 4, 8, 16 and 32, of images padded to multiples of 32.

        The borders are repeated to the right and below. On other sizes every stride would round up
        in its own way, and its maps would lie beside each other by some pixels.
        """
        trunk: Any = self.trunk
        height, width = images.shape[2:]
        if height % COARSEST or width % COARSEST:
            images = F.pad(images, (0, -width % COARSEST, 0, -height % COARSEST), mode="replicate")
        pixels = images.contiguous(memory_format=torch.channels_last) * self.scale + self.shift
        found, x = [], trunk.bn1(trunk.conv_stem(pixels))
        for number, block in enumerate(trunk.blocks):
            x = block(x)
            if number in (1, 2, 4, 6):
                found.append(x)
        fine, small, middle, coarse = found
        return fine, small, middle, coarse

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return class tokens (B, D) and patch tokens (B, H/8, W/8, D); see :meth:`features`."""
        first, patches, _ = self.features(images)
        return first, patches

    def classify(self, last: Tensor) -> Tensor:
        """Return ImageNet's logits (B, 1000, h, w) of the last features (B, 1280, h, w)."""
        logits: Tensor = self.trunk.classifier(last.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[operator]
        return logits

    def prototypes(self) -> Tensor:
        """Return ImageNet's class weights in the basis, centred, of unit length, (1000, 192)."""
        weights: Tensor = self.trunk.classifier.weight.float()  # type: ignore[union-attr,assignment]
        return F.normalize((weights - weights.mean(0)) @ self.basis.float(), dim=1)


class Neck(nn.Module):
    """Merges maps of strides 4, 8, 16 and 32 from coarse to fine at stride 8.

    The coarsest map also gets averages over the whole image and over its ninths, as in PSPNet
    (arXiv 1612.01105): alone, a patch of floor looks like a patch of table.
    """

    def __init__(self, width: int) -> None:
        """Build with random weights for tokens of a width."""
        super().__init__()
        finest, *others = CHANNELS
        self.detail = nn.Conv2d(finest, width, 2, stride=2)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in others)
        self.merge = nn.ModuleList(_convolution(width) for _ in others)
        self.refine = nn.ModuleList(_convolution(width) for _ in others)
        surroundings = [nn.Conv2d(width, width, 1, bias=False) for _ in SURROUNDINGS]
        for convolution in surroundings:
            nn.init.zeros_(convolution.weight)  # a neck without them is trained further as it is
        self.surroundings = nn.ModuleList(surroundings)
        self.project = nn.Conv2d(width, width, 1)

    def forward(self, fine: Tensor, small: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """Return patch tokens (B, D, h, w) of stride 8 from the trunk's maps, fine to coarse."""
        merged = None
        for level, features in ((2, coarse), (1, middle), (0, small)):
            here = self.lateral[level](features)
            if level == 0:
                here = here + self.detail(fine)[..., : here.shape[2], : here.shape[3]]
            if merged is not None:
                here = here + F.interpolate(merged, size=here.shape[2:], mode="nearest")
            merged = self.merge[level](here)
            merged = merged + self.refine[level](merged)
            if level == 2:
                merged = merged + self._surroundings(merged)
        patches: Tensor = self.project(merged)
        return patches

    def _surroundings(self, coarse: Tensor) -> Tensor:
        """Return what the surroundings of every place say, like ``coarse`` (B, D, h, w)."""
        found = torch.zeros_like(coarse)
        for side, convolution in zip(SURROUNDINGS, self.surroundings, strict=True):
            around = convolution(F.adaptive_avg_pool2d(coarse, side))
            found = found + F.interpolate(around, size=coarse.shape[2:], mode="bilinear")
        return found


def _convolution(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )


def load_photo_tower(directory: Path) -> PhotoTower:
    """Load a folder of ``ovseg train tower``, frozen and in eval mode, not fused.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files do not belong together.
    """
    config = read_object(directory / "config.json", option="tower")
    tower = PhotoTower(**config["tower"])
    load_state(tower, read_tensors(directory / FILE, option="tower"), directory / FILE)
    return tower.requires_grad_(False).eval()


def is_photo_tower(directory: Path) -> bool:
    """Tell whether a folder holds such a tower."""
    return (directory / FILE).is_file() and (directory / "config.json").is_file()


@lru_cache(maxsize=8)
def tower_digest(directory: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a tower's weights."""
    return hashlib.sha256((directory / FILE).read_bytes()).hexdigest()[:16]


def note_tower(weights: Path, tower: str) -> None:
    """Write beside weights which tower they were trained on; of a pyramid nothing is written.

    Args:
        weights: Folder of the weights.
        tower: The tower's folder, or ``robot_cell/NAME``.
    """
    directory = Path(resolve_weights(tower))
    if is_photo_tower(directory):
        write_json(weights / NOTE, {"tower": tower, "digest": tower_digest(directory)})


def check_tower(weights: Path, tower: str) -> None:
    """Refuse a tower that weights were not trained on, if they say on which they were.

    Args:
        weights: Folder of the weights.
        tower: The tower's folder, or ``robot_cell/NAME``.

    Raises:
        ValueError: if it is another one.
    """
    if (weights / NOTE).is_file():
        noted = read_object(weights / NOTE)
        _require(noted.get("digest"), tower, named=noted.get("tower"))


def named_tower(tower: str, digest: str) -> PhotoTower:
    """Load the tower that another model stands on.

    Args:
        tower: A folder, or ``robot_cell/tower``.
        digest: What :func:`tower_digest` said when that model was trained.

    Raises:
        FileNotFoundError: if there is no such tower.
        ValueError: if the tower there is another one.
    """
    return load_photo_tower(_require(digest, tower, named=tower))


def _require(digest: object, tower: str, *, named: object) -> Path:
    """Return the folder of a tower whose digest must be this one."""
    directory = Path(resolve_weights(tower))
    found = tower_digest(directory) if is_photo_tower(directory) else "none"
    if found != digest:
        raise ValueError(
            f"tower: expected {named} with digest {digest}, which the weights were trained on, "
            f"got {tower} with {found}; train it again on this tower"
        )
    return directory
