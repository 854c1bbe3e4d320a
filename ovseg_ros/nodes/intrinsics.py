"""From `sensor_msgs/CameraInfo` to viewing rays (REP-104)."""

from __future__ import annotations

import math

import numpy as np
from sensor_msgs.msg import CameraInfo

_WIDEST = 1e4
"""Farthest x or y at a depth of 1 m: nearly 90 degrees off the axis."""


def rays(camera: CameraInfo, size_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return where the rays through an image's pixels are at a depth of 1 m.

    ``P`` is used where it is set, as image_geometry and depth_image_proc do: it is the camera of
    the rectified image. ``K`` is used where ``P`` is not set. Both are for the full resolution;
    the image may show a region of interest of it, and be binned or scaled by any factor.

    Args:
        camera: Intrinsics.
        size_hw: Size (H, W) of an image of that view.

    Returns:
        x of each column (W,) and y of each row (H,), float32, in the optical frame.

    Raises:
        ValueError: if the intrinsics are empty, not finite or no camera's.
    """
    if camera.p[0]:
        fx, cx, fy, cy = camera.p[0], camera.p[2], camera.p[5], camera.p[6]
    else:
        fx, cx, fy, cy = camera.k[0], camera.k[2], camera.k[4], camera.k[5]
    finite = all(map(math.isfinite, (fx, cx, fy, cy)))
    if not (finite and fx > 0 and fy > 0 and camera.width and camera.height):
        raise ValueError(
            f"camera_info: expected a calibrated camera, got focal lengths {fx:g}, {fy:g} "
            f"and centre {cx:g}, {cy:g} for {camera.width}x{camera.height}"
        )
    roi = camera.roi
    # All zero means the full resolution.
    width, height = roi.width or camera.width, roi.height or camera.height
    if roi.x_offset + width > camera.width or roi.y_offset + height > camera.height:
        raise ValueError(
            f"camera_info: expected a region of interest within {camera.width}x{camera.height}, "
            f"got {width}x{height} from {roi.x_offset}, {roi.y_offset}"
        )
    # Centres of the image's pixels in the coordinates of the full resolution; binning is a scale.
    u = roi.x_offset + (np.arange(size_hw[1]) + 0.5) * (width / size_hw[1]) - 0.5
    v = roi.y_offset + (np.arange(size_hw[0]) + 0.5) * (height / size_hw[0]) - 0.5
    with np.errstate(over="ignore"):  # infinity is too wide as well
        x, y = (u - cx) / fx, (v - cy) / fy
    widest = max(abs(x).max(), abs(y).max())
    if widest > _WIDEST:
        raise ValueError(
            f"camera_info: expected a camera, got one that looks {widest:g} m aside at 1 m: "
            f"focal lengths {fx:g}, {fy:g} and centre {cx:g}, {cy:g}"
        )
    return x.astype(np.float32), y.astype(np.float32)


def is_distorted(camera: CameraInfo, topic: str) -> bool:
    """Return whether images of a topic are raw ones of a lens whose distortion matters.

    Rectified images go with the same intrinsics, so the topic tells: image_proc calls them
    ``image_rect`` and ``image_rect_color``.
    """
    return any(camera.d) and "rect" not in topic.rpartition("/")[2]


def info_topic(image_topic: str) -> str:
    """Return where a camera's intrinsics are: beside its images, as in image_transport.

    ``/front/image_raw`` has ``/front/camera_info``.
    """
    return f"{image_topic.rpartition('/')[0]}/camera_info"
