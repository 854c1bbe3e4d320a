"""The robot cell's tower as a backbone: its maps of strides 4 to 32, under models that want four.

A tower of ``ovseg train tower`` has a name: models say which one they stand on and keep no copy.
One of ``ovseg train pyramid`` is a part of the model, weights and all.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn

from ovseg_ros.models.files import halves, load_state
from ovseg_ros.models.pyramid import PyramidTower
from ovseg_ros.models.tower import CHANNELS, named_tower

if TYPE_CHECKING:
    from typing_extensions import Self


class TowerMaps(nn.Module):
    """A frozen tower that gives its map of stride 4 as well, and its patches for stride 8.

    Attributes:
        named: Whether the tower has a name, so that its weights are not the model's.
        channels: Widths of the maps, fine to coarse.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: dict[str, Any]) -> None:
        """Build a tower.

        Args:
            shape: Arguments of a ``PyramidTower``, whose weights are random then, or ``tower`` and
                ``digest`` of a tower with a name, which is loaded.

        Raises:
            FileNotFoundError: if there is no tower of that name.
            ValueError: if it is another one.
        """
        super().__init__()
        self.named = "digest" in shape
        if self.named:
            self.tower: Any = named_tower(shape["tower"], shape["digest"])
            self.channels: tuple[int, ...] = (CHANNELS[0], self.tower.embed_dim, *CHANNELS[2:])
        else:
            self.tower = _with_finest(shape)
            finest, _, *coarse = self.tower.backbone.feature_info.channels()
            self.channels = (finest, self.tower.embed_dim, *coarse)
        self.tower.requires_grad_(False).eval()
        for name, values in (("mean", OPENAI_CLIP_MEAN), ("std", OPENAI_CLIP_STD)):
            value = 255 * torch.tensor(values, device="cpu")[:, None, None]
            self.register_buffer(name, value, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps of strides 4 to 32, each (B, C, h, w), of images (B, 3, H, W) in 0..255.

        The map of stride 8 is that of the tower's patches. H and W are multiples of 32.
        """
        kind = next(self.tower.parameters()).dtype
        return self.see(((images - self.mean) / self.std).to(kind))

    def see(self, pixels: Tensor) -> list[Tensor]:
        """Return the maps of images (B, 3, H, W) that are normalised with CLIP's statistics."""
        if self.named:
            fine, small, middle, coarse = self.tower.see(pixels)
            return [fine, self.tower.neck(fine, small, middle, coarse), middle, coarse]
        fine, *maps = self.tower.backbone(pixels.contiguous(memory_format=torch.channels_last))
        return [fine, self.tower.merge_maps(*maps), *maps[1:]]

    def train(self, mode: bool = True) -> Self:
        """Stay as it is: a frozen tower keeps its statistics."""
        return self

    def load_tower(self, weights: dict[str, Tensor]) -> None:
        """Take the weights of a trained ``PyramidTower``; a tower with a name has its own."""
        if not self.named:
            self.tower.load_state_dict(weights)


def _with_finest(shape: dict[str, Any]) -> PyramidTower:
    """Return a pyramid whose backbone also gives its map of stride 4, of the same weights."""
    tower = PyramidTower(**shape)
    rest = {key: value for key, value in shape.items() if key not in ("backbone", "embed_dim")}
    tower.backbone = timm.create_model(
        shape.get("backbone", "resnet18"),
        pretrained=False,
        features_only=True,
        out_indices=(1, 2, 3, 4),
        **rest,
    ).to(memory_format=torch.channels_last)
    return tower


def fuse_towers(model: nn.Module) -> None:
    """Fold the batch normalisation of a model's towers; for inference."""
    for part in model.modules():
        if isinstance(part, TowerMaps):
            part.tower.fuse()


def own_state(model: nn.Module) -> dict[str, Tensor]:
    """Return what a checkpoint of a model holds, in float16: all but towers with a name."""
    named = tuple(
        f"{name}." for name, part in model.named_modules()
        if isinstance(part, TowerMaps) and part.named
    )  # fmt: skip
    state = model.state_dict().items()
    return halves({key: t for key, t in state if not (named and key.startswith(named))})


def with_towers(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what :func:`own_state` returned, completed by the model's towers with a name."""
    state = model.state_dict()
    own = own_state(model).keys()
    return {**{key: value for key, value in state.items() if key not in own}, **tensors}


def load_own_state(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load what :func:`own_state` returned; towers with a name stay as they are.

    Raises:
        ValueError: naming the file and the first few keys, if they do not fit.
    """
    load_state(model, with_towers(model, tensors), path)
