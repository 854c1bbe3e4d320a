"""When to discover again: a timer alone, or a picture that has become another one.

A robot that stands still need not read the same picture again and again, and one that turns around
should not wait. The global feature is a thumbnail in colour, which costs well under a millisecond.
"""

from __future__ import annotations

import cv2
import numpy as np

from ovseg_ros.discovery.config import KeyFrameConfig

_GRID_WH = (16, 12)


def global_feature(image: np.ndarray) -> np.ndarray:
    """Return what the whole image looks like, (576,) float32 of unit length.

    Without its mean and of unit length, it bears changes of exposure and gain. Zeros if the image,
    once it is small, has one colour in whole grey levels: noise of a covered lens is no change.

    Args:
        image: RGB, (H, W, 3) uint8.
    """
    small = cv2.resize(image, _GRID_WH, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    feature: np.ndarray = small / max(float(np.linalg.norm(small)), 1e-6)
    return feature


class KeyFrameTrigger:
    """Chooses the frames of one camera that are worth a discovery."""

    def __init__(self, config: KeyFrameConfig) -> None:
        """Choose the first frame that comes."""
        self._config = config
        self._feature: np.ndarray | None = None
        self._taken_s = 0.0
        self._left = 0
        self.drift = 0.0
        """How far the last frame that was looked at is from the last one that was chosen."""

    def choose(self, image: np.ndarray, now_s: float) -> bool:
        """Return whether to discover in this frame, and remember it if so.

        Args:
            image: RGB, (H, W, 3) uint8.
            now_s: Time on a clock that never goes back, in seconds.
        """
        if not self._config.drift:
            return True
        feature = global_feature(image)
        first = self._feature is None
        self.drift = 2.0
        if self._feature is not None:  # 1 - cosine; uniform pictures, which have none, are alike
            self.drift = float(np.square(feature - self._feature).sum()) / 2
        if first or self.drift >= self._config.drift:
            self._left = self._config.repeats
        if not self._left and now_s - self._taken_s < self._config.longest_s:
            return False
        self._left = max(self._left - 1, 0)
        self._feature, self._taken_s = feature, now_s
        return True
