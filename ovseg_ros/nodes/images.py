"""Camera messages to RGB arrays and back, without copies that the encoding does not force.

Images are RGB, (H, W, 3) uint8, everywhere behind this file.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ovseg_ros.codecs.limits import check_size
from ovseg_ros.nodes.compressed import rgb_from_compressed
from ovseg_ros.nodes.cv_bridge_probe import cv_bridge_or_reason
from ovseg_ros.nodes.encodings import KNOWN, to_rgb

ENCODINGS = tuple(sorted(KNOWN))
"""Encodings of raw images that can be decoded without cv_bridge."""


def image_from_msg(message: Image | CompressedImage) -> np.ndarray:
    """Return the picture of a camera message as RGB, (H, W, 3) uint8.

    For ``rgb8`` and ``rgba8`` this is a view into the message, rows padded or not. Encodings
    outside :data:`ENCODINGS` (``rgb16``, ``bgra16``, ...) are left to cv_bridge.

    Raises:
        ValueError: if the encoding is unknown, or needs a cv_bridge that is missing or broken, or
            the data does not fit the header.
    """
    if isinstance(message, CompressedImage):
        return rgb_from_compressed(bytes(message.data), message.format)
    if message.encoding not in KNOWN:
        return _bridged(message)
    known = KNOWN[message.encoding]
    up, down = known.rows
    rows = message.height * up // down
    pixels = pixels_from_msg(message, np.dtype(f"u{known.size}"), known.channels, rows=rows)
    if message.encoding == "nv24" and message.step > message.width:
        pixels = _whole_rows(message, rows)
    return to_rgb(pixels, message.encoding, (message.height, message.width))


def _whole_rows(message: Image, rows: int) -> np.ndarray:
    """Return (rows, step) bytes: one row of nv24's colours is as long as two of its light."""
    data = np.frombuffer(message.data, np.uint8)[: rows * message.step]
    return np.pad(data, (0, rows * message.step - len(data))).reshape(rows, message.step)


def depth_from_msg(message: Image) -> np.ndarray:
    """Return a depth image in metres, (H, W) float32; 0 and NaN mean unknown.

    Raises:
        ValueError: if the encoding is not ``16UC1`` (millimetres) or ``32FC1`` (metres), or the
            data does not fit the header.
    """
    stored = depth_pixels(message)
    return stored if stored.dtype == np.float32 else stored.astype(np.float32) / 1000


def depth_pixels(message: Image) -> np.ndarray:
    """Return the values of a depth image, (H, W) uint16 in millimetres or float32 in metres.

    Raises:
        ValueError: as :func:`depth_from_msg`.
    """
    kinds = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
    if message.encoding not in kinds:
        raise ValueError(f"encoding: expected 16UC1 or 32FC1 for depth, got {message.encoding!r}")
    return pixels_from_msg(message, np.dtype(kinds[message.encoding]))


def labels_from_msg(message: Image) -> np.ndarray:
    """Return a label mask, (H, W) uint8 or uint16, from a ``mono8``, ``mono16`` or ``16UC1`` image.

    Raises:
        ValueError: if it is in another encoding, or the data does not fit the header.
    """
    sizes = {"mono8": "u1", "8UC1": "u1", "mono16": "u2", "16UC1": "u2"}
    if message.encoding not in sizes:
        raise ValueError(f"encoding: expected mono8 or 16UC1, got {message.encoding!r}")
    return pixels_from_msg(message, np.dtype(sizes[message.encoding]))


def pixels_from_msg(
    message: Image, dtype: np.dtype, channels: int = 1, *, rows: int | None = None
) -> np.ndarray:
    """Return the pixels of a raw image, (H, W) or (H, W, channels), in native byte order.

    Args:
        message: The image.
        dtype: Type of its values.
        channels: Values per pixel.
        rows: Rows in the data where that is not the height: planes below each other.

    Raises:
        ValueError: if height, width, step and data do not fit each other, or the image is larger
            than :data:`ovseg_ros.codecs.limits.MAX_PIXELS`.
    """
    width, step = message.width, message.step
    height = message.height if rows is None else rows
    row = width * channels * dtype.itemsize
    size = f"{width}x{message.height} {message.encoding}"
    if message.height == 0 or width == 0:
        raise ValueError(f"width, height: expected at least one pixel, got {size}")
    if step < row:
        raise ValueError(f"step: expected at least {row} bytes for {size}, got {step}")
    expected = step * (height - 1) + row  # the padding behind the last row may be missing
    if len(message.data) < expected:
        raise ValueError(
            f"data: expected at least {expected} bytes for {size} with step {step}, "
            f"got {len(message.data)}"
        )
    check_size((message.height, width), message.encoding)
    stored = dtype.newbyteorder(">" if message.is_bigendian else "<")
    shape, strides = (height, width, channels), (step, channels * dtype.itemsize, dtype.itemsize)
    pixels = np.ndarray(shape, stored, buffer=message.data, strides=strides)
    if channels == 1:
        pixels = pixels[..., 0]
    return pixels.astype(dtype, copy=False)


def _bridged(message: Image) -> np.ndarray:
    bridge, reason = cv_bridge_or_reason()
    if bridge is not None:
        try:
            dtype, channels = bridge.encoding_to_dtype_with_channels(message.encoding)
        except TypeError as error:  # what CvBridgeError is
            reason = f"cv_bridge: {error}"
        else:
            # cv_bridge skews rows whose padding is no whole pixel, cuts pictures whose header does
            # not fit, and swaps bytes with a method that NumPy 2 has not: it gets plain pixels.
            pixels = pixels_from_msg(message, np.dtype(dtype), channels)
            plain = image_to_msg(pixels, message.encoding, message.header)
            try:
                return bridge.imgmsg_to_cv2(plain, "rgb8")
            except TypeError as error:
                reason = f"cv_bridge: {error}"
    raise ValueError(
        f"encoding: expected one of {', '.join(ENCODINGS)}, or a colour that cv_bridge knows, "
        f"got {message.encoding!r} ({reason})"
    )


def image_to_msg(pixels: np.ndarray, encoding: str, header: Header) -> Image:
    """Return a raw image message with one copy of ``pixels``, (H, W) or (H, W, C)."""
    pixels = np.ascontiguousarray(pixels)
    return Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=_bytes(pixels),
    )


def jpeg_to_msg(jpeg: bytes, header: Header) -> CompressedImage:
    """Return a JPEG as a message."""
    return CompressedImage(header=header, format="jpeg", data=array.array("B", jpeg))


def labels_to_msg(labels: np.ndarray, encoding: str, header: Header) -> Image:
    """Return a label mask message from (H, W) uint8 or uint16 ids in ``mono8`` or ``16UC1``."""
    return image_to_msg(
        labels.astype(np.uint8 if encoding == "mono8" else np.uint16, copy=False), encoding, header
    )


def _bytes(pixels: np.ndarray) -> Any:
    # rclpy checks bytes and lists value by value, and takes an array.array as it is.
    data = array.array("B")
    data.frombytes(pixels.data.cast("B"))
    return data
