"""The pages of the nodes name the topics and services that the running nodes have."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_discoverer, build_fake_pipeline
from test_graph import source

from ovseg_ros.nodes.camera_node import CameraNode
from ovseg_ros.nodes.discovery_node import DiscoveryNode
from ovseg_ros.nodes.evaluation_node import EvaluationNode
from ovseg_ros.nodes.segmentation_node import SegmentationNode

SCRIPT = Path(__file__).parents[2] / "scripts" / "node_pages.py"
PAGES = runpy.run_path(str(SCRIPT), run_name="pages")["PAGES"]
HIDDEN = ("/rosout", "/parameter_events", "/transition_event")


@pytest.mark.parametrize(
    ("name", "make", "build"),
    [
        ("segmentation_node", SegmentationNode, [build_fake_pipeline]),
        ("discovery_node", DiscoveryNode, [build_fake_discoverer]),
        ("camera_node", CameraNode, [source]),
        ("evaluation_node", EvaluationNode, []),
    ],
)
def test_topics_and_services(graph, name, make, build):
    more = {"depth_topic": "/depth"} if name == "segmentation_node" else {}
    graph.add(make, *build, **more)
    page = PAGES[name]

    def full(rows, needless):
        topics = {row[0].strip("`"): row[1].strip("`") for row in rows if needless not in row[2]}
        return {
            (topic.replace("~", f"/{name}") if topic[0] in "~/" else f"/{topic}")
            for topic in topics
        }

    def there(found):
        return {topic for topic, _ in found if not topic.endswith(HIDDEN)}

    client = graph.client
    outputs = full(page["outputs"], "where vision_msgs is installed")
    graph.wait(lambda: outputs <= there(client.get_publisher_names_and_types_by_node(name, "/")))
    published = client.get_publisher_names_and_types_by_node(name, "/")
    kinds = {topic: types[0] for topic, types in published if not topic.endswith(HIDDEN)}
    assert {topic for topic, kind in kinds.items() if "vision_msgs" not in kind} == outputs
    services = {
        service
        for service, kinds in client.get_service_names_and_types_by_node(name, "/")
        if kinds[0].startswith(("ovseg_ros/", "std_srvs/"))
    }
    assert services == full(page["services"], "nothing")
