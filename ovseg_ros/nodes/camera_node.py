"""A camera that needs no hardware: the robot cell, a folder, a video or a bag.

Run: ``ros2 run ovseg_ros camera_node --ros-args -p source:=replay:/path/to/folder``
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ovseg_ros.codecs.pictures import encode, millimetres
from ovseg_ros.msg import Vocabulary as VocabularyMsg
from ovseg_ros.nodes.base import LATCHED_QOS, OUTPUT_QOS, BaseNode
from ovseg_ros.nodes.camera_sources import Shot, Source, build_source
from ovseg_ros.nodes.config import CameraNodeConfig
from ovseg_ros.nodes.conversions import vocabulary_to_msg
from ovseg_ros.nodes.guard import brief
from ovseg_ros.nodes.images import image_to_msg, jpeg_to_msg
from ovseg_ros.nodes.spin import spin
from ovseg_ros.types import Category, Mode, Vocabulary
from ovseg_ros.types import Source as Origin


class CameraNode(BaseNode):
    """Publishes pictures, and whatever else the source knows about them."""

    config_type = CameraNodeConfig
    live = frozenset({"loop", "jpeg_quality"})

    def __init__(self, build: Callable[[str], Source] = build_source, **options: Any) -> None:
        """Advertise the topics; ``build`` opens the source in ``configure``."""
        super().__init__("camera_node", **options)
        self._build = build
        self._image = self.create_publisher(Image, "camera/image_raw", OUTPUT_QOS)
        self._jpeg = self.create_publisher(
            CompressedImage, "camera/image_raw/compressed", OUTPUT_QOS
        )
        self._info = self.create_publisher(CameraInfo, "camera/camera_info", OUTPUT_QOS)
        self._depth = self.create_publisher(Image, "camera/depth/image_raw", OUTPUT_QOS)
        self._truth = self.create_publisher(Image, "camera/ground_truth", OUTPUT_QOS)
        self._names = self.create_publisher(
            VocabularyMsg, "camera/ground_truth_vocabulary", LATCHED_QOS
        )
        self._source: Source | None = None
        self._shots: Iterator[Shot] = iter(())
        self._timer: Any = None

    def load(self) -> None:
        """Open the source and tell what its ground truth means."""
        self._source = self._build(self.config.source)
        self._shots = self._source.shots()
        if self._source.categories:
            words = tuple(
                Category(id=i, name=name, synonyms=synonyms, source=Origin.FIXED)
                for i, (name, synonyms) in enumerate(self._source.categories, start=1)
            )
            truth = Vocabulary(version=1, mode=Mode.FIXED, categories=words)
            self._names.publish(vocabulary_to_msg(truth, self.get_clock().now().to_msg()))

    def start(self) -> None:
        """Start to publish."""
        assert self._source is not None
        rate_hz = self.config.rate_hz or self._source.rate_hz
        if self._timer is None:
            self._timer = self.create_timer(1 / rate_hz, self._on_timer)
        self._timer.timer_period_ns = round(1e9 / rate_hz)
        self._timer.reset()

    def stop(self) -> None:
        """Stop to publish."""
        if self._timer is not None:
            self._timer.cancel()  # kept: rclpy may stumble over what is destroyed while it waits

    def free(self) -> None:
        """Close the source."""
        self._source, self._shots = None, iter(())

    def _on_timer(self) -> None:
        assert self._source is not None
        try:
            shot = next(self._shots, None)
            if shot is None and self.config.loop:
                self._shots = self._source.shots()
                shot = next(self._shots, None)
        except Exception as error:  # also of OpenCV, of a bag's reader, out of memory
            self.get_logger().error(f"skipped a picture: {brief(error)}", throttle_duration_sec=5.0)
            return
        if shot is None:
            self.get_logger().info("the source has ended")
            self._timer.cancel()
            return
        self._publish(shot)

    def _publish(self, shot: Shot) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self.config.frame_id)
        if shot.labels is not None and self._truth.get_subscription_count():
            self._truth.publish(image_to_msg(shot.labels, "mono8", header))
        if shot.intrinsics is not None:
            self._info.publish(camera_info_to_msg(shot.intrinsics, shot.image.shape[:2], header))
        if shot.depth_m is not None and self._depth.get_subscription_count():
            self._depth.publish(image_to_msg(millimetres(shot.depth_m), "16UC1", header))
        if self._image.get_subscription_count():
            self._image.publish(image_to_msg(shot.image, "rgb8", header))
        if self._jpeg.get_subscription_count():
            jpeg = shot.jpeg or encode(shot.image, quality=self.config.jpeg_quality)
            self._jpeg.publish(jpeg_to_msg(jpeg, header))


def camera_info_to_msg(
    intrinsics: np.ndarray, size_hw: tuple[int, int], header: Header
) -> CameraInfo:
    """Return the calibration of an undistorted camera with matrix ``intrinsics``, (3, 3)."""
    projection = np.hstack([intrinsics, np.zeros((3, 1))])
    return CameraInfo(
        header=header,
        height=size_hw[0],
        width=size_hw[1],
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=intrinsics.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=projection.ravel().tolist(),
    )


def main() -> int:
    """Run the node."""
    return spin(CameraNode)


if __name__ == "__main__":
    raise SystemExit(main())
