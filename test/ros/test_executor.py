"""Calls of services have a pace; images, timers and the other services do not wait for them."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_pipeline, picture
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool

from ovseg_ros.nodes.pace import Pace
from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.srv import GetVocabulary

NODE = "/segmentation_node"
BURST, FLOOD = 6, 40


@pytest.fixture
def flooded(new_graph):
    """A graph whose clock for calls stands still, of which some were taken and the others wait."""
    now = [0.0]
    graph = new_graph(calls=Pace(10.0, BURST, lambda: now[0]))
    graph.add(
        SegmentationNode,
        build_fake_pipeline,
        vocabulary__mode="fixed",
        vocabulary__names=["red block"],
    )
    client = graph.client.create_client(GetVocabulary, f"{NODE}/get_vocabulary")
    assert client.wait_for_service(timeout_sec=30.0)
    futures = [client.call_async(GetVocabulary.Request()) for _ in range(FLOOD)]

    def answered():
        return sum(future.done() for future in futures)

    graph.wait(lambda: answered() >= BURST)
    yield graph, now, answered
    graph.close()


def test_a_flood_waits_while_images_are_segmented(flooded):
    graph, now, answered = flooded
    masks, publish = graph.listen(Image, f"{NODE}/label_mask"), graph.camera()
    graph.until(lambda: publish(picture("red block")), lambda: len(masks) >= 10)
    assert answered() == BURST
    now[0] += 0.3  # three more
    graph.wait(lambda: answered() == BURST + 3)
    graph.until(lambda: publish(picture("red block")), lambda: len(masks) >= 20)
    assert answered() == BURST + 3


def test_every_call_is_answered_in_the_end(flooded):
    graph, now, answered = flooded

    def later():
        now[0] += 1.0

    graph.until(later, lambda: answered() == FLOOD)


def test_a_flood_of_one_service_does_not_keep_another_waiting(flooded):
    graph, now, answered = flooded
    client = graph.client.create_client(SetBool, f"{NODE}/enable")
    assert client.wait_for_service(timeout_sec=30.0)
    future = client.call_async(SetBool.Request(data=True))

    def later():
        now[0] += 0.1  # one call

    graph.until(later, future.done)
    assert answered() < FLOOD
