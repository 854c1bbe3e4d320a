"""The SROS2 policy allows what the nodes do, and nobody but the operator changes anything."""

from fnmatch import fnmatch
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_discoverer, build_fake_pipeline

from ovseg_ros.nodes.camera_node import CameraNode
from ovseg_ros.nodes.discovery_node import DiscoveryNode
from ovseg_ros.nodes.segmentation_node import SegmentationNode

POLICY = Path(__file__).parents[2] / "config" / "sros2_policy.xml"
CAMERA = "/camera/image_raw"


def allowed(node, kind, right):
    """Return the patterns a node's profile allows, with full names."""
    (profile,) = ElementTree.parse(POLICY).findall(f".//profile[@node='{node}']")
    return [
        entry.text.replace("~", f"/{node}", 1)
        for rules in profile.findall(kind)
        if rules.get(right) == "ALLOW"
        for entry in rules
    ]


def may(node, kind, right, name):
    return any(fnmatch(name, pattern) for pattern in allowed(node, kind, right))


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_the_nodes_may_do_what_they_do(graph, transport):
    camera = {"image_topics": [CAMERA], "image_transport": transport}
    depth = {"depth_topic": "/camera/depth/image_raw", "camera_info_topic": "/camera/camera_info"}
    graph.add(SegmentationNode, build_fake_pipeline, **camera, **depth)
    graph.add(DiscoveryNode, build_fake_discoverer, **camera)
    graph.add(CameraNode)
    for node in graph.nodes:
        asked = {
            ("topics", "publish"): graph.client.get_publisher_names_and_types_by_node,
            ("topics", "subscribe"): graph.client.get_subscriber_names_and_types_by_node,
            ("services", "reply"): graph.client.get_service_names_and_types_by_node,
            ("services", "request"): graph.client.get_client_names_and_types_by_node,
        }
        for (kind, right), ask in asked.items():
            graph.wait(lambda ask=ask, node=node: _known(ask, node) is not None)
            names = [name for name, _ in _known(ask, node)]
            wrong = [name for name in names if not may(node.get_name(), kind, right, name)]
            assert wrong == [], f"{node.get_name()} may not {right} these {kind}"


def _known(ask, node):
    try:
        return ask(node.get_name(), node.get_namespace())
    except Exception:  # not discovered yet
        return None


def test_only_the_operator_may_ask_for_changes():
    nodes = [p.get("node") for p in ElementTree.parse(POLICY).iter("profile")]
    for service in ("set_vocabulary", "enable", "set_parameters", "change_state"):
        name = f"/segmentation_node/{service}"
        assert [n for n in nodes if may(n, "services", "request", name)] == ["operator"]
    for topic, speaker in {
        "/segmentation_node/label_mask": "segmentation_node",
        "/discovery_node/proposals": "discovery_node",
        CAMERA: "camera_node",
    }.items():
        assert [n for n in nodes if may(n, "topics", "publish", topic)] == [speaker]
