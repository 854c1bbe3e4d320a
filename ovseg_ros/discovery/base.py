"""What every discoverer promises."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ovseg_ros.types import Discovery


class Discoverer(Protocol):
    """Finds names for what an image shows."""

    name: str
    device: str

    def discover(self, image: np.ndarray, *, seed: int = 0) -> Discovery:
        """Discover the names of one image.

        Args:
            image: RGB, (H, W, 3) uint8.
            seed: Same image and seed give the same names.

        Returns:
            The proposals, best first; none is a valid answer.

        Raises:
            ValueError: if ``image`` is not such an image.
        """
        ...
