"""Pictures of every kind: whole, of a size that is read first, and as they lie in the file."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ovseg_ros.codecs.limits import MAX_PIXELS, check_size
from ovseg_ros.codecs.pictures import decode

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (24, 32, 3), np.uint8)
DEEP = RNG.integers(0, 65536, (24, 32), np.uint16)


def encoded(suffix: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp", ".webp"])
def test_lossless_kinds_come_back(suffix: str):
    np.testing.assert_array_equal(decode(encoded(suffix, COLOUR[..., ::-1])), COLOUR)
    grey = decode(encoded(suffix, COLOUR[..., 0]))
    np.testing.assert_array_equal(grey if grey.ndim == 2 else grey[..., 1], COLOUR[..., 0])


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_stay(suffix: str):
    np.testing.assert_array_equal(decode(encoded(suffix, DEEP)), DEEP)


def test_sixteen_bits_of_colour_and_alpha_stay():
    deep = RNG.integers(0, 65536, (4, 5, 4), np.uint16)
    np.testing.assert_array_equal(decode(encoded(".png", deep))[..., [2, 1, 0, 3]], deep)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp", ".webp"])
@given(part=st.floats(0, 0.98))
@settings(max_examples=40, deadline=None)
def test_cut_anywhere_is_refused(suffix: str, part: float):
    data = encoded(suffix, COLOUR)
    with pytest.raises(ValueError, match="expected"):
        decode(data[: int(part * len(data))])


@given(at=st.integers(8, 3000), value=st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_any_wrong_byte_of_a_png_is_noticed(at: int, value: int):
    data = bytearray(encoded(".png", COLOUR))
    data[8 + at % (len(data) - 8)] ^= value
    with pytest.raises(ValueError, match="expected a whole JPEG or PNG, got a damaged PNG"):
        decode(bytes(data))


def test_a_png_may_have_a_tail():
    data = encoded(".png", COLOUR[..., ::-1])
    np.testing.assert_array_equal(decode(data + b"\0buffer"), COLOUR)


@pytest.mark.parametrize("suffix", [".tiff", ".bmp", ".webp"])
@given(at=st.integers(0, 3000), value=st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_any_wrong_byte_gives_a_picture_or_a_reason(suffix: str, at: int, value: int):
    data = bytearray(encoded(suffix, COLOUR))
    data[at % len(data)] = value
    try:
        decode(bytes(data))
    except ValueError as error:
        assert "expected" in str(error)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIIIII", 0, 0, 54, 40, width, height, 1, 24, *[0] * 6)


def tiff_header(width: int, height: int) -> bytes:
    small = io.BytesIO()
    Image.new("L", (3, 5)).save(small, "TIFF")
    data = bytearray(small.getvalue())
    offset = struct.unpack("<I", data[4:8])[0] + 2
    for entry in range(offset, offset + 24, 12):
        tag = struct.unpack("<H", data[entry : entry + 2])[0]
        if tag in (256, 257):
            data[entry + 2 : entry + 12] = struct.pack(
                "<HII", 4, 1, width if tag == 256 else height
            )
    return bytes(data)


def webp_header(width: int, height: int) -> bytes:
    small = io.BytesIO()
    Image.new("RGB", (3, 5)).save(small, "WEBP", lossless=True)
    data = bytearray(small.getvalue())
    data[21:25] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


@pytest.mark.parametrize("header", [png_header, bmp_header, tiff_header])
@pytest.mark.parametrize("size", [(30_000, 30_000), (65_535, 65_535), (40_000, 2), (9000, 8000)])
def test_a_bomb_is_refused_by_its_header(header, size: tuple[int, int]):
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"expected .*(at most|whole)"):
        decode(header(*size))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_webp_bomb_is_refused():
    with pytest.raises(ValueError, match=r"expected .*(at most|whole)"):
        decode(webp_header(16_383, 16_383))


def test_the_limit():
    check_size((8192, 8192), "PNG")
    assert MAX_PIXELS == 8192 * 8192
    for size in [(8193, 8192), (1, 32_768), (0, 1)]:
        with pytest.raises(ValueError, match="data: expected"):
            check_size(size, "PNG")


@pytest.mark.parametrize(
    "head", [b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM", b"RIFF\4\0\0\0WEBP"]
)
@given(data=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_a_reason(head: bytes, data: bytes):
    with pytest.raises(ValueError, match="expected"):
        decode(head + data)
