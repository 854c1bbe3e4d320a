"""Hears a segmentation node for the live page of `ovseg view`, and asks it queries."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import Image

from ovseg_ros.layouts import check_ros_name
from ovseg_ros.msg import FrameCategories
from ovseg_ros.nodes.base import SENSOR_QOS
from ovseg_ros.nodes.executor import own_context, spun
from ovseg_ros.nodes.images import image_from_msg, labels_from_msg
from ovseg_ros.nodes.session import signals_interrupt
from ovseg_ros.srv import QuerySegmentation
from ovseg_ros.view.live import Answer, Live, Row
from ovseg_ros.view.page import listen, serve

_ANSWER_S = 60.0
_SERVICE_S = 3.0
_LEVELS = {b"\x00": "ok", b"\x01": "warning", b"\x02": "error", b"\x03": "stale"}


class Viewer:
    """Fills a :class:`~ovseg_ros.view.live.Live` from the topics of one camera.

    Attributes:
        live: What the page shows.
    """

    def __init__(self, node: Node, segmentation: str, camera: str = "") -> None:
        """Subscribe.

        Args:
            node: The node to hear with.
            segmentation: Name of the segmentation node, relative to ``node``'s namespace.
            camera: Name of the camera where there are several, as in its topics.
        """
        self._node = node
        prefix = f"{segmentation}/{camera}" if camera else segmentation
        self.live = Live(self._ask, node.resolve_topic_name(prefix))
        self._name = node.resolve_topic_name(segmentation).lstrip("/")
        self._queries: Any = node.create_client(
            QuerySegmentation, f"{segmentation}/query", callback_group=ReentrantCallbackGroup()
        )
        for kind, topic, take in (
            (Image, f"{prefix}/overlay", self._on_overlay),
            (FrameCategories, f"{prefix}/categories", self._on_categories),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics),
        ):
            node.create_subscription(kind, topic, take, SENSOR_QOS)
        self._pixels = 0

    def _on_overlay(self, message: Image) -> None:
        self._pixels = message.height * message.width
        self.live.take_overlay(partial(image_from_msg, message))

    def _on_categories(self, message: FrameCategories) -> None:
        pixels = max(self._pixels, sum(c.pixels for c in message.categories), 1)
        rows = [
            Row(id=c.id, name=c.name, share=c.pixels / pixels, confidence=c.mean_confidence)
            for c in message.categories
        ]
        self.live.take_rows(rows, time.monotonic())

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._name:
                values = {entry.key: entry.value for entry in status.values}
                level = _LEVELS.get(bytes(status.level), "?")
                self.live.take_health(
                    f"{level}{': ' + status.message if status.message else ''} · "
                    f"{values.get('rate_hz', '?')} masks/s, age {values.get('age_p50_ms', '?')} ms"
                )

    def _ask(self, names: Sequence[str]) -> Answer:
        if not self._queries.wait_for_service(timeout_sec=_SERVICE_S):
            raise TimeoutError(f"{self._queries.srv_name} does not answer: is the node running?")
        done = threading.Event()
        future = self._queries.call_async(QuerySegmentation.Request(names=list(names)))
        future.add_done_callback(lambda _: done.set())
        if not done.wait(_ANSWER_S):
            self._queries.remove_pending_request(future)
            raise TimeoutError(f"no answer in {_ANSWER_S:g} s")
        return _answer(future.result())


def _answer(reply: Any) -> Answer:
    if not reply.success:
        return Answer(text=reply.message)
    found = tuple((result.name, result.score) for result in reply.results if result.present)
    absent = [result.name for result in reply.results if not result.present]
    parts = [f"{name}: here, score {score:.2f}" for name, score in found]
    parts += [f"{name}: not in the picture" for name in absent]
    mask = labels_from_msg(reply.label_mask) > 0 if found else None
    return Answer(text="; ".join(parts), found=found, mask=mask)


def run_view(segmentation: str, *, camera: str, namespace: str, host: str, port: int) -> int:
    """Serve the live page until Ctrl-C (`ovseg view`); return the exit code.

    Raises:
        OSError: if the address cannot be listened on.
        ValueError: if ``segmentation``, ``camera`` or ``namespace`` is no name of ROS.
    """
    for option, name in (("node", segmentation), ("camera", camera), ("namespace", namespace)):
        check_ros_name(option, name)
    with closing(listen(host, port)) as server, own_context() as context:
        node = Node("ovseg_view", context=context, namespace=namespace)
        viewer = Viewer(node, segmentation, camera)
        host, port = server.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"{viewer.live.about} at http://{shown}:{port}/ (Ctrl-C ends)", flush=True)
        with spun(node), signals_interrupt():
            serve(viewer.live, server)
    return 0
