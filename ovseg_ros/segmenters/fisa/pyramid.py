"""The robot cell's tower under both halves of a small FISA: it runs once for an image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ovseg_ros.models.maps import TowerMaps

LEVEL = 1
"""Of the maps: the one of the tower's patches, stride 8."""


class PyramidMaps(TowerMaps):
    """A frozen tower that remembers the maps of the last image.

    The generator and the classifier ask for the same image one after the other; :func:`share` lets
    both ask the same tower.
    """

    def __init__(self, shape: dict[str, Any]) -> None:
        """Build a tower, see :class:`~ovseg_ros.models.maps.TowerMaps`."""
        super().__init__(shape)
        self._last: tuple[Tensor, list[Tensor]] | None = None

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps of strides 4 to 32, each (B, C, h, w), of images (B, 3, H, W) in 0..255."""
        last = self._last
        if last is not None and last[0] is images:
            return last[1]
        found = super().forward(images)
        self._last = None if torch.is_grad_enabled() else (images, found)
        return found

    def forget(self) -> None:
        """Let the last image go."""
        self._last = None


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
