"""Label masks and depth images to labelled point clouds, without ever mixing two labels."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from ovseg_ros.drawing import palette
from ovseg_ros.nodes.carried import sampled
from ovseg_ros.nodes.depth_buffer import DepthBuffer, check_frames
from ovseg_ros.nodes.diagnostics import OK, WARN, Judgement
from ovseg_ros.nodes.guard import brief
from ovseg_ros.nodes.images import depth_from_msg, depth_pixels
from ovseg_ros.nodes.intrinsics import info_topic, is_distorted, rays

if TYPE_CHECKING:
    from ovseg_ros.nodes.image_node import Picture
    from ovseg_ros.nodes.segmentation_node import SegmentationNode

try:  # only where a ROS installation brings it; there is no wheel
    from sensor_msgs_py.point_cloud2 import create_cloud
except (ImportError, AttributeError):  # the latter from parts built for another NumPy
    create_cloud = None
else:
    if "point_step" not in inspect.signature(create_cloud).parameters:
        create_cloud = None  # Humble's writes no points with padding

_LAYOUT: Any = {
    "names": ["x", "y", "z", "rgb", "label"],
    "offsets": [0, 4, 8, 12, 16],
    "itemsize": 20,
}
POINT = np.dtype(_LAYOUT | {"formats": ["<f4", "<f4", "<f4", "<u4", "<u2"]})
"""One point: metres in the camera's optical frame, colour 0x00RRGGBB, category id."""

# In messages rgb is the bits of a FLOAT32, as PCL and RViz expect it.
_WRITTEN = np.dtype(_LAYOUT | {"formats": ["<f4", "<f4", "<f4", "<f4", "<u2"]})


def labelled_points(
    depth: np.ndarray, labels: np.ndarray, camera: CameraInfo, *, stride: int = 1
) -> np.ndarray:
    """Return the points of a depth image with the labels of the pixels they lie in.

    Depth and labels may differ in size as long as they show the same view: each depth pixel takes
    the one label at its centre, and the intrinsics are scaled to its size.

    Args:
        depth: Metres, (h, w) float32; 0, NaN and infinity are left out.
        labels: Category ids, (H, W) uint8 or uint16.
        camera: Intrinsics.
        stride: Takes every n-th row and column of the depth image.

    Returns:
        Points, (N,) :data:`POINT`.

    Raises:
        ValueError: if the intrinsics are empty or not finite.
    """
    labels = sampled(labels, depth.shape)[::stride, ::stride]
    x, y = rays(camera, depth.shape)
    points = _points(depth[::stride, ::stride], labels, x[::stride], y[::stride])
    return points[np.isfinite(points["z"])]


def organized_points(depth: np.ndarray, labels: np.ndarray, camera: CameraInfo) -> np.ndarray:
    """Return one point for every pixel of a mask, NaN where its depth is not known.

    Args:
        depth: Metres, (h, w) float32; each pixel of the mask takes the one at its centre.
        labels: Category ids, (H, W) uint8 or uint16.
        camera: Intrinsics.

    Returns:
        Points, (H, W) :data:`POINT`.

    Raises:
        ValueError: if the intrinsics are empty or not finite.
    """
    return _points(sampled(depth, labels.shape), labels, *rays(camera, labels.shape))


def _points(z: np.ndarray, labels: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    points = np.zeros(z.shape, POINT)
    z = np.where(np.isfinite(z) & (z > 0), z, np.float32(np.nan))
    points["x"], points["y"], points["z"] = z * x[None], z * y[:, None], z
    points["label"] = labels
    colours = palette(np.arange(int(labels.max(initial=0)) + 1)).astype(np.uint32)
    points["rgb"] = (colours @ np.array([1 << 16, 1 << 8, 1], np.uint32))[labels]
    return points


def cloud_to_msg(points: np.ndarray, header: Header) -> PointCloud2:
    """Return points of :data:`POINT` as a message: fields x, y, z, rgb, label.

    (N,) finite points are an unordered cloud of one row; (H, W) ones, NaN where there is none, an
    organised one that is not dense. sensor_msgs_py writes the unordered ones where ROS brings it,
    and the same bytes are written here otherwise.
    """
    datatypes = {np.dtype("<f4"): PointField.FLOAT32, np.dtype("<u2"): PointField.UINT16}
    fields = [
        PointField(name=name, offset=offset, datatype=datatypes[dtype], count=1)
        for name, (dtype, offset, *_) in (_WRITTEN.fields or {}).items()
    ]
    height, width = points.shape if points.ndim == 2 else (1, len(points))
    # It fails on an empty cloud, and knows no organised ones.
    if create_cloud is not None and points.ndim == 1 and len(points):
        message = create_cloud(header, fields, points.view(_WRITTEN), POINT.itemsize)
        message.is_dense = True
        return message
    message = PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=fields,
        is_bigendian=False,
        point_step=POINT.itemsize,
        row_step=POINT.itemsize * width,
        is_dense=points.ndim == 1,
    )
    message.data.frombytes(points.reshape(-1).view(np.uint8).data)
    return message


class CloudInput:
    """Keeps the newest depth and intrinsics, and publishes ``~/points`` of the first camera.

    Attributes:
        trouble: Why the last picture had no points, for diagnostics; empty if it had.
    """

    def __init__(self, node: SegmentationNode) -> None:
        """Subscribe to depth and intrinsics."""
        self._node = node
        self.trouble = ""
        self._depths = DepthBuffer()
        self._camera: CameraInfo | None = None
        config = node.config
        self._images = node.resolve_topic_name(config.image_topics[0])
        self._sensors = [
            node.sensor(Image, config.depth_topic, self._on_depth),
            node.sensor(
                CameraInfo,
                config.camera_info_topic or info_topic(self._images),
                self._on_camera_info,
            ),
        ]
        for sensor in self._sensors:
            sensor.open = True
        self._points = node.publisher(PointCloud2, "~/points")

    def close(self) -> None:
        """Listen no more."""
        for sensor in self._sensors:
            sensor.open = False

    def judge(self) -> Judgement:
        """Return whether clouds can be made, and why not."""
        if self.trouble:
            return WARN, self.trouble
        return OK, "points are published while somebody subscribes"

    def take(self, picture: Picture) -> None:
        """Hold the depth of a picture whose labels will come."""
        self._depths.hold(picture.header)

    def depth_size(self, picture: Picture) -> tuple[int, int] | None:
        """Return the size (h, w) of a picture's depth image, None where none has come yet."""
        depth, _ = self._depths.nearest(picture.header)
        return None if depth is None else (depth.height, depth.width)

    def publish(self, picture: Picture, labels: np.ndarray) -> None:
        """Publish the points of a picture with labels (H, W) if there is depth for it."""
        depth, apart_s = self._depths.nearest(picture.header)
        camera, slop_s = self._camera, self._node.config.depth_slop_s
        self.trouble = ""
        if depth is None or camera is None:
            self.trouble = "no depth" if depth is None else "no camera_info"
        elif apart_s > slop_s:
            self.trouble = f"depth is {apart_s:.3f} s from the image, depth_slop_s is {slop_s:g}"
        if self.trouble or depth is None or camera is None:
            return
        stride = self._node.config.cloud_stride
        try:
            check_frames(picture.header, depth=depth.header, camera_info=camera.header)
            if not self._points.get_subscription_count():
                return
            metres = depth_from_msg(depth)
            if self._node.config.cloud_layout == "organized":
                points = organized_points(metres, labels, camera)
            else:
                points = labelled_points(metres, labels, camera, stride=stride)
        except ValueError as error:
            self.trouble = brief(error)
            self._node.refuse(f"depth: {error}")
            return
        self._points.publish(cloud_to_msg(points, picture.header))

    def _on_depth(self, message: Image) -> None:
        try:
            depth_pixels(message)  # a size is only one if the data fits it
        except ValueError as error:
            self.trouble = brief(f"depth: {error}")
            self._node.refuse(self.trouble)
            return
        self._depths.add(message)

    def _on_camera_info(self, message: CameraInfo) -> None:
        if self._camera is None and is_distorted(message, self._images):
            self._node.get_logger().warning(
                f"{self._images} looks like raw images of a lens with distortion "
                f"({message.distortion_model}): ~/points are right for rectified ones only "
                "(image_proc's image_rect)"
            )
        self._camera = message
