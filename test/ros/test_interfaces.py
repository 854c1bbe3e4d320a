"""The messages and services exist, say what every field means, and travel over DDS."""

from __future__ import annotations

import array
import re
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor

from ovseg_ros import msg, srv

ROOT = Path(__file__).parents[2]
INTERFACES = sorted([*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")])


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.name)
def test_every_field_is_generated_and_commented(path: Path):
    generated = getattr(msg if path.suffix == ".msg" else srv, path.stem)
    parts = [generated] if path.suffix == ".msg" else [generated.Request, generated.Response]
    texts = path.read_text().split("---\n")
    for part, text in zip(parts, texts, strict=True):
        names = set()
        for line in text.splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            field = re.fullmatch(r"[\w/]+(?:\[\])? +(\w+)(=\d+)? +# (.+)", line)
            assert field, f"{path.name} has a field without a comment: {line!r}"
            names.update([] if field[2] else [field[1]])
        assert names == set(part.get_fields_and_field_types())


def test_the_modes_of_the_service_are_those_of_the_message():
    for name in ("MODE_AUTO", "MODE_FIXED", "MODE_EXTEND"):
        assert getattr(srv.SetVocabulary.Request, name) == getattr(msg.Vocabulary, name)


def test_a_query_with_an_image_travels_both_ways():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("interfaces", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def answer(request: srv.QuerySegmentation.Request, reply: srv.QuerySegmentation.Response):
        reply.success = True
        reply.label_mask = request.image
        reply.results = [
            msg.QueryResult(name=name, present=True, score=0.5, label=label, width=3, height=2)
            for label, name in enumerate(request.names, start=1)
        ]
        return reply

    node.create_service(srv.QuerySegmentation, "~/query", answer)
    client = node.create_client(srv.QuerySegmentation, "/interfaces/query")
    request = srv.QuerySegmentation.Request(names=["red mug", "Straße"])
    request.image.header.frame_id = "camera"
    request.image.header.stamp = Time(sec=7, nanosec=9)
    request.image.height, request.image.width, request.image.step = 480, 640, 640
    request.image.encoding = "mono8"
    request.image.data = array.array("B", bytes(range(256)) * (480 * 640 // 256))
    try:
        assert client.wait_for_service(timeout_sec=20)
        future = client.call_async(request)
        executor.spin_until_future_complete(future, timeout_sec=20)
        assert future.done(), "no reply within 20 s"
        reply = future.result()
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)

    assert reply.success
    assert reply.label_mask == request.image
    assert [(r.label, r.name) for r in reply.results] == [(1, "red mug"), (2, "Straße")]
    assert (reply.results[0].width, reply.results[0].height) == (3, 2)
