"""Pictures of sensor_msgs/CompressedImage, by the encoding that their format names.

compressed_image_transport writes ``ENCODING; CODEC compressed TARGET``: with a target the colours
were converted to it before they were encoded, without one the camera's own values were, be it a
Bayer mosaic. Drivers that encode by themselves write ``jpeg`` or ``png``: an ordinary picture.
"""

from __future__ import annotations

import re

import numpy as np

from ovseg_ros.codecs.pictures import decode
from ovseg_ros.nodes.encodings import high_byte, to_rgb

_BAYER = re.compile(r"(bayer_(?:rggb|bggr|gbrg|grbg))(?:8|16)")


def rgb_from_compressed(data: bytes, format_: str) -> np.ndarray:
    """Return a compressed picture as RGB, (H, W, 3) uint8; EXIF does not turn it.

    Args:
        data: ``CompressedImage.data``.
        format_: ``CompressedImage.format``.

    Raises:
        ValueError: if it is no picture, a damaged or a depth one, or too large.
    """
    encoding, separator, codec = (part.strip() for part in format_.partition(";"))
    if "compressedDepth" in format_:
        raise ValueError(
            f"format: expected colours, got {format_!r}: depth is read from raw images only"
        )
    named, converted = encoding if separator else "", "compressed bgr" in codec
    try:
        pixels = decode(data)
    except ValueError as error:
        raise ValueError(f"{error} (format {format_!r})") from None
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if pixels.dtype == np.uint8 else high_byte(pixels[..., :3])
        # Unconverted RGB was handed to an encoder that takes its first channel for blue.
        swapped = named.startswith("rgb") and not converted
        return np.ascontiguousarray(pixels[..., ::-1] if swapped else pixels)
    deep = pixels.dtype == np.uint16
    mosaic = _BAYER.fullmatch(named)
    if mosaic is not None and not converted:
        stored = f"{mosaic[1]}{16 if deep else 8}"
    elif deep:
        stored = "16UC1" if named == "16UC1" else "mono16"
    else:
        stored = "mono8"
    return to_rgb(pixels, stored, (pixels.shape[0], pixels.shape[1]))
