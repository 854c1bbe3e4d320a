"""Real nodes in this process, spun by an executor of their own, over real DDS."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")

sys.path.insert(0, str(Path(__file__).parent))  # for `import fakes`
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # programs under `nohup` ignore it, and hand that on

from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ovseg_ros.nodes.base import LATCHED_QOS, BaseNode
from ovseg_ros.nodes.executor import PatientExecutor, spin_through
from ovseg_ros.nodes.images import image_to_msg


class Graph:
    """Nodes under test and a client node that publishes, listens and calls services."""

    def __init__(self, *, apart: bool = False, **options: Any) -> None:
        """Start to spin, in a domain beside the usual one or not, with options of the executor."""
        self.context = rclpy.Context()  # tests of one process do not share one
        domain = int(os.environ["ROS_DOMAIN_ID"]) + (50 if apart else 0)
        rclpy.init(context=self.context, domain_id=domain)
        self.executor = PatientExecutor(num_threads=4, context=self.context, **options)
        self.client = Node("client", context=self.context)
        self.executor.add_node(self.client)
        self.nodes: list[BaseNode] = []
        self._closing = False
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            spin_through(self.executor)
        except Exception:  # rclpy's executor may stumble over what is being destroyed
            if not self._closing:
                raise

    def add(
        self, make: Callable[..., BaseNode], *build: Any, up: bool = True, **values: Any
    ) -> Any:
        """Make a node with parameter values (``__`` for a dot) and bring it up."""
        overrides = [
            Parameter(name.replace("__", "."), value=value) for name, value in values.items()
        ]
        node = make(*build, parameter_overrides=overrides, context=self.context)
        self.nodes.append(node)
        if up:
            assert node.bring_up()
        self.executor.add_node(node)
        return node

    def listen(self, kind: type, topic: str, *, latched: bool = False) -> list[Any]:
        """Return a list that grows with every message."""
        heard: list[Any] = []
        self.client.create_subscription(kind, topic, heard.append, LATCHED_QOS if latched else 10)
        return heard

    def header(self) -> Header:
        """Return a header with the time of now."""
        return Header(stamp=self.client.get_clock().now().to_msg(), frame_id="camera")

    def camera(self, topic: str = "/image") -> Callable[..., Image]:
        """Return a function that publishes an RGB image and returns its message."""
        publisher = self.client.create_publisher(Image, topic, 5)
        self.wait(lambda: publisher.get_subscription_count() > 0)

        def publish(
            image: np.ndarray, header: Header | None = None, corrupt: bool = False
        ) -> Image:
            message = image_to_msg(image, "rgb8", header or self.header())
            if corrupt:
                message.data = message.data[:100]
            publisher.publish(message)
            return message

        return publish

    def until(
        self, act: Callable[[], Any], condition: Callable[[], Any], period_s: float = 0.03
    ) -> list[Any]:
        """Act again and again until a condition holds; return what the acts gave."""
        given = []
        end = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            given.append(act())
            time.sleep(period_s)
        return given

    def call(self, kind: type, name: str, **fields: Any) -> Any:
        """Call a service and return its reply."""
        client = self.client.create_client(kind, name)
        assert client.wait_for_service(timeout_sec=30.0), f"no service {name}"
        future = client.call_async(kind.Request(**fields))
        self.wait(future.done)
        self.client.destroy_client(client)
        return future.result()

    def wait(self, condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
        """Wait until a condition holds, with patience for a busy machine; return what it gives."""
        end = time.monotonic() + timeout_s
        while not (result := condition()):
            assert self._thread.is_alive(), "the executor has ended"
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.005)
        return result

    def close(self) -> None:
        """Stop everything."""
        self._closing = True
        for node in self.nodes:
            node.close()
        # First: the executor's own shutdown may destroy what its thread is about to wait for.
        self.context.try_shutdown()
        self._thread.join(5.0)
        self.executor.shutdown(timeout_sec=5.0)
        for node in (*self.nodes, self.client):
            node.destroy_node()


@pytest.fixture
def graph() -> Iterator[Graph]:
    """Provide a graph that is empty but for a client."""
    graph = Graph()
    yield graph
    graph.close()


@pytest.fixture(scope="module")
def shared_graph() -> Iterator[Graph]:
    """Provide one graph to all tests of a file; nodes of other graphs may have the same names."""
    graph = Graph(apart=True)
    yield graph
    graph.close()


@pytest.fixture(scope="session")
def new_graph() -> type[Graph]:
    """Provide what makes a graph, to fixtures that need several."""
    return Graph
