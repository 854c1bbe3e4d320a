"""Masks of key frames, carried unchanged to the frames between them.

Segmenters that are too slow for every frame label key frames only. In between a camera's last masks
are given out again: right where the scene is still, late where it moves.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np

from ovseg_ros.types import Segment, Segmentation, box_xywh


@dataclass(frozen=True, eq=False)
class Masks:
    """What was found in a key frame.

    Attributes:
        stamp_s: Time of its image in seconds.
        version: Version of the vocabulary it was segmented with.
        labels: Category ids, (H, W) uint8 or uint16.
        confidence: Confidence, (H, W) uint8.
        segment_ids: Segment of every pixel, (H, W) uint16, or None.
        segments: The segments; empty without ids.
    """

    stamp_s: float
    version: int
    labels: np.ndarray
    confidence: np.ndarray
    segment_ids: np.ndarray | None = None
    segments: tuple[Segment, ...] = ()

    @classmethod
    def of(cls, found: Segmentation, index: int, stamp_s: float) -> Masks:
        """Return what was found in one image of a batch."""
        ids = found.segment_ids
        return cls(
            stamp_s,
            found.vocabulary.version,
            found.labels[index],
            found.confidence[index],
            None if ids is None else ids[index],
            () if ids is None else found.segments[index],
        )

    def resized(self, size_hw: tuple[int, int]) -> Masks:
        """Return the masks at another size, each pixel one of these: nothing is mixed."""
        if self.labels.shape == tuple(size_hw):
            return self
        ids = None if self.segment_ids is None else sampled(self.segment_ids, size_hw)
        return replace(
            self,
            labels=sampled(self.labels, size_hw),
            confidence=sampled(self.confidence, size_hw),
            segment_ids=ids,
            segments=() if ids is None else _measured(self.segments, ids),
        )


class KeyFrames:
    """Remembers the last key frame of every camera.

    Attributes:
        carried: How many times masks were given out again.
    """

    def __init__(self, period_s: float) -> None:
        """Begin without key frames.

        Args:
            period_s: How long masks are carried, in seconds of the images' clock.
        """
        self._period_s = period_s
        self._last: dict[Hashable, tuple[Masks, float]] = {}
        self.carried = 0

    def keep(self, camera: Hashable, masks: Masks, *, now_s: float) -> None:
        """Take what was found in a new key frame; ``now_s`` is a clock that always advances."""
        self._last[camera] = masks, now_s

    def carry(
        self,
        camera: Hashable,
        *,
        stamp_s: float,
        now_s: float,
        version: int,
        size_hw: tuple[int, int],
    ) -> Masks | None:
        """Return the masks for a frame, or None if it must become a key frame.

        That is when there is none yet, the last one is older than the period or from the future
        (the clock was turned back), the vocabulary has changed, or the images have another size.
        The period is also counted in ``now_s``: stamps of some cameras stand still.

        Args:
            camera: Which camera.
            stamp_s: Time of the frame in seconds.
            now_s: The clock of :meth:`keep`.
            version: Version of the vocabulary in force.
            size_hw: Size (H, W) of the frame.
        """
        last, kept_s = self._last.get(camera, (None, now_s))
        if (
            last is None
            or now_s - kept_s >= self._period_s
            or not 0 <= stamp_s - last.stamp_s < self._period_s
            or last.version != version
            or last.labels.shape != tuple(size_hw)
        ):
            return None
        self.carried += 1
        return last


def _measured(segments: tuple[Segment, ...], ids: np.ndarray) -> tuple[Segment, ...]:
    """Return segments with their areas and boxes in other ids; those that vanished are left out."""
    from scipy.ndimage import find_objects  # takes a fifth of a second of a start

    boxes, areas = find_objects(ids), np.bincount(ids.ravel())
    measured = []
    for segment in segments:
        box = boxes[segment.id - 1] if segment.id <= len(boxes) else None
        if box is not None:
            area = int(areas[segment.id])
            measured.append(replace(segment, area=area, box_xywh=box_xywh(box)))
    return tuple(measured)


def sampled(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Return an image at another size, each pixel one of the image's: nothing is mixed."""
    if image.shape == size_hw:
        return image
    rows, columns = (
        ((np.arange(n) + 0.5) * old / n).astype(np.intp)
        for n, old in zip(size_hw, image.shape, strict=True)
    )
    return image[rows].take(columns, axis=1)  # in two steps: several times as fast as in one
