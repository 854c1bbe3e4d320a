"""What must never take the graph down, and what it must never be silent about."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from fakes import ColourDiscoverer, ColourSegmenter, build_fake_pipeline, picture
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from ovseg_ros.msg import Category, FrameCategories, Vocabulary
from ovseg_ros.nodes.base import LATCHED_QOS
from ovseg_ros.nodes.conversions import stamp_to_msg
from ovseg_ros.nodes.discovery_node import DiscoveryNode
from ovseg_ros.nodes.images import image_to_msg
from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.pipeline import Pipeline
from ovseg_ros.srv import DiscoverVocabulary, GetVocabulary, QuerySegmentation, SetVocabulary
from ovseg_ros.types import MAX_MONO8_ID
from ovseg_ros.vocabulary.living import LivingVocabulary

NODE = "/segmentation_node"
WORDS = {"vocabulary__mode": "fixed", "vocabulary__names": ["red block", "green block"]}
STRIPES = picture("red block", "green block")


def statuses(heard):
    """Newest level and message of every status by its name."""
    return {s.name: (s.level, s.message) for array in heard for s in array.status}


def test_enable_may_be_toggled_by_many_while_images_come(graph):
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    clients = [graph.client.create_client(SetBool, f"{NODE}/enable") for _ in range(4)]
    assert all(client.wait_for_service(timeout_sec=30.0) for client in clients)
    for number in range(60):
        futures = [c.call_async(SetBool.Request(data=bool((number + k) % 2)))
                   for k, c in enumerate(clients)]  # fmt: skip
        publish(STRIPES)
        graph.wait(lambda futures=futures: all(f.done() for f in futures))
        assert all(future.result().success for future in futures)
    assert graph.call(SetBool, f"{NODE}/enable", data=True).message == "enabled"
    masks.clear()
    graph.until(lambda: publish(STRIPES), lambda: masks)


def test_a_disabled_node_drops_images(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: masks)
    assert graph.call(SetBool, f"{NODE}/enable", data=False).message == "disabled"
    received = node.worker.received
    for _ in range(5):
        publish(STRIPES)
        time.sleep(0.02)
    assert node.worker.received == received


@pytest.mark.parametrize(
    "transition",
    [Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_CONFIGURE, 77],
)
def test_an_impossible_transition_is_refused(graph, transition):
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    request = {"transition": Transition(id=transition)}
    assert not graph.call(ChangeState, f"{NODE}/change_state", **request).success
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: masks)


class Failing(ColourSegmenter):
    """Its text encoder and its masks fail in whatever way is asked for."""

    error: Exception | None = None

    def embed(self, names):
        if self.error is not None:
            raise self.error
        return np.eye(len(names), dtype=np.float32)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), cv2.error("bad"), KeyError("k"), TypeError("t"), OSError("disk"), Exception()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_request_raises_is_its_answer(graph, error):
    segmenter = Failing()
    graph.add(
        SegmentationNode,
        lambda config: Pipeline(segmenter, None, LivingVocabulary(config.vocabulary)),
        **WORDS,
    )
    image = image_to_msg(STRIPES, "rgb8", graph.header())
    segmenter.error = error
    reply = graph.call(QuerySegmentation, f"{NODE}/query", names=["blue block"], image=image)
    assert not reply.success
    assert reply.message
    reply = graph.call(SetVocabulary, f"{NODE}/set_vocabulary", names=["blue block"], mode=1)
    assert not reply.success
    segmenter.error = None
    reply = graph.call(QuerySegmentation, f"{NODE}/query", names=["red block"], image=image)
    assert reply.success, reply.message


def test_services_while_the_node_comes_and_goes(graph):
    """Vocabulary and queries against lifecycle transitions: refused or answered, never fatal."""
    node = graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    stop = threading.Event()
    failures = []

    def cycle():
        while not stop.is_set():
            try:
                for step in ("deactivate", "cleanup", "configure", "activate"):
                    getattr(node, f"trigger_{step}")()
            except Exception as error:
                failures.append(error)
                return

    thread = threading.Thread(target=cycle)
    thread.start()
    image = image_to_msg(STRIPES, "rgb8", graph.header())
    try:
        for number in range(25):
            graph.call(SetVocabulary, f"{NODE}/set_vocabulary", names=[f"word {number}"], mode=2)
            graph.call(QuerySegmentation, f"{NODE}/query", names=["red block"], image=image)
            graph.call(GetVocabulary, f"{NODE}/get_vocabulary")
    finally:
        stop.set()
        thread.join()
    assert not failures
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: masks)


def test_a_best_effort_camera_does_not_spoil_a_reliable_one(graph):
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    loose = graph.client.create_publisher(
        Image, "/image", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    message = image_to_msg(STRIPES, "rgb8", graph.header())
    graph.until(lambda: loose.publish(message), lambda: masks)
    graph.client.destroy_publisher(loose)
    publish = graph.camera()
    sent = []
    for _ in range(21):
        sent.append(publish(STRIPES).header)
        graph.wait(lambda: any(mask.header == sent[-1] for mask in masks))
    found = [mask.header for mask in masks]
    # Both subscriptions receive them, each counts once; the last one comes after any copy.
    assert [found.count(header) for header in sent] == [1] * len(sent)


def test_the_publishers_of_an_input_are_judged_again(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, device="cpu", **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    heard = graph.listen(DiagnosticArray, "/diagnostics")
    quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

    def told():
        return statuses(heard).get("segmentation_node: input", (b"", ""))[1]

    earlier = []
    for _ in range(2):  # it rests and comes back
        loose = graph.client.create_publisher(Image, "/image", quality)
        masks.clear()

        def send(loose=loose):
            message = image_to_msg(STRIPES, "rgb8", graph.header())
            loose.publish(message)
            return message.header.stamp

        sent: list = []
        graph.until(
            lambda send=send, sent=sent: sent.append(send()),
            lambda sent=sent: (
                any(mask.header.stamp in sent for mask in masks) and "and best effort" in told()
            ),
        )
        assert not any(mask.header.stamp in earlier for mask in masks)  # left from before
        earlier += sent
        graph.client.destroy_publisher(loose)
        publish = graph.camera()
        graph.until(lambda p=publish: p(STRIPES), lambda: told() == "images arrive (reliable)")
        (sensor,) = node._inputs
        assert not sensor.best_effort


class Slow(ColourDiscoverer):
    """Takes until the test says so."""

    def __init__(self):
        self.go_on = threading.Event()

    def discover(self, image, *, seed=0):
        assert self.go_on.wait(60.0)
        return super().discover(image, seed=seed)


def test_slow_requests_are_bounded_and_images_do_not_wait(graph):
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    discoverer = Slow()
    graph.add(DiscoveryNode, lambda config: discoverer)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: masks)
    client = graph.client.create_client(DiscoverVocabulary, "/discovery_node/discover")
    assert client.wait_for_service(timeout_sec=30.0)
    image = image_to_msg(STRIPES, "rgb8", graph.header())
    futures = [client.call_async(DiscoverVocabulary.Request(image=image)) for _ in range(8)]
    graph.wait(lambda: sum(future.done() for future in futures) == 6)
    masks.clear()
    graph.until(lambda: publish(STRIPES), lambda: len(masks) >= 5)
    assert sum(future.done() for future in futures) == 6
    discoverer.go_on.set()
    graph.wait(lambda: all(future.done() for future in futures))
    answers = [future.result() for future in futures]
    assert sum(answer.success for answer in answers) == 2
    busy = [answer.message for answer in answers if not answer.success]
    assert all(message.startswith("busy: ") for message in busy)


def test_a_query_says_how_old_its_frame_is_and_may_want_a_newer_one(graph):
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: masks)
    time.sleep(0.3)
    reply = graph.call(QuerySegmentation, f"{NODE}/query", names=["red block"])
    assert reply.success
    assert reply.age.sec + reply.age.nanosec / 1e9 >= 0.3
    reply = graph.call(QuerySegmentation, f"{NODE}/query", names=["red block"], max_age_s=0.1)
    assert not reply.success
    assert reply.message.startswith("max_age_s: expected a frame of the last 0.1 s")
    for wrong in (float("nan"), -1.0):
        reply = graph.call(QuerySegmentation, f"{NODE}/query", names=["mug"], max_age_s=wrong)
        assert not reply.success
        assert reply.message.startswith("max_age_s: expected at least 0")


def test_images_that_are_all_refused_are_an_error(graph):
    graph.add(SegmentationNode, build_fake_pipeline, device="cpu", **WORDS)
    heard = graph.listen(DiagnosticArray, "/diagnostics")
    raw = graph.client.create_publisher(Image, "/image", 5)
    graph.wait(lambda: raw.get_subscription_count() > 0)
    wrong = Image(height=4, width=4, step=12, encoding="nonsense", data=bytes(48))
    name = "segmentation_node: decoding"
    graph.until(
        lambda: raw.publish(wrong), lambda: statuses(heard).get(name, (b"", ""))[0] == b"\x02"
    )
    level, message = statuses(heard)["segmentation_node"]
    assert level == b"\x02"
    assert "none is used" in message
    assert "encoding" in message
    assert statuses(heard)["segmentation_node: device"][0] == b"\x00"


def test_used_up_ids_are_told(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, vocabulary__max_categories=8)
    heard = graph.listen(DiagnosticArray, "/diagnostics")
    names = [f"word {number}" for number in range(8)]
    assert graph.call(SetVocabulary, f"{NODE}/set_vocabulary", names=names, mode=1).success
    graph.wait(lambda: statuses(heard).get("segmentation_node: ids", (b"", ""))[0] == b"\x02")
    refused = graph.call(SetVocabulary, f"{NODE}/set_vocabulary", names=["more"], mode=1)
    assert "a new session" in refused.message
    assert refused.session == node.pipeline.vocabulary.session
    fresh = graph.call(
        SetVocabulary, f"{NODE}/set_vocabulary", names=["more"], mode=1, new_session=True
    )
    assert fresh.success
    assert [category.id for category in fresh.categories] == [1]
    assert fresh.session != refused.session
    graph.wait(lambda: statuses(heard[-1:])["segmentation_node: ids"][0] != b"\x02")


def test_categories_carry_the_session(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    heard = graph.listen(FrameCategories, f"{NODE}/categories")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: heard)
    assert heard[0].session == node.pipeline.vocabulary.session != ""
    assert (heard[0].age.sec, heard[0].age.nanosec) == (0, 0)


def test_the_latest_stamp_there_is(graph):
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    header = Header(stamp=stamp_to_msg(2**31 * 10**9 - 1), frame_id="camera")
    graph.until(lambda: publish(STRIPES, header), lambda: masks)
    reply = graph.call(SetVocabulary, f"{NODE}/set_vocabulary", names=["blue block"], mode=1)
    assert reply.success
    assert (reply.valid_from.sec, reply.valid_from.nanosec) == (2**31 - 1, 10**9 - 1)


def test_every_camera_has_its_own_clock(graph):
    topics = ["/front/image", "/rear/image"]
    graph.add(SegmentationNode, build_fake_pipeline, image_topics=topics, **WORDS)
    masks = graph.listen(Image, f"{NODE}/front/label_mask")
    front = graph.camera("/front/image")
    graph.until(lambda: front(STRIPES, Header(stamp=stamp_to_msg(10**15))), lambda: masks)
    masks = graph.listen(Image, f"{NODE}/rear/label_mask")
    rear = graph.camera("/rear/image")
    graph.until(lambda: rear(STRIPES, Header(stamp=stamp_to_msg(10**9))), lambda: masks)
    reply = graph.call(SetVocabulary, f"{NODE}/set_vocabulary", names=["blue block"], mode=1)
    assert [stamp.sec for stamp in reply.camera_valid_from] == [10**6, 1]


def test_a_mono8_session_stays_within_its_ids(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline)
    names = [f"word {number}" for number in range(MAX_MONO8_ID)]
    reply = graph.call(SetVocabulary, f"{NODE}/set_vocabulary", names=names, mode=1)
    assert reply.success
    assert node.pipeline.vocabulary.ids_left == (0, 0)


class Broken(ColourDiscoverer):
    def discover(self, image, *, seed=0):
        raise MemoryError("no memory")


def test_discoveries_that_all_fail_are_an_error(graph):
    graph.add(DiscoveryNode, lambda config: Broken(), device="cpu", discovery_period_s=0.1)
    heard = graph.listen(DiagnosticArray, "/diagnostics")
    publish = graph.camera()
    name = "discovery_node: decoding"
    graph.until(lambda: publish(STRIPES), lambda: statuses(heard).get(name, (b"",))[0] == b"\x02")
    assert "none is used: frame: MemoryError: no memory" in statuses(heard)[name][1]


class SlowText(ColourSegmenter):
    """Its text takes until the test says so."""

    def __init__(self):
        super().__init__()
        self.go_on, self.encoded = threading.Event(), []

    def embed(self, names):
        assert self.go_on.wait(60.0)
        self.encoded.append(len(names))
        return np.ones((len(names), 2), np.float32)


@pytest.fixture
def slow_text():
    """Provide a segmenter whose text takes long, and let go of it in the end."""
    segmenter = SlowText()
    yield segmenter
    segmenter.go_on.set()


def test_images_do_not_wait_for_the_text_of_proposals(graph, slow_text):
    graph.add(SegmentationNode, lambda c: Pipeline(slow_text, None, LivingVocabulary(c.vocabulary)))
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: masks)
    words = graph.listen(Vocabulary, f"{NODE}/vocabulary", latched=True)
    proposals = graph.client.create_publisher(Vocabulary, "/discovery_node/proposals", LATCHED_QOS)
    graph.wait(lambda: proposals.get_subscription_count() > 0)
    proposals.publish(Vocabulary(categories=[Category(name="red block", score=0.5)]))
    masks.clear()
    graph.until(lambda: publish(STRIPES), lambda: len(masks) >= 3)
    assert not any(heard.categories for heard in words)  # its text is still being encoded
    slow_text.go_on.set()
    graph.wait(lambda: any(heard.categories for heard in words))


def test_slow_text_of_requests_ends_in_time_and_no_image_waits_for_it(graph, slow_text):
    graph.add(
        SegmentationNode,
        lambda c: Pipeline(slow_text, None, LivingVocabulary(c.vocabulary)),
        query_timeout_s=0.5,
        **WORDS,
    )
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: masks)
    image = image_to_msg(STRIPES, "rgb8", graph.header())
    for kind, name, request in (
        (QuerySegmentation, "query", QuerySegmentation.Request(names=["mug"], image=image)),
        (SetVocabulary, "set_vocabulary", SetVocabulary.Request(names=["mug"], mode=1)),
    ):
        client = graph.client.create_client(kind, f"{NODE}/{name}")
        assert client.wait_for_service(timeout_sec=30.0)
        future = client.call_async(request)
        masks.clear()
        graph.until(lambda: publish(STRIPES), lambda: len(masks) >= 3)
        graph.wait(future.done)
        assert "no answer in time" in future.result().message
    assert not slow_text.encoded


def test_a_request_of_very_many_words_that_gave_up_keeps_no_other_waiting(graph, slow_text):
    node = graph.add(
        SegmentationNode,
        lambda c: Pipeline(slow_text, None, LivingVocabulary(c.vocabulary)),
        query_timeout_s=0.5,
        **WORDS,
    )
    image = image_to_msg(STRIPES, "rgb8", graph.header())
    names = [f"word {i}" for i in range(10_000)]
    reply = graph.call(QuerySegmentation, f"{NODE}/query", names=names, image=image)
    assert "no answer in time" in reply.message
    assert node.set_parameters([Parameter("query_timeout_s", value=30.0)])[0].successful
    slow_text.go_on.set()
    reply = graph.call(SetVocabulary, f"{NODE}/set_vocabulary", names=["mug"], mode=1)
    assert reply.success, reply.message
    assert slow_text.encoded == [256, 1]  # those it was at, and nothing more of that request


class CleaningUp(ColourSegmenter):
    """Its node is cleaned up while it encodes words."""

    node = None

    def embed(self, names):
        self.node.trigger_deactivate()
        self.node.trigger_cleanup()
        return np.eye(len(names), dtype=np.float32)


def test_words_that_come_into_force_nowhere_are_refused(graph):
    segmenter = CleaningUp()
    segmenter.node = graph.add(
        SegmentationNode,
        lambda c: Pipeline(segmenter, None, LivingVocabulary(c.vocabulary)),
        **WORDS,
    )
    reply = graph.call(SetVocabulary, f"{NODE}/set_vocabulary", names=["mug"], mode=1)
    assert (reply.success, reply.message) == (False, "the node was cleaned up meanwhile")


def test_long_texts_of_a_message_are_cut_where_they_are_told(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    raw = graph.client.create_publisher(Image, "/image", 5)
    graph.wait(lambda: raw.get_subscription_count() > 0)
    wrong = Image(height=4, width=4, step=12, encoding="x" * 100_000, data=bytes(48))
    graph.until(lambda: raw.publish(wrong), lambda: node.refused)
    assert "encoding" in node._last_refusal
    assert len(node._last_refusal) < 600
    reply = graph.call(QuerySegmentation, f"{NODE}/query", names=["mug"], image=wrong)
    assert not reply.success
    assert len(reply.message) < 600


def test_nodes_say_at_info_what_they_do(graph):
    said = graph.listen(Log, "/rosout")
    graph.add(SegmentationNode, build_fake_pipeline)
    graph.add(DiscoveryNode, lambda config: ColourDiscoverer(), discovery_period_s=0.1)
    publish = graph.camera()
    both = ["configure: done", "activate: done", "images from /image (raw)"]
    wanted = {
        "segmentation_node": [*both, "colours on cpu, float32", "vocabulary 1: green block, "],
        "discovery_node": [*both, "colours on cpu, every", "discovered: green block, red"],
    }

    def missing():
        return [
            (node, text)
            for node, texts in wanted.items()
            for text in texts
            if not any(log.name == node and log.level == 20 and text in log.msg for log in said)
        ]

    graph.until(lambda: publish(STRIPES), lambda: not missing())


def test_what_is_switched_off_is_told(graph):
    graph.add(SegmentationNode, build_fake_pipeline, device="cpu", **WORDS)
    heard = graph.listen(DiagnosticArray, "/diagnostics")
    name = "segmentation_node: enabled"
    graph.wait(lambda: statuses(heard).get(name) == (b"\x00", "enabled"))
    graph.call(SetBool, f"{NODE}/enable", data=False)
    graph.wait(lambda: statuses(heard).get(name) == (b"\x00", "disabled"))
    level, text = statuses(heard)["segmentation_node"]
    assert level == b"\x00"
    assert "disabled" in text


def test_what_cannot_be_taken_does_not_block_an_input(graph, monkeypatch):
    node = graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: masks)
    subscription = next(s for s in node.subscriptions if s.topic_name == "/image")
    failed = []

    handle = subscription.handle
    take = type(graph.executor)._take_subscription

    def take_or_fail(executor, entity):
        if entity is subscription and len(failed) < 3:
            handle.take_message(entity.msg_type, entity.raw)
            failed.append(1)
            raise MemoryError
        return take(executor, entity)

    monkeypatch.setattr(type(graph.executor), "_take_subscription", take_or_fail)
    graph.until(lambda: publish(STRIPES), lambda: len(failed) >= 3)
    masks.clear()
    graph.until(lambda: publish(STRIPES), lambda: masks)


def anonymous_mib():
    """Memory of this process that is no file's, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_short_soak_keeps_its_memory(graph):
    """Images, words, queries and toggles; test/stress/abuse.py does it for half an hour."""
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    image = np.zeros((480, 640, 3), np.uint8)
    request = image_to_msg(image, "rgb8", graph.header())

    def soak(rounds):
        for number in range(rounds):
            masks.clear()
            graph.until(lambda: publish(image), lambda: masks)
            if number % 10 == 0:
                graph.call(SetVocabulary, f"{NODE}/set_vocabulary", names=["red block"], mode=1)
                graph.call(QuerySegmentation, f"{NODE}/query", names=["mug"], image=request)
                graph.call(SetBool, f"{NODE}/enable", data=True)

    soak(20)
    before = anonymous_mib()
    soak(60)
    assert anonymous_mib() - before < 40  # 60 images are 55 MiB, as many masks and confidences 36
