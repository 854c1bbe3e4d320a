"""The RViz and Foxglove layouts: they parse, and every topic in them is there."""

import json
import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_discoverer, build_fake_pipeline
from test_graph import source

from ovseg_ros.nodes.camera_node import CameraNode
from ovseg_ros.nodes.discovery_node import DiscoveryNode
from ovseg_ros.nodes.segmentation_node import SegmentationNode

ROOT = Path(__file__).parents[2]
RVIZ_TYPES = {
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
    "rviz_default_plugins/PointCloud2": "sensor_msgs/msg/PointCloud2",
}
FOXGLOVE_TYPES = {
    "imageTopic": "sensor_msgs/msg/Image",
    "calibrationTopic": "sensor_msgs/msg/CameraInfo",
    "topicToRender": "diagnostic_msgs/msg/DiagnosticArray",
}


@pytest.fixture(scope="module")
def topics(shared_graph):
    """Provide the types of all topics of the whole graph, by name."""
    camera = {"image_topics": ["/camera/image_raw"]}
    shared_graph.add(CameraNode, source)
    shared_graph.add(SegmentationNode, build_fake_pipeline, depth_topic="/depth", **camera)
    shared_graph.add(DiscoveryNode, build_fake_discoverer, **camera)
    client = shared_graph.client
    shared_graph.wait(lambda: client.count_publishers("/segmentation_node/points"))
    return {name: types[0] for name, types in client.get_topic_names_and_types()}


def panels(layout):
    """Yield the names of the panels that a Foxglove layout shows."""
    if isinstance(layout, str):
        yield layout
    else:
        yield from panels(layout["first"])
        yield from panels(layout["second"])


def test_rviz(topics):
    layout = yaml.safe_load((ROOT / "rviz" / "ovseg.rviz").read_text())
    displays = layout["Visualization Manager"]["Displays"]
    assert len(displays) >= 3
    for display in displays:
        assert topics.get(display["Topic"]["Value"]) == RVIZ_TYPES[display["Class"]], display


def test_foxglove(topics):
    layout = json.loads((ROOT / "foxglove" / "ovseg.json").read_text())
    configs = layout["configById"]
    assert set(panels(layout["layout"])) == set(configs)
    seen = 0
    for config in configs.values():
        for key, value in {**config, **config.get("imageMode", {})}.items():
            if key in FOXGLOVE_TYPES:
                assert topics.get(value) == FOXGLOVE_TYPES[key], value
                seen += 1
        paths = [config.get("topicPath"), *(path["value"] for path in config.get("paths", ()))]
        for path in filter(None, paths):
            topic, _, fields = path.partition(".")
            assert topic in topics, path
            package, _, name = topics[topic].split("/")
            assert package == "ovseg_ros"
            text = (ROOT / "msg" / f"{name}.msg").read_text()
            assert re.search(rf"\b{re.escape(fields.partition('[')[0])}\b", text), path
            seen += 1
    assert seen >= 6
