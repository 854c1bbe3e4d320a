"""Photographs from disk: any kind, any damage, and no larger than stated."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ovseg_ros.photographs import find_images, read_image, shrink

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
KINDS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")


def encoded(kind: str) -> bytes:
    data = io.BytesIO()
    Image.fromarray(PICTURE).save(data, kind)
    return data.getvalue()


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(30_000, 30_000), (2**31 - 1, 1), (14_000, 14_000)])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(*size))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"bomb\.png: not an image, or a damaged one"):
        read_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_limit_of_ones_own(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded("PNG"))
    assert read_image(path, max_pixels=192).shape == (12, 16, 3)
    with pytest.raises(ValueError, match="expected at most 191 pixels, got 16x12"):
        read_image(path, max_pixels=191)


def test_damaged_exif_turns_nothing(tmp_path: Path):
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PICTURE).save(path, exif=exif)
    assert read_image(path).shape == (16, 12, 3)
    assert read_image(path, oriented=False).shape == (12, 16, 3)
    path.write_bytes(path.read_bytes().replace(b"Exif\0\0MM\0*", b"Exif\0\0MM\xff\xff"))
    assert read_image(path).shape == (12, 16, 3)


@pytest.mark.filterwarnings("ignore")  # Pillow warns about what it then refuses or ignores
@pytest.mark.parametrize("kind", KINDS)
@given(at=st.integers(0, 5000), value=st.integers(0, 255), cut=st.booleans())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_gives_an_image_or_the_path(
    tmp_path: Path, kind: str, at: int, value: int, cut: bool
):
    data = bytearray(encoded(kind))
    at %= len(data)
    data[at] = value
    path = tmp_path / "a.img"
    path.write_bytes(data[:at] if cut else data)
    try:
        image = read_image(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: not an image")
    else:
        assert image.ndim == 3
        assert image.dtype == np.uint8


def test_folders_of_that_name_are_no_images(tmp_path: Path):
    (tmp_path / "a.jpg").mkdir()
    (tmp_path / "b.png").write_bytes(encoded("PNG"))
    assert find_images([tmp_path]) == [tmp_path / "b.png"]


def test_large_images_are_shrunk_to_the_longer_side():
    image = np.zeros((4, 6, 3), np.uint8)
    assert shrink(image, 6) is image
    assert shrink(image, 3).shape == (2, 3, 3)


@pytest.mark.parametrize("name", ["a.mcap", "a.db3"])
def test_a_bag_without_metadata_is_told_from_an_empty_folder(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"found none$"):
        find_images([tmp_path])
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=f"found none; .*`ros2 bag reindex {tmp_path}`"):
        find_images([tmp_path])
