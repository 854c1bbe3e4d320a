"""Camera messages to RGB and back."""

import array
import struct

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ovseg_ros.codecs.pictures import encode
from ovseg_ros.nodes.images import (
    ENCODINGS,
    depth_from_msg,
    image_from_msg,
    image_to_msg,
    jpeg_to_msg,
    labels_from_msg,
    labels_to_msg,
)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
RGB = np.array([[RED, GREEN], [BLUE, (10, 20, 30)]], np.uint8)  # (2, 2, 3)

images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))
masks = hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def raw(pixels, encoding, *, padding=0, big_endian=False):
    """Return a message with ``padding`` bytes behind each row."""
    pixels = np.ascontiguousarray(pixels)
    if pixels.itemsize > 1:
        pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        is_bigendian=int(big_endian),
        data=array.array("B", rows.tobytes()),
    )


@given(image=images, padding=st.integers(0, 5), alpha=st.integers(0, 255))
@settings(max_examples=50, deadline=None)
def test_colour_encodings_give_the_same_picture(image, padding, alpha):
    opacity = np.full((*image.shape[:2], 1), alpha, np.uint8)
    for encoding, pixels in {
        "rgb8": image,
        "bgr8": image[..., ::-1],
        "rgba8": np.concatenate([image, opacity], axis=-1),
        "bgra8": np.concatenate([image[..., ::-1], opacity], axis=-1),
    }.items():
        decoded = image_from_msg(raw(pixels, encoding, padding=padding))
        np.testing.assert_array_equal(decoded, image, err_msg=encoding)


@given(image=images)
@settings(max_examples=25, deadline=None)
def test_image_round_trip(image):
    message = image_to_msg(image, "rgb8", Header(frame_id="camera"))
    assert message.header.frame_id == "camera"
    np.testing.assert_array_equal(image_from_msg(message), image)


@given(mask=masks)
@settings(max_examples=25, deadline=None)
def test_labels_round_trip(mask):
    np.testing.assert_array_equal(labels_from_msg(labels_to_msg(mask, "16UC1", Header())), mask)
    small = (mask % 255).astype(np.uint8)
    np.testing.assert_array_equal(labels_from_msg(labels_to_msg(small, "mono8", Header())), small)


@pytest.mark.parametrize("encoding", ["rgb8", "rgba8"])
def test_decoding_makes_no_copy(encoding):
    message = raw(np.zeros((4, 6, len(encoding) - 1), np.uint8), encoding, padding=3)
    decoded = image_from_msg(message)
    assert np.shares_memory(decoded, np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize("big_endian", [False, True])
def test_sixteen_bits(big_endian):
    pixels = np.array([[0x0000, 0x1234], [0x8000, 0xFFFF]], np.uint16)
    decoded = image_from_msg(raw(pixels, "mono16", big_endian=big_endian, padding=2))
    np.testing.assert_array_equal(decoded[..., 0], [[0x00, 0x12], [0x80, 0xFF]])
    stretched = image_from_msg(raw(pixels // 16, "16UC1", big_endian=big_endian))
    np.testing.assert_array_equal(stretched[..., 1], [[0, 18], [128, 255]])


def test_mono8_is_grey():
    decoded = image_from_msg(raw(np.array([[7, 200]], np.uint8), "mono8"))
    np.testing.assert_array_equal(decoded, [[[7, 7, 7], [200, 200, 200]]])


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_shows_the_colour_of_its_sites(pattern, bits):
    colour = {"r": 200, "g": 100, "b": 50}
    tile = np.array([colour[letter] for letter in pattern], np.uint16).reshape(2, 2)
    sites = np.tile(tile, (8, 8)) << (bits - 8)
    decoded = image_from_msg(raw(sites.astype(f"u{bits // 8}"), f"bayer_{pattern}{bits}"))
    np.testing.assert_array_equal(decoded[8, 8], [200, 100, 50])


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
def test_yuv422(encoding):
    grey = np.full((2, 4, 2), 128, np.uint8)
    grey[..., 1 if encoding in ("yuv422", "uyvy") else 0] = 180
    decoded = image_from_msg(raw(grey, encoding))
    assert decoded.shape == (2, 4, 3)
    assert np.ptp(decoded) == 0  # no colour: luminance and chrominance are told apart
    assert abs(int(decoded[0, 0, 0]) - 191) <= 1  # (180 - 16) * 255 / 219


def test_depth_in_metres():
    millimetres = np.array([[0, 1500]], np.uint16)
    np.testing.assert_allclose(depth_from_msg(raw(millimetres, "16UC1")), [[0, 1.5]])
    metres = np.array([[np.nan, 2.25]], np.float32)
    np.testing.assert_array_equal(depth_from_msg(raw(metres, "32FC1")), metres)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_compressed(suffix):
    image = np.zeros((32, 48, 3), np.uint8)
    image[:, 24:] = RED
    data = cv2.imencode(suffix, image[..., ::-1])[1]
    message = CompressedImage(format=suffix[1:], data=array.array("B", data.tobytes()))
    decoded = image_from_msg(message)
    assert decoded.shape == image.shape
    # JPEG halves the resolution of colours, so that they bleed over the edge.
    np.testing.assert_allclose(decoded[:, [8, 40]], image[:, [8, 40]], atol=2)


def test_jpeg_round_trip():
    image = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    np.testing.assert_allclose(image_from_msg(jpeg_to_msg(encode(image), Header())), image, atol=3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0.1, 0.6, 0.97])
def test_truncated_pictures_are_refused(suffix, kept):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = cv2.imencode(suffix, noise)[1].tobytes()
    message = CompressedImage(data=array.array("B", data[: int(len(data) * kept)]))
    with pytest.raises(ValueError, match="expected a whole JPEG or PNG"):
        image_from_msg(message)


def with_exif(jpeg, orientation):
    """Return a JPEG that asks to be turned."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    body = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + jpeg[2:]


def compressed(data, format_=""):
    return CompressedImage(format=format_, data=array.array("B", data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_nothing(orientation):
    """Intrinsics and depth belong to the sensor's own rows and columns."""
    image = np.zeros((32, 48, 3), np.uint8)
    image[:, 24:] = RED
    plain = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
    turned = cv2.imdecode(np.frombuffer(with_exif(plain, 6), np.uint8), cv2.IMREAD_COLOR)
    assert turned.shape == (48, 32, 3)  # what OpenCV makes of it unless told otherwise
    decoded = image_from_msg(compressed(with_exif(plain, orientation), "jpeg"))
    np.testing.assert_array_equal(decoded, image_from_msg(compressed(plain, "jpeg")))


def test_what_usb_cam_sends():
    """A whole JPEG, and behind it what the buffer held before."""
    jpeg = cv2.imencode(".jpg", np.full((32, 48, 3), 90, np.uint8))[1].tobytes()
    for tail in (bytes(5000), jpeg[100:], b"\xff\xd9\xff\xd8"):
        assert image_from_msg(compressed(jpeg + tail, "jpeg")).shape == (32, 48, 3)


MOSAIC = np.tile(np.array([[200, 100], [100, 50]], np.uint16), (8, 8))  # red, green, green, blue


@pytest.mark.parametrize(
    ("encoding", "suffix", "pixels"),
    [
        ("bayer_rggb8", ".png", MOSAIC.astype(np.uint8)),
        ("bayer_bggr8", ".png", MOSAIC.astype(np.uint8)),
        ("bayer_gbrg16", ".png", MOSAIC << 8),
        ("bayer_grbg16", ".tiff", MOSAIC << 8),
        ("16UC1", ".png", MOSAIC * 30),
        ("16UC1", ".tiff", MOSAIC * 30),
        ("mono16", ".png", MOSAIC * 30),
        ("mono8", ".png", MOSAIC.astype(np.uint8)),
    ],
)
def test_the_named_encoding_is_decoded_as_raw_is(encoding, suffix, pixels):
    """What compressed_image_transport writes for encodings without colour: their own values."""
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    kind = "tiff" if suffix == ".tiff" else "png"
    decoded = image_from_msg(compressed(data, f"{encoding}; {kind} compressed "))
    np.testing.assert_array_equal(decoded, image_from_msg(raw(pixels, encoding)))


def test_a_bayer_mosaic_in_a_jpeg():
    mosaic = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (16, 16))
    data = cv2.imencode(".jpg", mosaic, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    decoded = image_from_msg(compressed(data, "bayer_rggb8; jpeg compressed "))
    np.testing.assert_allclose(decoded[8, 8].astype(int), [200, 100, 50], atol=6)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "rgb16", "bgr16"])
def test_colours_are_converted_before_they_are_compressed(encoding):
    """With its target named; the camera's order of channels is then over and done with."""
    bits = 16 if encoding.endswith("16") else 8
    pixels = RGB[..., ::-1].astype(f"u{bits // 8}") << (bits - 8)
    data = cv2.imencode(".png", pixels)[1].tobytes()
    named = f"{encoding}; png compressed bgr{bits}"
    np.testing.assert_array_equal(image_from_msg(compressed(data, named)), RGB)
    np.testing.assert_array_equal(image_from_msg(compressed(data, "png")), RGB)


@pytest.mark.parametrize(("encoding", "suffix"), [("rgb8", ".tiff"), ("bgr8", ".tiff")])
def test_colours_that_are_not_converted_keep_their_order(encoding, suffix):
    """An encoder takes the first channel for blue, whatever it is; so does this decoder."""
    values = RGB if encoding == "rgb8" else RGB[..., ::-1]
    data = cv2.imencode(suffix, np.ascontiguousarray(values))[1].tobytes()
    decoded = image_from_msg(compressed(data, f"{encoding}; tiff compressed "))
    np.testing.assert_array_equal(decoded, RGB)


@pytest.mark.parametrize("codec", ["png", "rvl", ""])
@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_compressed_depth_is_refused_by_name(encoding, codec):
    data = bytes(12) + cv2.imencode(".png", np.ones((4, 4), np.uint16))[1].tobytes()
    with pytest.raises(ValueError, match=r"format: expected colours, got .*compressedDepth"):
        image_from_msg(compressed(data, f"{encoding}; compressedDepth {codec}"))


def yuv_planes(image, encoding, step):
    """Return an image of planes with padded rows, made with OpenCV's I420 from an RGB one."""
    height, width = image.shape[:2]
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    light, colour = np.split(planes, [height * width])
    blue, red = colour.reshape(2, height // 2, width // 2)
    if encoding == "nv24":
        blue, red = (np.kron(c, np.ones((2, 2), np.uint8)) for c in (blue, red))
    order = [red, blue] if encoding == "nv21" else [blue, red]
    pairs = np.stack(order, axis=-1).reshape(len(blue), -1)
    wide = step * (2 if encoding == "nv24" else 1)
    rows = [
        np.pad(light.reshape(height, width), ((0, 0), (0, step - width))).reshape(-1),
        np.pad(pairs, ((0, 0), (0, wide - pairs.shape[1]))).reshape(-1),
    ]
    data = array.array("B", np.concatenate(rows).tobytes())
    return Image(height=height, width=width, step=step, encoding=encoding, data=data)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", ["nv12", "nv21", "nv24"])
def test_planes_of_light_and_colour(encoding, padding):
    image = np.kron(RGB, np.ones((4, 4, 1), np.uint8))
    message = yuv_planes(image, encoding, image.shape[1] + padding)
    np.testing.assert_allclose(image_from_msg(message).astype(int), image, atol=3)
    message.data = message.data[: len(message.data) * 2 // 3 - 8]
    with pytest.raises(ValueError, match="data: expected at least"):
        image_from_msg(message)


def test_planes_of_odd_size():
    for width, height in [(3, 4), (4, 3)]:
        message = Image(height=height, width=width, step=4, encoding="nv12")
        message.data = array.array("B", bytes(64))
        with pytest.raises(ValueError, match="even"):
            image_from_msg(message)


def test_a_frame_beyond_the_limit_is_refused():
    side = 8200  # 67.2 million pixels
    message = Image(height=side, width=side, step=side, encoding="mono8")
    message.data = array.array("B", bytes(side * side))
    with pytest.raises(ValueError, match="at most 67108864 pixels"):
        image_from_msg(message)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoding": "rgb9"}, r"encoding: expected one of .*rgb8.* got 'rgb9'"),
        ({"width": 0}, "at least one pixel"),
        ({"step": 5}, "step: expected at least 6 bytes for 2x2 rgb8, got 5"),
        ({"height": 1000}, "data: expected at least 6000 bytes .* got 12"),
        ({"width": 2**31, "step": 2**32 - 1}, "step: expected at least"),
        ({"data": array.array("B")}, "data: expected at least 12 bytes .* got 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, reason):
    message = raw(RGB, "rgb8")
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ValueError, match=reason):
        image_from_msg(message)


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match="expected a JPEG or PNG, got 5 bytes"):
        image_from_msg(CompressedImage(data=array.array("B", b"hello")))
    with pytest.raises(ValueError, match="even"):
        image_from_msg(raw(np.zeros((3, 3), np.uint8), "bayer_rggb8"))
    with pytest.raises(ValueError, match="16UC1 or 32FC1"):
        depth_from_msg(raw(RGB, "rgb8"))


@given(
    encoding=st.sampled_from(ENCODINGS),
    height=st.integers(0, 40),
    width=st.integers(0, 40),
    step=st.integers(0, 200),
    data=st.binary(max_size=400),
)
@settings(max_examples=200, deadline=None)
def test_any_header_gives_a_picture_or_a_reason(encoding, height, width, step, data):
    message = Image(
        height=height, width=width, step=step, encoding=encoding, data=array.array("B", data)
    )
    try:
        image = image_from_msg(message)
    except ValueError as error:
        assert "expected" in str(error)
    else:
        assert image.shape == (height, width, 3)
        assert image.dtype == np.uint8
