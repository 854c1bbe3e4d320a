"""A node's name is its own: two of one name would give two masks for every frame."""

from __future__ import annotations

import time
from typing import Any

import rclpy
from lifecycle_msgs.srv import GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

DISCOVERY_S = 3.5
"""Time in which nodes have heard of each other.

One that is there already may be heard of only when it announces itself the next time; with Fast DDS
that is every 3 s (measured: 2 to 3.3 s for seven nodes of ten, whether the machine is busy or not).
"""

_ANSWER_S = 5.0
"""Time in which a node that lives answers, on a busy machine as well."""


def require_free(node: Node, *, by: float = 0.0) -> None:
    """Refuse a node whose name another node has.

    A node that was killed is listed until its lease ends; it is told from one that lives by asking
    for its lifecycle state. Call this before ``node`` is spun, or it answers the question itself.

    Args:
        node: The node.
        by: Look not before this time, in seconds of the monotonic clock; what is to be certain must
            not look before ``DISCOVERY_S`` after the process has made its first node.

    Raises:
        ValueError: if the name is taken.
    """
    time.sleep(max(0.0, by - time.monotonic()))
    own = node.get_name(), node.get_namespace()
    if node.get_node_names_and_namespaces().count(own) < 2:
        return
    name = node.get_fully_qualified_name()
    if _answers(node, name):
        raise ValueError(
            f"{name}: a node of this name already runs in this ROS domain; stop it, or start this "
            "one in another namespace (-r __ns:=/NAME) or ROS_DOMAIN_ID"
        )
    node.get_logger().warning(f"{name}: a node of this name is still listed, but does not answer")


def _answers(node: Node, name: str) -> bool:
    """Return whether the other node of this name lives."""
    context = node.context
    asker = Node(
        f"{node.get_name()}_asks",
        context=context,
        use_global_arguments=False,
        start_parameter_services=False,
        enable_rosout=False,
    )
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(asker)
    try:
        client: Any = asker.create_client(GetState, f"{name}/get_state")
        end = time.monotonic() + _ANSWER_S
        # Our own service is there at once, the other's perhaps later: ask again.
        while time.monotonic() < end:
            future = client.call_async(GetState.Request())
            rclpy.spin_until_future_complete(asker, future, executor, timeout_sec=1.0)
            if future.done():
                return True
            client.remove_pending_request(future)
        return False
    finally:
        executor.shutdown()
        asker.destroy_node()
