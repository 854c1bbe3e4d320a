"""What messages cost: from a camera's to pixels, and from label masks to the wire."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import cv2
import numpy as np
import rclpy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ovseg_ros.bench.timing import Timing, measure
from ovseg_ros.codecs.pictures import encode
from ovseg_ros.msg import FrameCategories
from ovseg_ros.nodes.base import OUTPUT_QOS
from ovseg_ros.nodes.conversions import frame_categories_to_msg
from ovseg_ros.nodes.executor import own_context
from ovseg_ros.nodes.images import image_from_msg, image_to_msg, jpeg_to_msg, labels_to_msg
from ovseg_ros.nodes.session import ros_domain
from ovseg_ros.types import Segmentation


def time_decoding(image: np.ndarray, *, runs: int, warmup: int) -> list[Timing]:
    """Time the decoding of camera messages of an image (H, W, 3) uint8 RGB."""
    header = Header()
    messages = {
        "rgb8": image_to_msg(image, "rgb8", header),
        "bgr8": image_to_msg(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), "bgr8", header),
        "jpeg": jpeg_to_msg(encode(image), header),
    }
    return [
        measure(
            f"decode, {name}", "cpu", partial(image_from_msg, message), runs=runs, warmup=warmup
        )
        for name, message in messages.items()
    ]


def time_publishing(found: Segmentation, *, runs: int, warmup: int) -> list[Timing]:
    """Time building and publishing the messages of one frame, to one subscriber over DDS."""
    labels, confidence, words = found.labels[0], found.confidence[0], found.vocabulary
    header = Header(frame_id="camera")
    encoding = "mono8" if labels.itemsize == 1 else "16UC1"

    def build() -> tuple[Any, ...]:
        return (
            frame_categories_to_msg(labels, confidence, words, header),
            image_to_msg(confidence, "mono8", header),
            labels_to_msg(labels, encoding, header),
        )

    messages = build()
    with _publishers() as publishers:

        def publish() -> None:
            for publisher, message in zip(publishers, messages, strict=True):
                publisher.publish(message)

        return [
            measure("message build", "cpu", build, runs=runs, warmup=warmup),
            measure("publish", "cpu", publish, runs=runs, warmup=warmup),
        ]


@contextmanager
def _publishers() -> Iterator[list[Any]]:
    """Give publishers of a frame's messages that have a subscriber each."""
    kinds = {"categories": FrameCategories, "confidence": Image, "label_mask": Image}
    with ros_domain() as (domain, _), own_context(domain) as context:
        node = rclpy.create_node("bench", context=context)
        listener = rclpy.create_node("listener", context=context)
        try:
            for topic, kind in kinds.items():
                listener.create_subscription(kind, topic, lambda _: None, OUTPUT_QOS)
            publishers = [node.create_publisher(k, t, OUTPUT_QOS) for t, k in kinds.items()]
            while not all(publisher.get_subscription_count() for publisher in publishers):
                time.sleep(0.05)
            yield publishers
        finally:
            node.destroy_node()
            listener.destroy_node()
