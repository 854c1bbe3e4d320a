"""JPEGs are judged by their markers, and by libjpeg-turbo's doubts."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovseg_ros.codecs.jpeg import decode, inspect

RNG = np.random.default_rng(0)
PICTURE = cv2.GaussianBlur(RNG.integers(0, 256, (96, 128, 3), np.uint8), (0, 0), 2)
KINDS = {
    "plain": [],
    "restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 3],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "optimised": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    "444": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
}


def encoded(kind: str = "plain", picture: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(".jpg", picture, KINDS[kind])[1].tobytes()


def scan_start(data: bytes) -> int:
    at = data.rindex(b"\xff\xda")
    return at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]


@pytest.mark.parametrize("kind", KINDS)
def test_whole_ones_are_what_opencv_decodes(kind: str):
    data = encoded(kind)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert inspect(data).size_hw == (96, 128)
    np.testing.assert_allclose(decode(data), expected, atol=1)
    np.testing.assert_array_equal(
        decode(encoded(kind, PICTURE[..., 0])).shape, PICTURE.shape[:2], err_msg="grey"
    )


@pytest.mark.parametrize("kind", KINDS)
@given(
    tail=st.one_of(st.binary(max_size=200), st.just(b"\xff\xd8\xff\xe0old"), st.just(b"\xff" * 9))
)
@settings(max_examples=20, deadline=None)
def test_what_follows_the_end_is_ignored(kind: str, tail: bytes):
    data = encoded(kind)
    assert inspect(data + tail).end == len(data)
    np.testing.assert_array_equal(decode(data + tail), decode(data))


@pytest.mark.parametrize("kind", KINDS)
@given(part=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_cut_anywhere_is_refused(kind: str, part: float):
    data = encoded(kind)
    with pytest.raises(ValueError, match="expected"):
        decode(data[: 2 + int(part * (len(data) - 3))])


def test_an_end_that_belongs_to_something_else_ends_nothing():
    """A thumbnail has its own EOI, inside a segment; a cut picture may be followed by an EOI."""
    thumbnail = encoded(picture=PICTURE[:16, :16])
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    data = encoded()
    assert inspect(data[:2] + segment + data[2:]).end == len(data) + len(segment)
    with pytest.raises(ValueError, match="cut off"):
        decode((data[:2] + segment + data[2:])[: -len(data) // 2])


def test_damage_that_the_markers_show():
    data, restarts = encoded(), encoded("restarts")
    start = scan_start(data)
    middle = (start + len(data)) // 2
    third = restarts.index(b"\xff\xd2", scan_start(restarts))
    fourth = restarts.index(b"\xff\xd3", scan_start(restarts))
    late = max(restarts.rfind(bytes([0xFF, 0xD0 + number])) for number in range(8))
    for broken, reason in {
        data[:middle] + bytes(100) + data[middle + 100 :]: "hole of zeros",
        data[:middle] + data[: len(data)]: "marker FFD8",
        data[:middle] + b"\xff\xd4" + data[middle:]: "restart marker 4 out of turn",
        data[:start] + b"\xff\xd9": "without data",
        data[:2] + b"\0" + data[2:]: "no marker at byte 2",
        data[:2] + data[-2:]: "no scan",
        restarts[:third] + restarts[fourth:]: "restart marker 3 out of turn",
        restarts[: late - 200] + b"\xff\xd9": "restart markers, got",
    }.items():
        with pytest.raises(ValueError, match=reason):
            decode(broken)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_inside_the_data_is_refused(kind: str):
    """A lost packet (a hole or a cut), another packet in its place, or one sent twice."""
    data, random = encoded(kind), np.random.default_rng(1)
    start = data.index(b"\xff\xda") + 14
    passed = {"cut": 0, "noise": 0, "twice": 0}
    for _ in range(100):
        at, size = int(random.integers(start, len(data) - 400)), int(random.integers(100, 400))
        noise = random.integers(0, 256, size, np.uint8).tobytes()
        for name, broken in {
            "cut": data[:at] + data[at + size :],
            "noise": data[:at] + noise + data[at + size :],
            "twice": data[:at] + data[at - size :],
        }.items():
            try:
                decode(broken)
            except ValueError:
                continue
            passed[name] += 1
    # Some damage decodes to as many blocks as were there: nothing in a JPEG could tell.
    assert sum(passed.values()) <= 30, passed


def test_flat_pictures_are_whole():
    """Black frames (a covered lens) may have long runs of zeros; grey ends are no damage."""
    for level in (0, 128, 255):
        flat = np.full((240, 320, 3), level, np.uint8)
        for kind in KINDS:
            assert np.abs(decode(encoded(kind, flat)).astype(int) - level).max() <= 1


def test_bytes_that_fill_a_scan_up_are_no_damage():
    data = encoded()
    for spare in (b"\0", b"\0" * 4, b"\xff", b"\xff" * 5):
        assert decode(data[:-2] + spare + data[-2:]).shape == PICTURE.shape


def test_sizes_are_read_before_anything_is_decoded():
    data = encoded()
    at = data.index(b"\xff\xc0") + 5
    for height, width, reason in [
        (65535, 65535, "at most"),
        (0, 9, "one pixel"),
        (9, 0, "one pixel"),
    ]:
        with pytest.raises(ValueError, match=reason):
            decode(data[:at] + struct.pack(">HH", height, width) + data[at + 4 :])
    scan = data[data.index(b"\xff\xda") : -2]
    with pytest.raises(ValueError, match="at most 64 scans"):
        decode(data[:-2] + scan * 70 + b"\xff\xd9")


@given(data=st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_a_picture_or_a_reason(data: bytes):
    with pytest.raises(ValueError, match="expected"):
        decode(b"\xff\xd8" + data)


@given(at=st.integers(2, 2000), value=st.integers(0, 255), kind=st.sampled_from(sorted(KINDS)))
@settings(max_examples=300, deadline=None)
def test_any_wrong_byte_gives_a_picture_or_a_reason(at: int, value: int, kind: str):
    data = bytearray(encoded(kind))
    data[at % len(data)] = value
    try:
        assert decode(bytes(data)).dtype == np.uint8
    except ValueError as error:
        assert "expected" in str(error)
