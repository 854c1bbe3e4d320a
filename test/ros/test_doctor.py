"""What `ovseg doctor` sees of a graph."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_pipeline
from sensor_msgs.msg import CompressedImage, Image

from ovseg_ros.cli import main
from ovseg_ros.doctor import ERROR, OK, ros_refuses
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
    assert said("left/image_raw", "/left/image_raw: raw, reliable").level == OK
    assert any(  # on a busy machine the camera may be heard of late
        all(
            "nobody sends" not in one.what for one in examine_graph("left/image_raw", wait_s=wait_s)
        )
        for wait_s in (1.0, 3.0, 8.0)
    )


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ROS_DOMAIN_ID", "abc", "ROS_DOMAIN_ID is not an integral number"),
        ("ROS_DOMAIN_ID", "500", "domainId is over 232"),
        ("RMW_IMPLEMENTATION", "rmw_none", "'rmw_none'"),
    ],
)
def test_settings_with_which_ros_does_not_start_are_findings(
    monkeypatch, capsys, name, value, reason
):
    assert ros_refuses() == ""
    monkeypatch.setenv(name, value)
    assert reason in ros_refuses()
    with pytest.raises(SystemExit) as end:
        main(["doctor"])
    out = capsys.readouterr().out
    assert end.value.code == 1
    assert "every Python package is there" in out
    assert "ROS 2 does not start: " in out and "-> unset RMW_IMPLEMENTATION ROS_DOMAIN_ID" in out
