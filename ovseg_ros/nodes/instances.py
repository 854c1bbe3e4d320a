"""Single objects of one camera, with ids that stay: ``~/instance_mask`` and ``~/detections``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ovseg_ros.msg import SegmentedInstance
from ovseg_ros.nodes.carried import Masks
from ovseg_ros.nodes.images import labels_to_msg
from ovseg_ros.nodes.vision_msgs_probe import VISION_MSGS
from ovseg_ros.tracking import Tracker, connected_segments
from ovseg_ros.types import MAX_ID, Segment, Vocabulary

if TYPE_CHECKING:
    from ovseg_ros.nodes.vocabulary_publisher import Outlet

Detection2D: Any = None
Detection2DArray: Any = None
ObjectHypothesisWithPose: Any = None
if VISION_MSGS is not None:
    Detection2D, Detection2DArray = VISION_MSGS.Detection2D, VISION_MSGS.Detection2DArray
    ObjectHypothesisWithPose = VISION_MSGS.ObjectHypothesisWithPose


@dataclass(frozen=True, eq=False)
class Instances:
    """The objects of one image.

    Attributes:
        ids: Value in the instance mask of every segment's pixels, (H, W) uint16, 0 for none.
        segments: The objects, largest first; their ids are those values.
        track_ids: Track of each of them.
    """

    ids: np.ndarray
    segments: tuple[Segment, ...]
    track_ids: tuple[int, ...]


class InstancePublisher:
    """Follows the objects of one camera while somebody listens, and publishes them."""

    def __init__(self, outlet: Outlet, prefix: str) -> None:
        """Advertise the topics under ``prefix``."""
        self._outlet = outlet
        self._mask = outlet.publisher(Image, f"{prefix}/instance_mask")
        self._detections = (
            outlet.publisher(Detection2DArray, f"{prefix}/detections") if Detection2DArray else None
        )
        self._tracker = Tracker(outlet.config.track_gap_s)
        self._last: tuple[Masks, Instances] | None = None

    def find(self, masks: Masks, vocabulary: Vocabulary) -> Instances | None:
        """Return the objects in masks, None if nobody listens. Carried masks keep their ids."""
        listeners = self._mask.get_subscription_count()
        if self._detections is not None:
            listeners += self._detections.get_subscription_count()
        if not listeners:
            return None
        if self._last is None or self._last[0] is not masks:
            self._last = (masks, self._follow(masks, vocabulary))
        return self._last[1]

    def publish(self, found: Instances, header: Header) -> None:
        """Publish the objects of an image."""
        if self._mask.get_subscription_count():
            self._mask.publish(labels_to_msg(found.ids, "16UC1", header))
        if self._detections is not None and self._detections.get_subscription_count():
            self._detections.publish(detections_to_msg(found, header))

    def _follow(self, masks: Masks, vocabulary: Vocabulary) -> Instances:
        things = {category.id for category in vocabulary.categories if category.is_thing}
        if masks.segment_ids is not None:
            segment_ids = masks.segment_ids
            segments = tuple(s for s in masks.segments if s.category_id in things)
        else:
            least = max(1, round(self._outlet.config.instance_min_share * masks.labels.size))
            segment_ids, segments = connected_segments(
                masks.labels, masks.confidence, things, min_pixels=least
            )
        return numbered(segment_ids, segments, self._tracker.update(segments, masks.stamp_s))


def numbered(
    segment_ids: np.ndarray, segments: Sequence[Segment], track_ids: Sequence[int]
) -> Instances:
    """Return objects whose values in the mask are their tracks' ids.

    A mask of 16 bits ends at 65535. Above that a track takes the lowest value that no other object
    of this image has; its own id is in the messages.

    Args:
        segment_ids: Segment of every pixel, (H, W) uint16.
        segments: The segments that are objects; pixels of others become 0.
        track_ids: Track of each segment.
    """
    taken = {track for track in track_ids if track <= MAX_ID}
    free = (value for value in range(1, MAX_ID + 1) if value not in taken)
    values = [track if track <= MAX_ID else next(free) for track in track_ids]
    lookup = np.zeros(MAX_ID + 1, np.uint16)
    for segment, value in zip(segments, values, strict=True):
        lookup[segment.id] = value
    order = sorted(range(len(segments)), key=lambda n: -segments[n].area)
    return Instances(
        lookup[segment_ids],
        tuple(replace(segments[n], id=values[n]) for n in order),
        tuple(track_ids[n] for n in order),
    )


def instances_to_msg(found: Instances, vocabulary: Vocabulary) -> list[SegmentedInstance]:
    """Return objects for ``FrameCategories``, largest first."""
    names = {category.id: category.name for category in vocabulary.categories}
    messages = []
    for segment, track in zip(found.segments, found.track_ids, strict=True):
        x, y, width, height = segment.box_xywh
        messages.append(
            SegmentedInstance(
                id=segment.id,
                track_id=track,
                category_id=segment.category_id,
                name=names.get(segment.category_id, ""),
                score=segment.score,
                pixels=segment.area,
                x=x,
                y=y,
                width=width,
                height=height,
            )
        )
    return messages


def detections_to_msg(found: Instances, header: Header) -> Any:
    """Return objects as ``vision_msgs/Detection2DArray``.

    ``class_id`` is the category's id as in ``~/label_info``, ``id`` the track's.
    """
    message = Detection2DArray(header=header)
    for segment, track in zip(found.segments, found.track_ids, strict=True):
        x, y, width, height = segment.box_xywh
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = str(segment.category_id)
        result.hypothesis.score = segment.score
        detection = Detection2D(header=header, results=[result], id=str(track))
        detection.bbox.center.position.x = x + width / 2
        detection.bbox.center.position.y = y + height / 2
        detection.bbox.size_x, detection.bbox.size_y = float(width), float(height)
        message.detections.append(detection)
    return message
