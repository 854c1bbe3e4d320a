"""Camera messages to RGB arrays and back, without copies that the encoding does not force.

Images are RGB, (H, W, 3) uint8, everywhere behind this file.
"""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ovseg_ros.nodes.cv_bridge_probe import cv_bridge_or_reason


def _converted(code: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: cv2.cvtColor(pixels, code)


def _gray(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)


def _high_byte(pixels: np.ndarray) -> np.ndarray:
    return (pixels >> 8).astype(np.uint8)


def _stretched(pixels: np.ndarray) -> np.ndarray:
    low, high = int(pixels.min()), int(pixels.max())
    scaled = (pixels.astype(np.float32) - low) * (255.0 / max(high - low, 1))
    return _gray(np.rint(scaled).astype(np.uint8))


_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,  # OpenCV names the pattern by its second row and column
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

# encoding -> (channels, bytes per channel, conversion of (H, W[, channels]) pixels to RGB)
_ENCODINGS: dict[str, tuple[int, int, Callable[[np.ndarray], np.ndarray]]] = {
    "rgb8": (3, 1, lambda pixels: pixels),
    "bgr8": (3, 1, _converted(cv2.COLOR_BGR2RGB)),
    "8UC3": (3, 1, _converted(cv2.COLOR_BGR2RGB)),
    "rgba8": (4, 1, lambda pixels: pixels[..., :3]),
    "bgra8": (4, 1, _converted(cv2.COLOR_BGRA2RGB)),
    "mono8": (1, 1, _gray),
    "8UC1": (1, 1, _gray),
    "mono16": (1, 2, lambda pixels: _gray(_high_byte(pixels))),
    # No agreed full scale (thermal cameras, depth): shown from its darkest to its brightest pixel.
    "16UC1": (1, 2, _stretched),
    "yuv422": (2, 1, _converted(cv2.COLOR_YUV2RGB_UYVY)),
    "uyvy": (2, 1, _converted(cv2.COLOR_YUV2RGB_UYVY)),
    "yuv422_yuy2": (2, 1, _converted(cv2.COLOR_YUV2RGB_YUY2)),
    "yuyv": (2, 1, _converted(cv2.COLOR_YUV2RGB_YUY2)),
    **{f"bayer_{name}8": (1, 1, _converted(code)) for name, code in _BAYER.items()},
    **{
        f"bayer_{name}16": (1, 2, lambda pixels, code=code: cv2.cvtColor(_high_byte(pixels), code))
        for name, code in _BAYER.items()
    },
}

ENCODINGS = tuple(sorted(_ENCODINGS))
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
        return _decompressed(message)
    if message.encoding not in _ENCODINGS:
        return _bridged(message)
    channels, size, to_rgb = _ENCODINGS[message.encoding]
    pixels = pixels_from_msg(message, np.dtype(f"u{size}"), channels)
    even = message.encoding.startswith("bayer") or channels == 2
    if even and (message.width % 2 or (channels == 1 and message.height % 2)):
        raise ValueError(
            f"width, height: expected even numbers for {message.encoding}, "
            f"got {message.width}x{message.height}"
        )
    return to_rgb(pixels)


def depth_from_msg(message: Image) -> np.ndarray:
    """Return a depth image in metres, (H, W) float32; 0 and NaN mean unknown.

    Raises:
        ValueError: if the encoding is not ``16UC1`` (millimetres) or ``32FC1`` (metres), or the
            data does not fit the header.
    """
    if message.encoding in ("16UC1", "mono16"):
        return pixels_from_msg(message, np.dtype("u2")).astype(np.float32) / 1000
    if message.encoding == "32FC1":
        return pixels_from_msg(message, np.dtype("f4"))
    raise ValueError(f"encoding: expected 16UC1 or 32FC1 for depth, got {message.encoding!r}")


def labels_from_msg(message: Image) -> np.ndarray:
    """Return a label mask, (H, W) uint8 or uint16, from a ``mono8``, ``mono16`` or ``16UC1`` image.

    Raises:
        ValueError: if it is in another encoding, or the data does not fit the header.
    """
    sizes = {"mono8": "u1", "8UC1": "u1", "mono16": "u2", "16UC1": "u2"}
    if message.encoding not in sizes:
        raise ValueError(f"encoding: expected mono8 or 16UC1, got {message.encoding!r}")
    return pixels_from_msg(message, np.dtype(sizes[message.encoding]))


def pixels_from_msg(message: Image, dtype: np.dtype, channels: int = 1) -> np.ndarray:
    """Return the pixels of a raw image, (H, W) or (H, W, channels), in native byte order.

    Raises:
        ValueError: if height, width, step and data do not fit each other.
    """
    height, width, step = message.height, message.width, message.step
    row = width * channels * dtype.itemsize
    size = f"{width}x{height} {message.encoding}"
    if height == 0 or width == 0:
        raise ValueError(f"width, height: expected at least one pixel, got {size}")
    if step < row:
        raise ValueError(f"step: expected at least {row} bytes for {size}, got {step}")
    expected = step * (height - 1) + row  # the padding behind the last row may be missing
    if len(message.data) < expected:
        raise ValueError(
            f"data: expected at least {expected} bytes for {size} with step {step}, "
            f"got {len(message.data)}"
        )
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


def _decompressed(message: CompressedImage) -> np.ndarray:
    data = np.frombuffer(message.data, np.uint8)
    head, tail = data[:8].tobytes(), data[-64:].tobytes().rstrip(b"\0")
    if head.startswith(b"\xff\xd8"):
        # OpenCV fills what is missing of a JPEG with grey, which looks like a good image.
        whole = tail.endswith(b"\xff\xd9")
    elif head == b"\x89PNG\r\n\x1a\n":
        whole = b"IEND" in tail
    else:
        raise ValueError(
            f"data: expected a JPEG or PNG, got {len(data)} bytes that start with {head!r} "
            f"(format {message.format!r})"
        )
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if whole else None
    if picture is None:
        raise ValueError(f"data: expected a whole JPEG or PNG, got {len(data)} corrupt bytes")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=picture)


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


def compressed_to_msg(image: np.ndarray, header: Header, *, quality: int = 90) -> CompressedImage:
    """Return an RGB image, (H, W, 3) uint8, as a JPEG message; ``quality`` in 1..100."""
    _, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return CompressedImage(header=header, format="jpeg", data=_bytes(jpeg))


def labels_to_msg(labels: np.ndarray, encoding: str, header: Header) -> Image:
    """Return a label mask message from (H, W) uint8 or uint16 ids in ``mono8`` or ``16UC1``."""
    return image_to_msg(
        labels.astype(np.uint8 if encoding == "mono8" else np.uint16, copy=False), encoding, header
    )


def _bytes(pixels: np.ndarray) -> Any:
    # rclpy checks bytes and lists value by value, and takes an array.array as it is.
    data = array.array("B")
    data.frombytes(memoryview(pixels).cast("B"))
    return data
