"""The RViz and Foxglove layouts: they parse, and every topic in them is there."""

import json
import re
from functools import partial
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_discoverer, build_fake_pipeline
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from ovseg_ros.layouts import check_ros_name, layout
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


GRAPHS = {
    "default": {},
    "namespace": {"namespace": "robot1"},
    "own camera": {"image": "/front/rgb/image"},
    "several cameras": {"image_topics": ["/left/image_raw", "/right/image_raw"]},
}
"""Arguments of the launch files that change names."""


class Camera(Node):
    """A driver: pictures and intrinsics under the names that a layout expects."""

    def __init__(self, topics, **options):
        """Advertise."""
        super().__init__("driver", **options)
        for topic in topics:
            self.create_publisher(Image, topic, 1)
            self.create_publisher(CameraInfo, f"{topic.rpartition('/')[0]}/camera_info", 1)


@pytest.fixture(scope="module", params=GRAPHS.values(), ids=GRAPHS)
def launched(request, new_graph):
    """Provide the types of all topics of a whole graph by name, and its arguments."""
    graph, arguments = new_graph(apart=True), request.param
    space = {"namespace": arguments.get("namespace", "")}
    names = arguments.get("image_topics") or [arguments.get("image", "camera/image_raw")]
    camera = {"image_topics": names}
    driver = Camera(names, context=graph.context, **space)
    graph.add(partial(SegmentationNode, **space), build_fake_pipeline, depth_topic="/d", **camera)
    graph.add(partial(DiscoveryNode, **space), build_fake_discoverer, **camera)
    node = f"{space['namespace']}/segmentation_node".lstrip("/")
    graph.wait(lambda: graph.client.count_publishers(f"/{node}/points"))
    topics = {name: types[0] for name, types in graph.client.get_topic_names_and_types()}
    yield topics, arguments
    graph.close()
    driver.destroy_node()


def panels(tree):
    """Yield the names of the panels that a Foxglove layout shows."""
    if isinstance(tree, str):
        yield tree
    else:
        yield from panels(tree["first"])
        yield from panels(tree["second"])


def test_rviz(launched):
    topics, arguments = launched
    shown = yaml.safe_load(layout("rviz", **arguments))
    displays = shown["Visualization Manager"]["Displays"]
    assert len(displays) >= 3
    for display in displays:
        assert topics.get(display["Topic"]["Value"]) == RVIZ_TYPES[display["Class"]], display


def test_foxglove(launched):
    topics, arguments = launched
    shown = json.loads(layout("foxglove", **arguments))
    configs = shown["configById"]
    assert set(panels(shown["layout"])) == set(configs)
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


def test_the_default_graph_needs_no_other_layout():
    for kind, file in (("rviz", "rviz/ovseg.rviz"), ("foxglove", "foxglove/ovseg.json")):
        assert layout(kind) == (ROOT / file).read_text()


def test_rviz_has_the_frame_of_the_camera():
    shown = yaml.safe_load(layout("rviz", frame="front_optical"))
    assert shown["Visualization Manager"]["Global Options"]["Fixed Frame"] == "front_optical"


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="expected rviz or foxglove, got 'plotjuggler'"):
        layout("plotjuggler")


@pytest.mark.parametrize("name", ["bad name", "a-b", "2nd", "a//b", 'x"y', "café"])
@pytest.mark.parametrize("option", ["namespace", "image", "image_topics"])
def test_what_is_no_name_of_ros_is_refused(option, name):
    values = {option: ["/left/image", name] if option == "image_topics" else name}
    with pytest.raises(ValueError, match=f"{option.split('_')[0]}: expected letters, .* got"):
        layout("rviz", **values)


@pytest.mark.parametrize("name", ["", "robot1", "/robot1/", "a/b_2", "~/image", "/"])
def test_names_of_ros_pass(name):
    check_ros_name("image", name)
