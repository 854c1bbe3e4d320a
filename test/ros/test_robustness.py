"""What cameras and clients get wrong, over real DDS: no crash, and a message that says why."""

import array
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import ColourSegmenter, build_fake_discoverer, build_fake_pipeline, picture
from rclpy.exceptions import InvalidHandle
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from ovseg_ros.msg import Vocabulary
from ovseg_ros.nodes.base import LATCHED_QOS
from ovseg_ros.nodes.conversions import stamp_from_msg, stamp_to_msg
from ovseg_ros.nodes.discovery_node import DiscoveryNode
from ovseg_ros.nodes.images import image_to_msg, labels_from_msg
from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.pipeline import Pipeline
from ovseg_ros.srv import DiscoverVocabulary, QuerySegmentation, SetVocabulary
from ovseg_ros.vocabulary.living import LivingVocabulary

NODE = "/segmentation_node"
WORDS = {"vocabulary__mode": "fixed", "vocabulary__names": ["red block", "green block"]}
STRIPES = picture("red block", "green block")
HEIGHT, WIDTH = STRIPES.shape[:2]
ODD = {  # encoding -> bytes per pixel, channels per pixel
    "rgba8": (4, 4),
    "mono8": (1, 1),
    "mono16": (2, 1),
    "16UC1": (2, 1),
    "bayer_rggb8": (1, 1),
    "bayer_grbg16": (2, 1),
    "yuv422": (2, 2),
    "yuv422_yuy2": (2, 2),
}


@pytest.fixture(scope="module")
def robot(shared_graph):
    """Provide the nodes, a function that publishes any message, and the masks."""
    shared_graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    shared_graph.masks = shared_graph.listen(Image, f"{NODE}/label_mask")
    shared_graph.raw = shared_graph.client.create_publisher(Image, "/image", 5)
    shared_graph.wait(lambda: shared_graph.raw.get_subscription_count() > 0)
    return shared_graph


@pytest.mark.parametrize("encoding", ODD)
def test_every_encoding_is_segmented(robot, encoding):
    size, _ = ODD[encoding]
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH * size), np.uint8)
    message = Image(height=HEIGHT, width=WIDTH, step=WIDTH * size, encoding=encoding)
    message.data = array.array("B", noise.tobytes())

    def send():
        message.header = robot.header()
        robot.raw.publish(message)
        return message.header.stamp.nanosec

    robot.masks.clear()
    sent = robot.until(send, lambda: robot.masks)
    assert robot.masks[0].header.stamp.nanosec in sent
    assert (robot.masks[0].height, robot.masks[0].width) == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "broken",
    [
        Image(encoding="rgb8"),
        Image(height=0, width=64, step=192, encoding="rgb8"),
        Image(height=48, width=64, step=192, encoding="rgb8"),
        Image(height=48, width=64, step=1, encoding="rgb8", data=array.array("B", [0] * 9216)),
        Image(height=4, width=4, step=12, encoding="", data=array.array("B", [0] * 48)),
        Image(height=2**31, width=2**31, step=2**31, encoding="mono8"),
    ],
    ids=["empty", "no rows", "no data", "short rows", "no encoding", "endless"],
)
def test_a_broken_image_is_refused_and_the_next_one_segmented(robot, broken):
    (node,) = robot.nodes
    refused = node.refused
    robot.until(lambda: robot.raw.publish(broken), lambda: node.refused > refused)
    reply = robot.call(QuerySegmentation, f"{NODE}/query", names=["red block"], image=broken)
    assert not reply.success
    assert reply.message.startswith("image: ")
    robot.masks.clear()
    good = image_to_msg(STRIPES, "rgb8", robot.header())
    robot.until(lambda: robot.raw.publish(good), lambda: robot.masks)


def test_the_resolution_may_change(robot):
    sizes = [(48, 64), (24, 32), (97, 131), (48, 64)]
    for size in sizes:
        robot.masks.clear()
        image = picture("red block", "green block", size_hw=size)
        robot.until(
            lambda image=image: robot.raw.publish(image_to_msg(image, "rgb8", robot.header())),
            lambda size=size: any((m.height, m.width) == size for m in robot.masks),
        )
        assert set(np.unique(labels_from_msg(robot.masks[-1]))) == {1, 2}


def test_the_clock_may_go_back(robot):
    """A bag that starts again: its frames are segmented, and a new vocabulary is valid for them."""
    (node,) = robot.nodes
    then = stamp_from_msg(robot.header().stamp) - 3600 * 10**9
    past = image_to_msg(STRIPES, "rgb8", robot.header())

    def send():
        nonlocal then
        then += 10**8
        past.header.stamp = stamp_to_msg(then)
        robot.raw.publish(past)

    robot.masks.clear()
    robot.until(send, lambda: any(stamp_from_msg(m.header.stamp) <= then for m in robot.masks))
    reply = robot.call(
        SetVocabulary, f"{NODE}/set_vocabulary", names=["red block", "green block"], mode=1
    )
    assert stamp_from_msg(reply.valid_from) <= then + 1
    assert node.refused < 100


def test_corrupt_compressed_frames_are_counted(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, image_transport="compressed", **WORDS)
    publisher = graph.client.create_publisher(CompressedImage, "/image/compressed", 5)
    for data in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n" + bytes(64), b"text" * 30):
        refused = node.refused
        message = CompressedImage(format="jpeg", data=array.array("B", data))
        graph.until(lambda m=message: publisher.publish(m), lambda r=refused: node.refused > r)
    assert node.worker.running


def garbage(kind):
    """Serialized messages that are none: cut, random, of endless length, text that is no UTF-8."""
    yield b""
    yield b"\x00\x01\x00\x00"
    chance = np.random.default_rng(0)
    for size in (1, 7, 60, 500):
        yield b"\x00\x01\x00\x00" + chance.integers(0, 256, size, np.uint8).tobytes()
    yield b"\x00\x01\x00\x00" + b"\xff" * 64
    header = Header(frame_id="camera")
    whole = serialize_message(kind(header=header))
    yield whole[:-5]
    yield whole.replace(b"camera", b"ca\xff\xfe\xfd\x80")


def test_garbage_on_every_topic(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, depth_topic="/depth", **WORDS)
    graph.add(DiscoveryNode, build_fake_discoverer)
    topics = {
        "/image": Image,
        "/depth": Image,
        "/camera_info": CameraInfo,
        "/discovery_node/proposals": Vocabulary,
        f"{NODE}/vocabulary": Vocabulary,
    }
    publishers = {}
    for topic, kind in topics.items():
        qos = LATCHED_QOS if kind is Vocabulary else 5
        publishers[topic] = graph.client.create_publisher(kind, topic, qos)
        graph.wait(lambda p=publishers[topic]: p.get_subscription_count() > 0)
    for topic, kind in topics.items():
        for data in garbage(kind):
            publishers[topic].publish(data)
            time.sleep(0.02)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    good = image_to_msg(STRIPES, "rgb8", graph.header())
    graph.until(lambda: publishers["/image"].publish(good), lambda: masks)
    assert node.worker.running
    for name in (NODE, "/discovery_node"):
        assert graph.call(SetBool, f"{name}/enable", data=True).success


def test_a_thousand_names(graph):
    names = [f"thing {number}" for number in range(998)] + ["red block", "green block"]
    request = {"names": names, "mode": SetVocabulary.Request.MODE_FIXED}
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    reply = graph.call(SetVocabulary, f"{NODE}/set_vocabulary", **request)
    assert not reply.success
    assert "of 254 ids are taken (vocabulary.max_categories)" in reply.message
    assert reply.version == 1
    image = image_to_msg(STRIPES, "rgb8", graph.header())
    reply = graph.call(QuerySegmentation, f"{NODE}/query", names=names, image=image)
    assert reply.success, reply.message
    assert reply.label_mask.encoding == "16UC1"
    assert set(np.unique(labels_from_msg(reply.label_mask))) == {999, 1000}
    assert [r.present for r in reply.results] == [False] * 998 + [True] * 2

    graph.add(
        lambda *a, **k: SegmentationNode(*a, **k, namespace="wide"),
        build_fake_pipeline,
        mask_encoding="16UC1",
        vocabulary__max_categories=2000,
    )
    masks = graph.listen(Image, "/wide/segmentation_node/label_mask")
    reply = graph.call(SetVocabulary, "/wide/segmentation_node/set_vocabulary", **request)
    assert reply.success, reply.message
    assert len(reply.categories) == 1000
    publish = graph.camera("/wide/image")
    graph.until(lambda: publish(STRIPES), lambda: masks)
    assert set(np.unique(labels_from_msg(masks[0]))) == {999, 1000}


@pytest.mark.parametrize("error", [InvalidHandle("destroyed"), RuntimeError("odd")])
def test_what_rclpy_raises_while_it_collects_does_not_end_the_node(graph, monkeypatch, error):
    node = graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    waitable = next(s for s in node.subscriptions if s.topic_name == "/image").event_handlers[0]
    raised = []

    def add_to_wait_set(wait_set):
        raised.append(1)
        monkeypatch.undo()
        raise error

    monkeypatch.setattr(waitable, "add_to_wait_set", add_to_wait_set)
    graph.until(lambda: publish(STRIPES), lambda: raised and masks)


def test_many_clients_at_once(graph):
    """Vocabularies, queries and discoveries that overlap are all answered, each for itself."""
    segmenter = ColourSegmenter(delay_s=0.02)
    graph.add(
        SegmentationNode,
        lambda config: Pipeline(segmenter, None, LivingVocabulary(config.vocabulary)),
        **WORDS,
    )
    graph.add(DiscoveryNode, build_fake_discoverer)
    image = image_to_msg(STRIPES, "rgb8", graph.header())
    calls = {
        f"{NODE}/set_vocabulary": (SetVocabulary, lambda i: {"names": [f"word {i}"], "mode": 1}),
        f"{NODE}/query": (QuerySegmentation, lambda i: {"names": ["red block"], "image": image}),
        "/discovery_node/discover": (DiscoverVocabulary, lambda i: {"image": image}),
    }
    answers = {name: [] for name in calls}
    for name, (kind, fields) in calls.items():
        client = graph.client.create_client(kind, name)
        assert client.wait_for_service(timeout_sec=30.0)
        answers[name] = [client.call_async(kind.Request(**fields(i))) for i in range(6)]
    graph.wait(lambda: all(f.done() for futures in answers.values() for f in futures))
    replies = {name: [f.result() for f in futures] for name, futures in answers.items()}
    refused = [r for found in replies.values() for r in found if not r.success]
    assert all(reply.message.startswith("busy: ") for reply in refused)
    replies = {name: [r for r in found if r.success] for name, found in replies.items()}
    assert all(replies.values())
    versions = [reply.version for reply in replies[f"{NODE}/set_vocabulary"]]
    assert len(set(versions)) == 6
    for reply in replies["/discovery_node/discover"]:
        assert {c.name for c in reply.categories} == {"red block", "green block"}
