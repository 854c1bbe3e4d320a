"""A vision_msgs that is missing, broken or old: the node runs without it and says why."""

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

USED = ("Detection2D", "Detection2DArray", "LabelInfo", "ObjectHypothesisWithPose", "VisionClass")

# As rosidl's generated classes are, with a library that cannot be loaded.
BROKEN = """
class Meta(type):
    _TYPE_SUPPORT = None
    @classmethod
    def __import_type_support__(cls):
        raise OSError("libvision_msgs__rosidl_typesupport_c.so: undefined symbol: rosidl_other")
"""
OLD = "class Detection2D: pass\n"
FAILS_AT_ONCE = "raise RuntimeError('built for another Python')\n"

NODE = """
import sys, threading, rclpy
from fakes import build_fake_pipeline
from ovseg_ros.nodes.segmentation_node import SegmentationNode
rclpy.init()
node = SegmentationNode(build_fake_pipeline)
assert node.bring_up()
names = {name for name, _ in node.get_topic_names_and_types()}
assert "/segmentation_node/label_mask" in names
assert "/segmentation_node/label_info" not in names
node.close()
node.destroy_node()
rclpy.shutdown()
"""


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (BROKEN + "".join(f"class {n}(metaclass=Meta): pass\n" for n in USED), "undefined symbol"),
        (OLD, "no attribute|type support"),
        (FAILS_AT_ONCE, "built for another Python"),
    ],
)
def test_a_broken_one_is_a_warning(tmp_path, source, reason):
    package = tmp_path / "vision_msgs"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "msg.py").write_text(textwrap.dedent(source))
    here = os.path.dirname(__file__)
    ran = subprocess.run(
        [sys.executable, "-c", NODE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), here, *sys.path])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    (line,) = [line for line in ran.stderr.splitlines() if "vision_msgs does not work" in line]
    assert "WARN" in line
    assert any(part in line for part in reason.split("|")), line
