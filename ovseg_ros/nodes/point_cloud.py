"""Label masks and depth images to labelled point clouds, without ever mixing two labels."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from ovseg_ros.drawing import palette
from ovseg_ros.nodes.depth_buffer import DepthBuffer, check_frames
from ovseg_ros.nodes.diagnostics import OK, WARN, Judgement
from ovseg_ros.nodes.images import depth_from_msg

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
    the one label at its centre, and the intrinsics are scaled from the size in ``camera``.

    Args:
        depth: Metres, (h, w) float32; 0, NaN and infinity are left out.
        labels: Category ids, (H, W) uint8 or uint16.
        camera: Intrinsics, for images of ``camera.width`` x ``camera.height``.
        stride: Takes every n-th row and column of the depth image.

    Returns:
        Points, (N,) :data:`POINT`.

    Raises:
        ValueError: if the intrinsics are empty or not finite.
    """
    fx, cx, fy, cy = camera.k[0], camera.k[2], camera.k[4], camera.k[5]
    finite = all(map(math.isfinite, (fx, cx, fy, cy)))
    if not (finite and fx > 0 and fy > 0 and camera.width and camera.height):
        raise ValueError(
            f"camera_info: expected a calibrated camera, got focal lengths {fx:g}, {fy:g} "
            f"and centre {cx:g}, {cy:g} for {camera.width}x{camera.height}"
        )
    height, width = depth.shape
    rows, columns = np.arange(0, height, stride), np.arange(0, width, stride)
    z = depth[::stride, ::stride]
    # Centres of the depth's pixels in the labels' pixels and in the intrinsics' coordinates.
    label_rows = ((rows + 0.5) * labels.shape[0] / height).astype(np.intp)
    label_columns = ((columns + 0.5) * labels.shape[1] / width).astype(np.intp)
    u = (columns + 0.5) * camera.width / width - 0.5
    v = (rows + 0.5) * camera.height / height - 0.5
    known = np.isfinite(z) & (z > 0)
    points = np.zeros(int(known.sum()), POINT)
    points["x"] = (z * ((u - cx) / fx)[None].astype(np.float32))[known]
    points["y"] = (z * ((v - cy) / fy)[:, None].astype(np.float32))[known]
    points["z"] = z[known]
    points["label"] = labels[label_rows[:, None], label_columns[None]][known]
    colours = palette(np.arange(int(labels.max()) + 1)).astype(np.uint32)
    points["rgb"] = (colours @ np.array([1 << 16, 1 << 8, 1], np.uint32))[points["label"]]
    return points


def cloud_to_msg(points: np.ndarray, header: Header) -> PointCloud2:
    """Return finite points, (N,) :data:`POINT`, as a message: fields x, y, z, rgb, label.

    sensor_msgs_py writes it where ROS brings that, and the same bytes are written here otherwise.
    """
    datatypes = {np.dtype("<f4"): PointField.FLOAT32, np.dtype("<u2"): PointField.UINT16}
    fields = [
        PointField(name=name, offset=offset, datatype=datatypes[dtype], count=1)
        for name, (dtype, offset, *_) in (_WRITTEN.fields or {}).items()
    ]
    if create_cloud is not None and len(points):  # it fails on an empty cloud
        message = create_cloud(header, fields, points.view(_WRITTEN), POINT.itemsize)
        message.is_dense = True
        return message
    message = PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=POINT.itemsize,
        row_step=POINT.itemsize * len(points),
        is_dense=True,
    )
    message.data.frombytes(points.view(np.uint8).data)
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
        self._sensors = [
            node.sensor(Image, config.depth_topic, self._depths.add),
            node.sensor(CameraInfo, config.camera_info_topic, self._on_camera_info),
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
            points = labelled_points(depth_from_msg(depth), labels, camera, stride=stride)
        except ValueError as error:
            self.trouble = str(error)
            self._node.refuse(f"depth: {error}")
            return
        self._points.publish(cloud_to_msg(points, picture.header))

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera = message
