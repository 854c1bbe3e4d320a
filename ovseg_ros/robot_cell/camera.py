"""The pinhole camera of the robot cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ovseg_ros.robot_cell.description import View


def intrinsics(fov_y_deg: float, size: tuple[int, int]) -> np.ndarray:
    """Camera matrix K, float64 (3, 3), of a pinhole with square pixels; size is (width, height)."""
    width, height = size
    focal = 0.5 * height / math.tan(math.radians(fov_y_deg) / 2)
    return np.array([[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]])


def around(
    target: Sequence[float], distance: float, azimuth: float, elevation: float
) -> tuple[float, float, float]:
    """Return the point at a distance from another, in the direction of two angles in radians."""
    x, y, z = target
    return (
        float(x + distance * math.cos(azimuth) * math.cos(elevation)),
        float(y + distance * math.sin(azimuth) * math.cos(elevation)),
        float(z + distance * math.sin(elevation)),
    )


def camera_to_world(view: View) -> np.ndarray:
    """Pose of the optical frame (x right, y down, z forward) in the world, float64 (4, 4)."""
    eye = np.array(view.eye)
    forward = np.array(view.target) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, np.cross(forward, right), forward
    pose[:3, 3] = eye
    return pose
