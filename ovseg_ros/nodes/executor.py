"""rclpy's executor, made to go on: whatever a callback raises, and however busy the machine is."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.service import Service
from rclpy.signals import SignalHandlerOptions

from ovseg_ros.nodes.guard import last_traceback
from ovseg_ros.nodes.pace import Pace

_CALLS_HZ, _CALLS_BURST = 100.0, 200
"""Calls of services that a program takes per second for long, and at once.

One costs a millisecond or two of an interpreter that the images need as well, answered or refused.
"""

_REST_S = 0.05
"""Time after which requests that wait are looked at again."""


class PatientExecutor(MultiThreadedExecutor):
    """rclpy's executor, but it lets its threads begin, and survives floods and what it cannot take.

    That of Jazzy submits a callback again and again, without a pause, until a thread has taken it
    (ros2/rclpy#1452), and holds the interpreter lock that the thread needs for it. If taking a
    message raises (no memory for it, text that is none), it never leaves the entity's callback
    group again, and no image would come any more.

    Requests of a flood wait in the middleware, where they cost nothing: no thread, no wake-up. They
    are taken in turn, one of each service, so that no service keeps another one waiting.
    """

    def __init__(self, *, calls: Pace | None = None, **options: Any) -> None:
        """Take what rclpy's takes, and how often services may be called (all of them together)."""
        super().__init__(**options)
        self._calls = calls or Pace(_CALLS_HZ, _CALLS_BURST)
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def can_execute(self, entity: Any) -> bool:
        """Return whether an entity is waited for."""
        if isinstance(entity, Service) and self._calls.resting:
            return False
        return super().can_execute(entity)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Have one callback run; return after a while without one if requests wait."""
        if timeout_sec is None and self._calls.resting:
            timeout_sec = _REST_S
        super().spin_once(timeout_sec)

    def wait_for_ready_callbacks(self, *args: Any, **options: Any) -> Any:
        """Return the next callback; pause before one that still waits for a thread."""
        ready: Any = super().wait_for_ready_callbacks(*args, **options)
        if ready[0] in self._seen:
            time.sleep(0.001)
        self._seen.add(ready[0])
        return ready

    def _make_handler(self, entity: Any, node: Any, take: Any, *more: Any) -> Any:
        if isinstance(entity, Service):
            self._calls.count()
        return super()._make_handler(entity, node, partial(_take, take, node), *more)


def _take(take: Callable[[Any], Any], node: Any, entity: Any) -> Any:
    """Take what has come for an entity; None, and a line in the log, if that fails."""
    try:
        return take(entity)
    except InvalidHandle:  # destroyed meanwhile
        return None
    except Exception:
        text = f"what has come cannot be taken:\n{last_traceback()}"
        node.get_logger().error(text, throttle_duration_sec=1.0)
        return None


def spin_through(
    executor: Executor,
    complain: Callable[[str], object] = lambda text: print(text, file=sys.stderr),
) -> None:
    """Spin until the executor is shut down, whatever its callbacks raise.

    What passes the guards of :class:`~ovseg_ros.nodes.base.BaseNode` are rclpy's own: InvalidHandle
    if something is destroyed while it collects what to wait for, and what event callbacks raise.

    Args:
        executor: The executor.
        complain: Told what else was raised.
    """
    while True:
        try:
            return executor.spin()
        except InvalidHandle:
            continue
        except ExternalShutdownException:
            return None
        except Exception:
            complain(f"the executor goes on after:\n{last_traceback()}")
            time.sleep(0.05)


@contextmanager
def own_context(domain: int | None = None) -> Iterator[Context]:
    """Give a ROS context in which signals are the program's own; it is shut down after the body."""
    context = Context()
    rclpy.init(
        args=[], context=context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO
    )
    try:
        yield context
    finally:
        context.try_shutdown()


@contextmanager
def spun(node: Node, executor: Executor | None = None) -> Iterator[None]:
    """Spin a node in a thread within the body, then shut its context down and destroy it."""
    executor = executor or PatientExecutor(num_threads=2, context=node.context)
    executor.add_node(node)
    thread = threading.Thread(target=spin_through, args=(executor,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        node.context.try_shutdown()
        thread.join(5.0)  # Python cannot end while a thread is inside rcl
        executor.shutdown(timeout_sec=2.0)
        node.destroy_node()
