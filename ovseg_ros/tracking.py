"""Objects that are followed from image to image: each keeps its id.

Tracking by detection as in SORT (arXiv 1602.00763): boxes are predicted with constant velocity and
assigned to those of the new image at the least total cost. The cost is that of generalized IoU
(arXiv 1902.09630), which tells near from far where boxes do not overlap, as after lost images.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from ovseg_ros.types import MAX_ID, Segment

_NEAR = -0.4
"""Least generalized IoU of one object's boxes, if the category is the same: about a box apart."""

_SAME_PLACE = 0.5
"""Least IoU that is taken for one object although its category has changed."""

_SMOOTHING = 0.5
"""Share of the newest measurement in a velocity."""


def connected_segments(
    labels: np.ndarray, confidence: np.ndarray, thing_ids: Collection[int], *, min_pixels: int = 1
) -> tuple[np.ndarray, tuple[Segment, ...]]:
    """Return the connected regions of a label mask, for segmenters that tell no objects apart.

    Args:
        labels: Category ids, (H, W) uint8 or uint16.
        confidence: Confidence of the labels, (H, W) uint8.
        thing_ids: Categories that are countable; the others have no segments.
        min_pixels: Smaller regions are left out.

    Returns:
        Segment of every pixel, (H, W) uint16, 0 for none, and the segments by rising id.
    """
    segment_ids = np.zeros(labels.shape, np.uint16)
    segments: list[Segment] = []
    for category_id in sorted(set(thing_ids) & set(np.flatnonzero(np.bincount(labels.ravel())))):
        mask = (labels == category_id).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        inside = (slice(top, top + height), slice(left, left + width))
        count, regions, stats, _ = cv2.connectedComponentsWithStats(mask[inside], connectivity=8)
        sums = np.bincount(regions.ravel(), confidence[inside].ravel(), minlength=count)
        ids = np.zeros(count, np.uint16)  # of the regions; 0 is left out
        for region in range(1, count):
            x, y, w, h, area = (int(value) for value in stats[region])
            if area < min_pixels or len(segments) == MAX_ID:
                continue
            segments.append(
                Segment(
                    id=len(segments) + 1,
                    category_id=int(category_id),
                    score=float(sums[region] / area / 255),
                    area=area,
                    box_xywh=(left + x, top + y, w, h),
                )
            )
            ids[region] = len(segments)
        segment_ids[inside] |= ids[regions]  # categories share no pixel
    return segment_ids, tuple(segments)


@dataclass
class _Track:
    id: int
    category_id: int
    box: np.ndarray  # x0, y0, x1, y1 in pixels
    stamp_s: float
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(4))  # pixels per second

    def predicted(self, stamp_s: float) -> np.ndarray:
        return self.box + self.velocity * (stamp_s - self.stamp_s)

    def take(self, segment: Segment, stamp_s: float) -> None:
        box = _corners(segment)
        elapsed_s = stamp_s - self.stamp_s
        if elapsed_s > 0:
            centre = (box - self.box).reshape(2, 2).mean(0) / elapsed_s
            moved = np.concatenate([centre, centre])  # the size is taken as it is
            self.velocity = (1 - _SMOOTHING) * self.velocity + _SMOOTHING * moved
        self.box, self.stamp_s, self.category_id = box, stamp_s, segment.category_id


class Tracker:
    """Follows the objects of one camera.

    Ids rise from 1 and are never used again, whatever becomes of the object.
    """

    def __init__(self, max_gap_s: float = 1.0) -> None:
        """Begin without objects.

        Args:
            max_gap_s: How long an object that is not seen keeps its id, in seconds.
        """
        if not max_gap_s >= 0:
            raise ValueError(f"max_gap_s: expected at least 0, got {max_gap_s}")
        self._max_gap_s = max_gap_s
        self._tracks: list[_Track] = []
        self._given = 0
        self._stamp_s = -np.inf

    def update(self, segments: Sequence[Segment], stamp_s: float) -> tuple[int, ...]:
        """Return the track id of each segment of the next image.

        Args:
            segments: What the image shows.
            stamp_s: Its time in seconds. A time before the last one begins anew: no object is
                carried over, and ids go on.
        """
        if stamp_s < self._stamp_s:
            self._tracks = []
        self._stamp_s = stamp_s
        self._tracks = [t for t in self._tracks if stamp_s - t.stamp_s <= self._max_gap_s]
        ids = [0] * len(segments)
        old, new = list(self._tracks), list(range(len(segments)))
        for same_category in (True, False):
            for track, index in _assigned(
                old, [(i, segments[i]) for i in new], stamp_s, same_category
            ):
                track.take(segments[index], stamp_s)
                ids[index] = track.id
            taken = set(ids)
            old = [track for track in old if track.id not in taken]
            new = [index for index in new if not ids[index]]
        for index in new:
            self._given += 1
            segment = segments[index]
            self._tracks.append(
                _Track(self._given, segment.category_id, _corners(segment), stamp_s)
            )
            ids[index] = self._given
        return tuple(ids)


def _assigned(
    tracks: list[_Track],
    segments: list[tuple[int, Segment]],
    stamp_s: float,
    same_category: bool,
) -> list[tuple[_Track, int]]:
    """Return which tracks go on in which segments: the assignment of least cost within the gate."""
    from scipy.optimize import linear_sum_assignment  # takes a fifth of a second of a start

    if not tracks or not segments:
        return []
    before = np.array([track.predicted(stamp_s) for track in tracks])
    now = np.array([_corners(segment) for _, segment in segments])
    iou, generalized = box_overlaps(before, now)
    if same_category:
        same = np.array([[t.category_id == s.category_id for _, s in segments] for t in tracks])
        allowed = same & (generalized >= _NEAR)
    else:
        allowed = iou >= _SAME_PLACE
    # More than all other costs together: no pair that is not allowed replaces one that is.
    forbidden = 4.0 * (min(iou.shape) + 1)
    cost = np.where(allowed, 1 - generalized, forbidden)
    rows, columns = linear_sum_assignment(cost)
    pairs = zip(rows, columns, strict=True)
    return [(tracks[r], segments[c][0]) for r, c in pairs if allowed[r, c]]


def box_overlaps(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return IoU, in [0, 1], and generalized IoU, in [-1, 1], of boxes with positive area.

    Args:
        first: Corners (x0, y0, x1, y1), (N, 4).
        second: Corners, (M, 4).

    Returns:
        Two arrays (N, M).
    """
    a, b = first[:, None], second[None]
    shared = np.clip(
        np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None
    )
    around = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    inter, hull = shared.prod(-1), around.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    iou = inter / union
    return iou, iou - (hull - union) / hull


def _corners(segment: Segment) -> np.ndarray:
    x, y, width, height = segment.box_xywh
    return np.array([x, y, x + width, y + height], float)
