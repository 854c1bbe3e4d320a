"""The topics of one camera's label masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensor_msgs.msg import Image

from ovseg_ros.drawing import overlay
from ovseg_ros.layouts import camera_names
from ovseg_ros.msg import FrameCategories
from ovseg_ros.nodes.carried import Masks, sampled
from ovseg_ros.nodes.conversions import frame_categories_to_msg
from ovseg_ros.nodes.images import image_to_msg, labels_to_msg
from ovseg_ros.nodes.instances import InstancePublisher, instances_to_msg
from ovseg_ros.types import Vocabulary

if TYPE_CHECKING:
    from ovseg_ros.nodes.image_node import Picture
    from ovseg_ros.nodes.vocabulary_publisher import Outlet


class MaskPublisher:
    """Publishes the masks and what belongs to them, of one camera."""

    def __init__(self, outlet: Outlet, prefix: str) -> None:
        """Advertise the topics under ``prefix``, e.g. ``~`` or ``~/front``."""
        self._outlet = outlet
        self._mask = outlet.publisher(Image, f"{prefix}/label_mask")
        self._confidence = outlet.publisher(Image, f"{prefix}/confidence")
        self._categories = outlet.publisher(FrameCategories, f"{prefix}/categories")
        self._overlay = outlet.publisher(Image, f"{prefix}/overlay")
        self._groups = outlet.publisher(Image, f"{prefix}/groups/label_mask")
        self._instances = InstancePublisher(outlet, prefix)

    @classmethod
    def of(cls, outlet: Outlet) -> list[MaskPublisher]:
        """Return one publisher for each camera: ``~/...`` for one, ``~/CAMERA/...`` for several."""
        topics = outlet.config.image_topics
        if len(topics) == 1:
            return [cls(outlet, "~")]
        return [cls(outlet, f"~/{name}") for name in camera_names(topics)]

    def publish(
        self, picture: Picture, masks: Masks, vocabulary: Vocabulary, *, age_ns: int = 0
    ) -> None:
        """Publish a picture's masks, made from an image that is ``age_ns`` older.

        Of the rest, what nobody listens to is not made. The mask leaves after what belongs to it,
        and before the overlay.
        """
        header, encoding = picture.header, self._outlet.config.mask_encoding
        labels, confidence = masks.labels, masks.confidence
        found = self._instances.find(masks, vocabulary)
        if self._categories.get_subscription_count():
            message = frame_categories_to_msg(labels, confidence, vocabulary, header, age_ns=age_ns)
            message.instances = instances_to_msg(found, vocabulary) if found else []
            self._categories.publish(message)
        if found is not None:
            self._instances.publish(found, header)
        if self._confidence.get_subscription_count():
            self._confidence.publish(image_to_msg(confidence, "mono8", header))
        if self._groups.get_subscription_count():
            groups = self._outlet.groups.lookup(vocabulary)[labels]
            self._groups.publish(labels_to_msg(groups, "mono8", header))
        self._mask.publish(labels_to_msg(labels, encoding, header))
        if self._overlay.get_subscription_count():
            labels = sampled(labels, picture.image.shape[:2])
            drawn = overlay(picture.image, labels, self._outlet.config.overlay_alpha)
            self._overlay.publish(image_to_msg(drawn, "rgb8", header))
