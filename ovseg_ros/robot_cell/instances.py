"""What a frame shows: the visible instances with their attributes, pixels and boxes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.ndimage import find_objects


@dataclass(frozen=True)
class Member:
    """One instance of a scene.

    Attributes:
        id: its value in the instance mask, 1..255.
        category: catalogue name.
        color: colour word, or None for a look that no single word fits.
        material: "wooden" or None; stands in for the colour.
        in_tray: whether it stands in the tray.
    """

    id: int
    category: str
    color: str | None
    material: str | None
    in_tray: bool


@dataclass(frozen=True)
class Instance(Member):
    """One visible instance.

    Attributes:
        pixels: visible area in pixels.
        bbox_xyxy: box around the visible pixels, (x0, y0, x1, y1), x1 and y1 exclusive.
    """

    pixels: int
    bbox_xyxy: tuple[int, int, int, int]

    @property
    def attribute(self) -> str | None:
        """The word a caption puts before the noun: material or colour."""
        return self.material or self.color

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Instance:
        """Read what `to_json` wrote."""
        return cls(**{**entry, "bbox_xyxy": tuple(entry["bbox_xyxy"])})


def visible_instances(members: Iterable[Member], mask: np.ndarray) -> tuple[Instance, ...]:
    """List the members of a world that a mask shows, with pixels and boxes.

    Args:
        members: the world's instances.
        mask: uint8 (H, W), instance ids.
    """
    boxes, areas = find_objects(mask), np.bincount(mask.ravel())
    found = []
    for member in members:
        if member.id <= len(boxes) and (box := boxes[member.id - 1]):
            y, x = box
            xyxy = (x.start, y.start, x.stop, y.stop)
            found.append(Instance(**asdict(member), pixels=int(areas[member.id]), bbox_xyxy=xyxy))
    return tuple(found)
