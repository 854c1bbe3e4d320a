"""Whatever a callback raises: the caller gets an answer, the log a line, the node goes on."""

from __future__ import annotations

import itertools
import os

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_pipeline, picture
from rcl_interfaces.msg import Log, ParameterType, ParameterValue
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from ovseg_ros.nodes import image_node
from ovseg_ros.nodes.base import BaseNode
from ovseg_ros.nodes.camera_node import CameraNode
from ovseg_ros.nodes.guard import brief, guard, guard_service, sayable
from ovseg_ros.nodes.images import image_from_msg
from ovseg_ros.nodes.segmentation_node import SegmentationNode


class Panic(BaseException):
    """As libraries in Rust raise: no Exception."""


RAISED = [MemoryError(), cv2.error("bad"), KeyError("k"), ValueError("v"), SystemExit(3), Panic()]
RAISED += [ValueError("caf\udce9.png"), RuntimeError("x" * 100_000)]


def kind(error):
    return type(error).__name__


@pytest.mark.parametrize("error", RAISED, ids=kind)
def test_a_service_answers_with_the_reason(error):
    said = []

    def answer(request, reply):
        raise error

    reply = guard_service(answer, "ask", said.append)(SetBool.Request(), SetBool.Response())
    assert not reply.success
    assert reply.message.startswith("failed: ")
    assert len("failed: ") < len(reply.message) < 600
    reply.message.encode()  # a message takes no half characters
    assert "Traceback" in said[0]


@pytest.mark.parametrize("error", RAISED, ids=kind)
def test_a_subscription_or_timer_is_logged(error):
    said = []

    def callback(*arguments):
        raise error

    assert guard(callback, "a timer", said.append)() is None
    assert "a timer failed" in said[0]
    assert len(said[0].encode()) < 11_000


def test_an_interrupt_is_none_of_it():
    def interrupted(*arguments):
        raise KeyboardInterrupt

    for guarded in (guard(interrupted, "x", print), guard_service(interrupted, "x", print)):
        with pytest.raises(KeyboardInterrupt):
            guarded(None, None)


def test_reasons_are_one_short_line():
    assert brief(MemoryError()) == "MemoryError"
    assert brief("first\nsecond") == "first"
    assert brief("a\ud800") == "a\\ud800"
    assert len(brief("y" * 10_000)) < 520
    assert sayable("short") == "short"


class Fragile(BaseNode):
    """All that it offers raises."""

    error: BaseException = MemoryError()

    def __init__(self, **options):
        """Offer it."""
        super().__init__("fragile", **options)
        self.calls = {"timer": 0, "message": 0}
        self.create_timer(0.02, lambda: self._fail("timer"))
        self.create_subscription(
            Header, "fragile", lambda _: self._fail("message"), QoSProfile(depth=1)
        )
        self.create_service(Trigger, "~/ask", lambda request, reply: self._fail("timer"))

    def _fail(self, what):
        self.calls[what] += 1
        raise self.error


@pytest.mark.parametrize("error", RAISED, ids=kind)
def test_a_node_outlives_what_its_callbacks_raise(graph, monkeypatch, error):
    monkeypatch.setattr(Fragile, "error", error)
    node = graph.add(Fragile)
    publisher = graph.client.create_publisher(Header, "/fragile", 5)
    graph.until(lambda: publisher.publish(Header()), lambda: min(node.calls.values()) > 3)
    reply = graph.call(Trigger, "/fragile/ask")
    assert (reply.success, reply.message[:8]) == (False, "failed: ")
    before = node.calls["timer"]
    graph.wait(lambda: node.calls["timer"] > before + 3)


WRONG = [
    ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="0.5"),
    ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=True),
    ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=-(2**63)),
    ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float("nan")),
    ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float("inf")),
    ParameterValue(type=ParameterType.PARAMETER_BYTE_ARRAY, byte_array_value=[b"a"]),
    ParameterValue(type=ParameterType.PARAMETER_DOUBLE_ARRAY, double_array_value=[0.5]),
    ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY),
    ParameterValue(type=ParameterType.PARAMETER_NOT_SET),
    ParameterValue(type=42),
]


def test_live_parameters_of_a_wrong_kind_are_refused(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline)
    before = node.config
    for name, value in itertools.product(sorted(node.live), WRONG):
        for kind_of, service in (
            (SetParameters, "set_parameters"),
            (SetParametersAtomically, "set_parameters_atomically"),
        ):
            wrong = ParameterMsg(name=name, value=value)
            reply = graph.call(kind_of, f"/segmentation_node/{service}", parameters=[wrong])
            results = reply.results if kind_of is SetParameters else [reply.result]
            assert not any(result.successful for result in results), (name, value)
    assert node.config == before
    assert node.get_parameter("overlay_alpha").value == before.overlay_alpha


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(1), Panic(), RuntimeError()], ids=kind)
def test_configure_that_raises_anything_fails_and_may_be_tried_again(graph, error):
    errors = [error]

    def build(config):
        if errors:
            raise errors.pop()
        return build_fake_pipeline(config)

    node = graph.add(SegmentationNode, build, up=False)
    assert node.trigger_configure().name == "FAILURE"
    assert node.bring_up()


def test_a_replay_goes_on_after_files_of_any_name(graph, tmp_path):
    """Its name is no Unicode and it holds no picture: the log takes the reason all the same."""
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "good.png"), np.full((32, 32, 3), 40, np.uint8))
    images = graph.listen(Image, "/camera/image_raw")
    said = graph.listen(Log, "/rosout")
    graph.add(CameraNode, source=f"replay:{tmp_path}", rate_hz=50.0)
    graph.wait(lambda: len(images) > 2 and any("caf\\udce9.png" in log.msg for log in said))


def test_a_camera_whose_frames_make_a_library_fail_does_not_cost_the_others(graph, monkeypatch):
    def decode(message):
        if message.header.frame_id == "bad":
            raise MemoryError
        return image_from_msg(message)

    monkeypatch.setattr(image_node, "image_from_msg", decode)
    node = graph.add(
        SegmentationNode,
        build_fake_pipeline,
        image_topics=["/front/image", "/rear/image"],
        vocabulary__mode="fixed",
        vocabulary__names=["red block"],
    )
    masks = graph.listen(Image, "/segmentation_node/rear/label_mask")
    front, rear = graph.camera("/front/image"), graph.camera("/rear/image")
    red = picture("red block")

    def send():
        front(red, Header(stamp=graph.header().stamp, frame_id="bad"))
        rear(red)

    graph.until(send, lambda: node.refused > 3 and len(masks) > 3)
    assert node._last_refusal == "frame: MemoryError"
