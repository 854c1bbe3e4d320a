"""Encodings that are left to cv_bridge, with stand-ins for it as there is no wheel of it."""

import array
import sys
import textwrap
from importlib import import_module

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from sensor_msgs.msg import Image

from ovseg_ros.nodes.cv_bridge_probe import cv_bridge_or_reason
from ovseg_ros.nodes.images import image_from_msg

SIXTEEN = np.array([[[0, 257 * 7, 65535], [257, 514, 257 * 200]]], np.uint16)  # (1, 2, 3)

# Works like the real one on rgb16, down to its error and to how it misreads padding and byte order.
WORKING = """
import numpy as np
class CvBridgeError(TypeError):
    pass
class CvBridge:
    def encoding_to_dtype_with_channels(self, encoding):
        if encoding == "32FC1":
            return "float32", 1
        if encoding != "rgb16":
            raise CvBridgeError(f"Unrecognized image encoding [{encoding}]")
        return "uint16", 3
    def imgmsg_to_cv2(self, message, desired):
        if message.encoding == "32FC1":
            raise CvBridgeError("[32FC1] is not a color format")
        assert (message.encoding, desired) == ("rgb16", "rgb8")
        if message.is_bigendian:
            raise AttributeError("newbyteorder")
        shape = message.height, message.step // 6, 3
        pixels = np.ndarray(shape, "<u2", buffer=message.data)
        return np.rint(pixels / 257).astype(np.uint8)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that makes a source importable as cv_bridge, here and in children."""

    def install(source):
        (tmp_path / "cv_bridge.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(tmp_path)

    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    cv_bridge_or_reason.cache_clear()
    yield install
    cv_bridge_or_reason.cache_clear()
    sys.modules.pop("cv_bridge", None)


def sixteen(*, encoding="rgb16", padding=0, big_endian=False):
    pixels = SIXTEEN.astype(">u2" if big_endian else "<u2")
    return Image(
        height=2,
        width=2,
        encoding=encoding,
        step=12 + padding,
        is_bigendian=int(big_endian),
        data=array.array("B", (pixels.tobytes() + b"\x4d" * padding) * 2),
    )


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("big_endian", [False, True])
def test_other_colours_are_left_to_cv_bridge(install, padding, big_endian):
    install(WORKING)
    image = image_from_msg(sixteen(padding=padding, big_endian=big_endian))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, [[[0, 7, 255], [1, 2, 200]]] * 2)


def test_plain_encodings_never_ask_it(install):
    install("raise RuntimeError('asked')")
    message = Image(height=1, width=1, encoding="bgr8", step=3, data=array.array("B", [1, 2, 3]))
    np.testing.assert_array_equal(image_from_msg(message), [[[3, 2, 1]]])
    assert "cv_bridge" not in sys.modules
    assert cv_bridge_or_reason.cache_info().misses == 0


def test_what_cv_bridge_refuses_is_refused_with_its_reason(install):
    install(WORKING)
    with pytest.raises(ValueError, match=r"got 'nv99' \(cv_bridge: Unrecognized .*nv99"):
        image_from_msg(sixteen(encoding="nv99"))
    with pytest.raises(ValueError, match=r"got '32FC1' \(cv_bridge: .* not a color format"):
        image_from_msg(sixteen(encoding="32FC1"))
    truncated = sixteen()
    truncated.data = truncated.data[:-1]
    with pytest.raises(ValueError, match="data: expected at least 24 bytes"):
        image_from_msg(truncated)


def test_without_cv_bridge_it_is_named(install, monkeypatch):
    monkeypatch.setattr(
        import_module("ovseg_ros.nodes.cv_bridge_probe"), "find_spec", lambda name: None
    )
    with pytest.raises(ValueError, match=r"rgb8.* got 'rgb16' \(cv_bridge is not installed\)"):
        image_from_msg(sixteen())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ImportError('numpy.core.multiarray failed to import')", "ImportError: numpy.core"),
        ("raise AttributeError('_ARRAY_API not found')", "AttributeError: _ARRAY_API not found"),
        # One built for NumPy 1 may be imported under NumPy 2 and crash when it is used.
        (
            """
            import os, signal
            class CvBridge:
                def imgmsg_to_cv2(self, message, desired):
                    os.kill(os.getpid(), signal.SIGSEGV)
            """,
            r"it crashes \(SIGSEGV\)",
        ),
    ],
)
def test_a_cv_bridge_for_another_numpy_is_told_and_does_no_harm(install, source, reason):
    install(source)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=f"cv_bridge does not work here, with NumPy .*{reason}"
        ):
            image_from_msg(sixteen())
    assert cv_bridge_or_reason.cache_info().misses == 1
