"""What `ovseg doctor` sees of a graph."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_pipeline
from sensor_msgs.msg import CompressedImage, Image

from ovseg_ros.doctor import ERROR, OK
from ovseg_ros.nodes.doctor import examine_graph
from ovseg_ros.nodes.segmentation_node import SegmentationNode


def said(image, part):
    """The first finding about the cameras or nodes that says this, once the graph is known."""
    for wait_s in (1.0, 3.0, 8.0):
        for one in examine_graph(image, wait_s=wait_s):
            if part in one.what:
                return one
    raise AssertionError(f"nothing says {part!r}")


def test_cameras_and_nodes(graph):
    found = said("/camera/image_raw", "nobody sends images")
    assert (found.level, found.remedy) == (ERROR, "ovseg up --camera sim")
    graph.client.create_publisher(CompressedImage, "/front/image_raw/compressed", 5)
    found = said("/front/image_raw", "compressed only")
    assert found.remedy == "ovseg up --image /front/image_raw --image-transport compressed"
    found = said("/camera/image_raw", "nobody sends /camera/image_raw")
    assert found.remedy == "ovseg up --image /front/image_raw --image-transport compressed"
    graph.client.create_publisher(Image, "/left/image_raw", 5)
    assert said("/left/image_raw", "/left/image_raw: raw, reliable").level == OK
    graph.add(SegmentationNode, build_fake_pipeline, up=False)
    assert said("/left/image_raw", "/segmentation_node runs").level == OK
    assert said("/left/image_raw", "discovery_node does not run").remedy == "ovseg up"
