"""What `ovseg doctor` sees of the ROS graph: cameras, their QoS, and our nodes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

from ovseg_ros.doctor import ERROR, OK, WARN, Finding
from ovseg_ros.nodes.executor import own_context
from ovseg_ros.nodes.vision_msgs_probe import vision_msgs_or_reason

_IMAGES = {"sensor_msgs/msg/Image": "raw", "sensor_msgs/msg/CompressedImage": "compressed"}
_OURS = ("segmentation_node", "discovery_node")


def examine_graph(image: str, *, wait_s: float = 2.0) -> Iterator[Finding]:
    """Look at the running graph.

    Args:
        image: The camera topic that the nodes are meant for.
        wait_s: How long to listen for other nodes.
    """
    distribution = os.environ.get("ROS_DISTRO", "wheels")
    yield Finding(OK, f"ROS 2 {distribution} with rclpy")
    try:
        import ovseg_ros.msg  # noqa: F401
    except ImportError:
        yield Finding(ERROR, "the messages of ovseg_ros are not built", "make, or colcon build")
    vision_msgs, reason = vision_msgs_or_reason()
    if vision_msgs is None:
        yield Finding(
            WARN,
            f"{reason}: no ~/label_info for Nav2's layer, no ~/detections",
            f"sudo apt install ros-{os.environ.get('ROS_DISTRO', '$ROS_DISTRO')}-vision-msgs",
        )
    with own_context() as context:
        node = Node("ovseg_doctor", context=context)
        time.sleep(wait_s)
        yield from _cameras(node, node.resolve_topic_name(image))
        yield from _nodes(node)
        node.destroy_node()


def _cameras(node: Node, image: str) -> Iterator[Finding]:
    cameras = {
        topic: _IMAGES[kinds[0]]
        for topic, kinds in node.get_topic_names_and_types()
        if kinds[0] in _IMAGES and node.count_publishers(topic)
    }
    for topic, transport in sorted(cameras.items()):
        for info in node.get_publishers_info_by_topic(topic):
            qos = info.qos_profile
            way = "reliable" if qos.reliability == ReliabilityPolicy.RELIABLE else "best effort"
            yield Finding(OK, f"{topic}: {transport}, {way}, from {info.node_name}")
    if image in cameras:
        return
    compressed = f"{image}/compressed"
    if compressed in cameras:
        yield Finding(
            WARN,
            f"{image} is sent compressed only",
            f"ovseg up --image {image} --image-transport compressed",
        )
    elif cameras:
        others = [topic for topic, transport in cameras.items() if transport == "raw"]
        sent = sorted(others or cameras)[0].removesuffix("/compressed")
        how = "" if others else " --image-transport compressed"
        yield Finding(ERROR, f"nobody sends {image}", f"ovseg up --image {sent}{how}")
    else:
        yield Finding(
            ERROR,
            f"nobody sends images, {image} neither; start the camera's driver, or try",
            "ovseg up --camera sim",
        )


def _nodes(node: Node) -> Iterator[Finding]:
    running = {name: space for name, space in node.get_node_names_and_namespaces()}
    for name in _OURS:
        if name not in running:
            yield Finding(WARN, f"{name} does not run", "ovseg up")
            continue
        where = f"{running[name].rstrip('/')}/{name}"
        yield Finding(OK, f"{where} runs; `ros2 topic echo /diagnostics` says how")
