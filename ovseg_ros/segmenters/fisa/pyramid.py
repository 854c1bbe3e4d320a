"""The robot cell's pyramid under both halves of a small FISA: it runs once for an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn

from ovseg_ros.models.files import load_state
from ovseg_ros.segmenters.xdecoder.pyramid_backbone import PyramidBackbone

LEVEL = 1
"""Of the maps: the one of the pyramid's patches, stride 8."""


class PyramidMaps(nn.Module):
    """A frozen pyramid that remembers the maps of the last image.

    The generator and the classifier ask for the same image one after the other; :func:`share` lets
    both ask the same pyramid.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: dict[str, Any]) -> None:
        """Build a tower.

        Args:
            shape: Arguments of a ``PyramidTower``, whose weights are random then, or ``tower`` and
                ``digest`` of a tower with a name, which is loaded.
        """
        super().__init__()
        self.named = "digest" in shape
        if self.named:
            from ovseg_ros.models.tower import CHANNELS, named_tower

            self.tower: Any = named_tower(shape["tower"], shape["digest"])
            self.channels: tuple[int, ...] = (CHANNELS[0], self.tower.embed_dim, *CHANNELS[2:])
        else:
            backbone = PyramidBackbone(shape)
            self.tower, self.channels = backbone.tower, backbone.channels
        self.tower.requires_grad_(False).eval()
        for name, values in (("mean", OPENAI_CLIP_MEAN), ("std", OPENAI_CLIP_STD)):
            value = 255 * torch.tensor(values)[:, None, None]
            self.register_buffer(name, value, persistent=False)
        self._last: tuple[Tensor, list[Tensor]] | None = None

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps of strides 4 to 32, each (B, C, h, w), of images (B, 3, H, W) in 0..255.

        The map of stride 8 is that of the tower's patches. H and W are multiples of 32.
        """
        last = self._last
        if last is not None and last[0] is images:
            return last[1]
        kind = next(self.tower.parameters()).dtype
        found = self._see(((images - self.mean) / self.std).to(kind))
        self._last = None if torch.is_grad_enabled() else (images, found)
        return found

    def _see(self, images: Tensor) -> list[Tensor]:
        if self.named:
            fine, small, middle, coarse = self.tower.see(images)
            patches = self.tower.neck(fine, small, middle, coarse)
            return [fine, patches, middle, coarse]
        fine, *maps = self.tower.backbone(images.contiguous(memory_format=torch.channels_last))
        return [fine, self.tower.merge_maps(*maps), *maps[1:]]

    def train(self, mode: bool = True) -> PyramidMaps:
        """Stay as it is: a frozen pyramid keeps its statistics."""
        return self

    def forget(self) -> None:
        """Let the last image go."""
        self._last = None

    def load_tower(self, weights: dict[str, Tensor]) -> None:
        """Take the weights of a trained ``PyramidTower``; a tower with a name has its own."""
        if not self.named:
            self.tower.load_state_dict(weights)


class PyramidPatches(nn.Module):
    """Stands for CLIP's first convolution: patches of the pyramid's map instead of pixels."""

    def __init__(self, shape: dict[str, Any], width: int, side: int) -> None:
        """Build with random weights.

        Args:
            shape: Arguments of a ``PyramidTower``.
            width: Width of CLIP's tokens.
            side: Side of a patch in places of the map, each of 8 pixels.
        """
        super().__init__()
        self.pyramid = PyramidMaps(shape)
        self.side = side
        self.project = nn.Conv2d(self.pyramid.channels[LEVEL], width, side, stride=side)

    def forward(self, images: Tensor) -> Tensor:
        """Return patches (B, C, h, w) of images (B, 3, H, W) in 0..255."""
        return self.read(self.pyramid(images)[LEVEL])

    def read(self, maps: Tensor) -> Tensor:
        """Return patches (B, C, h, w) of the pyramid's maps (B, D, H / 8, W / 8)."""
        patches: Tensor = self.project(maps)
        return patches


def share(first: nn.Module, second: nn.Module) -> bool:
    """Let two models ask one pyramid, if both have the same; return whether they do."""
    places = [
        (part, name, child)
        for model in (first, second)
        for part in model.modules()
        for name, child in part.named_children()
        if isinstance(child, PyramidMaps)
    ]
    if len(places) != 2:
        return False
    (_, _, one), (owner, name, other) = places
    mine, theirs = one.state_dict(), other.state_dict()
    if mine.keys() != theirs.keys() or any(not mine[k].equal(theirs[k]) for k in mine):
        return False
    setattr(owner, name, one)
    return True


def fuse(model: nn.Module) -> None:
    """Fold the batch normalisation of a model's pyramids; for inference."""
    for part in model.modules():
        if isinstance(part, PyramidMaps):
            part.tower.fuse()


def own_state(model: nn.Module) -> dict[str, Tensor]:
    """Return what a checkpoint of a model holds, in float16: all but towers with a name."""
    named = tuple(
        f"{name}." for name, part in model.named_modules()
        if isinstance(part, PyramidMaps) and part.named
    )  # fmt: skip
    return {
        key: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in model.state_dict().items()
        if not (named and key.startswith(named))
    }


def load_own_state(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load what :func:`own_state` returned; towers with a name stay as they are.

    Raises:
        ValueError: naming the file and the first few keys, if they do not fit.
    """
    given = model.state_dict()
    load_state(
        model, {**{k: given[k] for k in given.keys() - own_state(model).keys()}, **tensors}, path
    )
