"""The encodings of sensor_msgs that need no cv_bridge, each with its way to RGB.

Pixels come as (H, W) or (H, W, channels); RGB is (H, W, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

ToRgb = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Encoding:
    """How one encoding lies in memory.

    Attributes:
        channels: Values per pixel.
        size: Bytes per value.
        to_rgb: From pixels to RGB.
        even: Width, or width and height (``(1, 0)``, ``(1, 1)``), must be even.
        rows: Rows of ``width`` bytes for every row of the picture, as (numerator, denominator):
            planes of colour follow the plane of light.
    """

    channels: int
    size: int
    to_rgb: ToRgb
    even: tuple[int, int] = (0, 0)
    rows: tuple[int, int] = (1, 1)


def _converted(code: int) -> ToRgb:
    return lambda pixels: cv2.cvtColor(pixels, code)


def _gray(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)


def high_byte(pixels: np.ndarray) -> np.ndarray:
    """Return 16-bit pixels of full scale as 8 bit."""
    return (pixels >> 8).astype(np.uint8)


def _stretched(pixels: np.ndarray) -> np.ndarray:
    low, high = int(pixels.min()), int(pixels.max())
    scaled = (pixels.astype(np.float32) - low) * (255.0 / max(high - low, 1))
    return _gray(np.rint(scaled).astype(np.uint8))


# BT.601 from studio range, the same that OpenCV's codes for yuv422 and nv12 compute.
_FROM_YUV = np.array(
    [[1.16438, 0.0, 1.59603], [1.16438, -0.39176, -0.81297], [1.16438, 2.01723, 0.0]], np.float32
)


def _from_high_byte(pixels: np.ndarray, code: int) -> np.ndarray:
    """Convert (H, W) uint16 by its high bytes."""
    return cv2.cvtColor(high_byte(pixels), code)


def _nv24(planes: np.ndarray) -> np.ndarray:
    """Convert (3 H, W): light, then blue and red differences of every pixel in turn."""
    height, width = len(planes) // 3, planes.shape[1]
    light = planes[:height, :, None]
    colour = planes[height:].reshape(height, width, 2)
    yuv = np.concatenate([light, colour], axis=2).astype(np.float32)
    rgb = cv2.transform(yuv - np.array([16, 128, 128], np.float32), _FROM_YUV)
    return np.rint(np.clip(rgb, 0, 255)).astype(np.uint8)


_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,  # OpenCV names the pattern by its second row and column
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

KNOWN: dict[str, Encoding] = {
    "rgb8": Encoding(3, 1, lambda pixels: pixels),
    "bgr8": Encoding(3, 1, _converted(cv2.COLOR_BGR2RGB)),
    "8UC3": Encoding(3, 1, _converted(cv2.COLOR_BGR2RGB)),
    "rgba8": Encoding(4, 1, lambda pixels: pixels[..., :3]),
    "bgra8": Encoding(4, 1, _converted(cv2.COLOR_BGRA2RGB)),
    "mono8": Encoding(1, 1, _gray),
    "8UC1": Encoding(1, 1, _gray),
    "mono16": Encoding(1, 2, lambda pixels: _gray(high_byte(pixels))),
    # No agreed full scale (thermal cameras, depth): shown from its darkest to its brightest pixel.
    "16UC1": Encoding(1, 2, _stretched),
    "yuv422": Encoding(2, 1, _converted(cv2.COLOR_YUV2RGB_UYVY), even=(1, 0)),
    "uyvy": Encoding(2, 1, _converted(cv2.COLOR_YUV2RGB_UYVY), even=(1, 0)),
    "yuv422_yuy2": Encoding(2, 1, _converted(cv2.COLOR_YUV2RGB_YUY2), even=(1, 0)),
    "yuyv": Encoding(2, 1, _converted(cv2.COLOR_YUV2RGB_YUY2), even=(1, 0)),
    "nv12": Encoding(1, 1, _converted(cv2.COLOR_YUV2RGB_NV12), even=(1, 1), rows=(3, 2)),
    "nv21": Encoding(1, 1, _converted(cv2.COLOR_YUV2RGB_NV21), even=(1, 1), rows=(3, 2)),
    "nv24": Encoding(1, 1, _nv24, rows=(3, 1)),
    **{
        f"bayer_{name}8": Encoding(1, 1, _converted(code), even=(1, 1))
        for name, code in _BAYER.items()
    },
    **{
        f"bayer_{name}16": Encoding(1, 2, partial(_from_high_byte, code=code), even=(1, 1))
        for name, code in _BAYER.items()
    },
}
"""Encodings by their names in sensor_msgs; ``nv12`` is Isaac ROS's."""


def to_rgb(pixels: np.ndarray, encoding: str, size_hw: tuple[int, int]) -> np.ndarray:
    """Return pixels of a known encoding as RGB, (H, W, 3) uint8.

    Args:
        pixels: (rows, W) or (rows, W, channels) of the encoding's type.
        encoding: A key of :data:`KNOWN`.
        size_hw: Height and width of the picture.

    Raises:
        ValueError: if the encoding needs even numbers and gets others.
    """
    known, (height, width) = KNOWN[encoding], size_hw
    if (known.even[0] and width % 2) or (known.even[1] and height % 2):
        raise ValueError(
            f"width, height: expected even numbers for {encoding}, got {width}x{height}"
        )
    return known.to_rgb(pixels)[:, :width]
