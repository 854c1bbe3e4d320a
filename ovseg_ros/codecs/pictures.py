"""Pictures of every kind a camera sends, decoded no further than their header allows; and JPEGs."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from ovseg_ros.codecs import jpeg
from ovseg_ros.codecs.limits import check_size

_PNG = b"\x89PNG\r\n\x1a\n"
_OTHERS = ("TIFF", "WEBP", "BMP")


def decode(data: bytes) -> np.ndarray:
    """Decode a picture as it lies in the file: its depth and channels, not turned by EXIF.

    Args:
        data: The bytes of the file; what follows the end of a JPEG or PNG is ignored.

    Returns:
        (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16.

    Raises:
        ValueError: if it is no such picture, a damaged one, or larger than
            :data:`ovseg_ros.codecs.limits.MAX_PIXELS`.
    """
    try:
        if data.startswith(b"\xff\xd8"):
            return jpeg.decode(data)
        if data.startswith(_PNG):
            return _decode_png(data)
        return _decode_other(data)
    except (cv2.error, MemoryError) as error:
        raise ValueError(f"data: could not decode the picture ({error})") from None


def encode(image: np.ndarray, suffix: str = ".jpg", *, quality: int = 90) -> bytes:
    """Return an RGB image, (H, W, 3) uint8, as a file; ``quality`` in 1..100 is that of a JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def data_uri(image: np.ndarray) -> str:
    """Return an RGB image, (H, W, 3) uint8, as the text of an HTML ``src``."""
    return "data:image/jpeg;base64," + base64.b64encode(encode(image)).decode()


def millimetres(depth_m: np.ndarray) -> np.ndarray:
    """Return depths in metres as 16-bit pictures keep them, in whole millimetres."""
    return np.clip(depth_m * 1000 + 0.5, 0, 65535).astype(np.uint16)


def _decode_png(data: bytes) -> np.ndarray:
    data = data[: png_end(data)]
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError(
            "data: expected a whole JPEG or PNG, got a damaged PNG: it cannot be decoded"
        )
    if pixels.ndim == 2:
        return pixels
    code = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return cv2.cvtColor(pixels, code, dst=pixels)


def png_end(data: bytes) -> int:
    """Return where a PNG ends; its chunks carry checksums.

    Raises:
        ValueError: if it is cut off, damaged or too large.
    """
    if not data.startswith(_PNG):
        raise _damaged("no header")
    at, seen = len(_PNG), False
    while True:
        length, kind = struct.unpack(">I4s", data[at : at + 8].ljust(8, b"\0"))
        end = at + 12 + length
        if end > len(data):
            raise _damaged("it is cut off")
        body = memoryview(data)[at + 4 : end - 4]
        if zlib.crc32(body) != struct.unpack(">I", data[end - 4 : end])[0]:
            raise _damaged(f"checksum at byte {end - 4}")
        if not seen:
            if kind != b"IHDR" or length != 13:
                raise _damaged("no header")
            width, height = struct.unpack(">II", body[4:12])
            check_size((height, width), "PNG")
        elif kind == b"IHDR":
            raise _damaged("two headers")
        seen = True
        if kind == b"IEND":
            return end
        at = end


def _damaged(what: str) -> ValueError:
    return ValueError(f"data: expected a whole JPEG or PNG, got a damaged PNG: {what}")


def _decode_other(data: bytes) -> np.ndarray:
    try:
        # One library for header and pixels: two could read two sizes from one file.
        with Image.open(io.BytesIO(data), formats=_OTHERS) as opened:
            check_size((opened.height, opened.width), str(opened.format))
            opened.load()
            if opened.mode in ("L", "RGB", "RGBA") or opened.mode.startswith("I;16"):
                pixels = np.array(opened)
            else:
                pixels = np.array(opened.convert("L" if opened.mode == "1" else "RGB"))
    except UnidentifiedImageError:
        raise ValueError(
            f"data: expected a JPEG or PNG, got {len(data)} bytes that start with {data[:8]!r} "
            "and are no TIFF, WebP or BMP either"
        ) from None
    except ValueError:
        raise
    except Exception as error:  # OSError, SyntaxError, struct.error, a bomb: whatever Pillow meets
        raise ValueError(f"data: expected a whole picture, got a damaged one: {error}") from None
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
