"""Captions for what the small captioner knows, the tower's tags for everything else.

The captioner has read the robot cell and nothing more: of a photograph it says "a robot arm" with
confidence. Whether an image looks like the cell at all is told by the tower's last features, which
were there before the cell was: frames of the cell lie close together among all photographs.
"""

from __future__ import annotations

import numpy as np

from ovseg_ros.discovery.base import Discoverer
from ovseg_ros.discovery.tags import Tags
from ovseg_ros.types import Discovery


class Familiar:
    """Asks one discoverer about familiar images, and the tags about all others."""

    name = "familiar"

    def __init__(self, known: Discoverer, tags: Tags, limit: float) -> None:
        """Combine the parts.

        Args:
            known: Names what the robot cell shows.
            tags: Name what photographs show.
            limit: Up to this strangeness an image is the cell's, see ``Tags.strangeness``.
        """
        self.known = known
        self.tags = tags
        self.limit = limit
        self.device = known.device

    def discover(self, image: np.ndarray, *, seed: int = 0) -> Discovery:
        """Find the names of one image (H, W, 3) uint8 RGB; see ``Discoverer.discover``."""
        looks = self.tags.look(image)
        if self.tags.strangeness(looks) <= self.limit:
            return self.known.discover(image, seed=seed)
        return self.tags.name_parts(looks, seed=seed)
