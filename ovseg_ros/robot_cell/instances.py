"""What a frame shows: the visible instances with their attributes, pixels and boxes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ovseg_ros.robot_cell.world import Member


@dataclass(frozen=True)
class Instance:
    """One visible instance.

    Attributes:
        id: its value in the instance mask, 1..255.
        category: catalogue name.
        color: colour word, or None for a look that no single word fits.
        material: "wooden" or None; stands in for the colour.
        in_tray: whether it stands in the tray.
        pixels: visible area in pixels.
        bbox_xyxy: box around the visible pixels, (x0, y0, x1, y1), x1 and y1 exclusive.
    """

    id: int
    category: str
    color: str | None
    material: str | None
    in_tray: bool
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
    found = []
    for member in members:
        where = mask == member.id
        columns, rows = np.flatnonzero(where.any(axis=0)), np.flatnonzero(where.any(axis=1))
        if len(columns) == 0:
            continue
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        found.append(
            Instance(
                member.id,
                member.category,
                member.color,
                member.material,
                member.in_tray,
                int(where.sum()),
                box,
            )
        )
    return tuple(found)
