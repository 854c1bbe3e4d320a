"""Labelled points as messages, with and without sensor_msgs_py."""

import array
import importlib
import sys
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from ovseg_ros.nodes import point_cloud
from ovseg_ros.nodes.point_cloud import POINT, cloud_to_msg

HEADER = Header(stamp=Time(sec=3, nanosec=4), frame_id="camera")
POINTS = np.zeros(2, POINT)  # np.array would leave the padding uninitialised
POINTS[:] = [(1, 2, 3, 0x00FF8001, 258), (-0.5, 0, 9, 0x007F8001, 1)]
NUMPY_OF = {4: "<u2", 7: "<f4"}  # PointField.UINT16, FLOAT32


def create_cloud(header, fields, points, point_step=None):
    """Check and write what sensor_msgs_py's function of that name checks and writes."""
    dtype = np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [NUMPY_OF[field.datatype] for field in fields],
            "offsets": [field.offset for field in fields],
            "itemsize": point_step,
        }
    )
    assert points.dtype == dtype
    message = PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        point_step=dtype.itemsize,
        row_step=dtype.itemsize * len(points),
        is_dense=False,
    )
    message.data = array.array("B", memoryview(points).cast("B").tobytes())
    return message


@pytest.fixture
def reload_with(monkeypatch):
    """Return a function that imports point_cloud anew, with what sensor_msgs_py then gives."""

    def reload_with(function):
        package, module = ModuleType("sensor_msgs_py"), ModuleType("sensor_msgs_py.point_cloud2")
        if function is not None:
            module.create_cloud = function
        package.point_cloud2 = module
        monkeypatch.setitem(sys.modules, package.__name__, package)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        importlib.reload(point_cloud)

    yield reload_with
    monkeypatch.undo()
    importlib.reload(point_cloud)


def test_own_message(monkeypatch):
    monkeypatch.setattr(point_cloud, "create_cloud", None)
    message = cloud_to_msg(POINTS, HEADER)
    # By hand: little-endian 1.0, 2.0, 3.0, 0x00FF8001, 258 and two bytes of padding.
    assert message.data[:20].tobytes().hex() == "0000803f00000040000040400180ff0002010000"
    assert [(f.name, f.offset, f.datatype, f.count) for f in message.fields] == [
        ("x", 0, 7, 1),
        ("y", 4, 7, 1),
        ("z", 8, 7, 1),
        ("rgb", 12, 7, 1),
        ("label", 16, 4, 1),
    ]
    assert (message.height, message.width, message.point_step, message.row_step) == (1, 2, 20, 40)
    assert message.is_dense


@pytest.mark.parametrize("points", [POINTS, POINTS[:0]], ids=["points", "empty"])
def test_sensor_msgs_py_writes_the_same(reload_with, points):
    calls = []

    def counted(header, fields, points, point_step=None):
        calls.append(len(points))
        return create_cloud(header, fields, points, point_step)

    reload_with(None)
    own = point_cloud.cloud_to_msg(points, HEADER)
    assert not calls
    reload_with(counted)
    assert point_cloud.cloud_to_msg(points, HEADER) == own
    assert calls == ([2] if len(points) else [])  # create_cloud cannot cast an empty array


def test_a_sensor_msgs_py_without_padding_is_not_used(reload_with):
    reload_with(lambda header, fields, points: pytest.fail("Humble's refuses padded points"))
    assert point_cloud.cloud_to_msg(POINTS, HEADER).width == 2


def test_the_installed_sensor_msgs_py_reads_it_back():
    reader = pytest.importorskip("sensor_msgs_py.point_cloud2", reason="comes with ROS 2")
    points = reader.read_points(cloud_to_msg(POINTS, HEADER))
    for name in ("x", "y", "z", "label"):
        np.testing.assert_array_equal(points[name], POINTS[name])
    np.testing.assert_array_equal(points["rgb"].view("<u4"), POINTS["rgb"])
