"""How a process runs its nodes: it starts them in turn, and ends cleanly when interrupted."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from ovseg_ros.garbage import uncollected
from ovseg_ros.interrupts import interrupts
from ovseg_ros.nodes.base import MISTAKES, BaseNode
from ovseg_ros.nodes.executor import PatientExecutor, spin_through
from ovseg_ros.nodes.guard import brief, sayable
from ovseg_ros.nodes.memory import bound_caches
from ovseg_ros.nodes.names import DISCOVERY_S, require_free
from ovseg_ros.programs import explain

_PATIENCE_S = 1.2
"""Time in which an interrupted program ends by itself; Ctrl-C is to be over within two seconds."""


def spin(*makers: Callable[[], BaseNode], args: Sequence[str] | None = None) -> int:
    """Run nodes in one process until it is interrupted, and return the exit code.

    SIGINT, SIGTERM and SIGHUP (a terminal that is closed) interrupt it; it ends soon after, even if
    a model cannot be stopped.

    Args:
        makers: What makes each node, usually its class; they start in this order.
        args: Command line; default ``sys.argv``.

    Returns:
        0 after a signal; 1 if a node has a wrong parameter, a name that is taken, does not start
        by itself or fails.
    """
    code, running, interrupt = 1, None, _Interrupt()
    bound_caches()
    try:
        for number in interrupts():
            signal.signal(number, interrupt)
        running = _Running(args, threads=8 * len(makers))
        with uncollected():
            started = all(running.start(make) for make in makers)
        if started:
            interrupt.quiet = False
            running.wait()
    except KeyboardInterrupt:
        pass
    except Exception as error:
        # Libraries make errors of their own of an interrupt in the middle of an import.
        if not interrupt.came:
            if not isinstance(error, MISTAKES):
                raise
            print(sayable(f"error: {explain(error)}"), file=sys.stderr)
    code = 0 if interrupt.came else code
    if running is not None:
        running.close(code)
    return code


class _Interrupt:
    """Handles the signals that end a program.

    Attributes:
        came: Whether there was one.
        quiet: Whether what the program says from then on is dropped: what is interrupted while it
            is imported or loaded complains about that in many ways.
    """

    def __init__(self) -> None:
        self.came, self.quiet = False, True

    def __call__(self, number: int, frame: Any) -> None:
        for other in interrupts():  # once is enough; what follows must not be interrupted
            signal.signal(other, signal.SIG_IGN)
        self.came = True
        _watchdog(0)  # for good: Python waits for threads at its end, and some of them are slow
        if self.quiet:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(nowhere, stream)
        raise KeyboardInterrupt


def _watchdog(code: int) -> threading.Timer:
    """End the process in a while, whatever it does; a discovery cannot be interrupted."""
    timer = threading.Timer(_PATIENCE_S, os._exit, [code])
    timer.daemon = True
    timer.start()
    return timer


class _Running:
    """The nodes of a process and the executor that spins them."""

    def __init__(self, args: Sequence[str] | None, *, threads: int) -> None:
        # Not rclpy's handlers: they end the context while workers still publish.
        given = None if args is None else list(args)
        try:
            rclpy.init(args=given, signal_handler_options=SignalHandlerOptions.NO)
        except Exception as error:  # each mistake in --ros-args has its own
            raise ValueError(f"--ros-args: {brief(error)}") from None
        self._nodes: list[BaseNode] = []
        self._certain = 0.0  # when the other nodes are known
        self._executor = PatientExecutor(num_threads=threads)
        # In a thread of its own, because a signal does not wake whoever waits for messages.
        self._ended = threading.Event()
        self._spinner = threading.Thread(target=self._spin, daemon=True)

    def start(self, make: Callable[[], BaseNode]) -> bool:
        """Make a node and bring it up; the first one works while the others load."""
        node = make()
        if not self._nodes:
            self._certain = time.monotonic() + DISCOVERY_S
        self._nodes.append(node)
        require_free(node)  # before it takes memory for models, if that is known by now
        autostart, success = node.config.autostart, TransitionCallbackReturn.SUCCESS
        if autostart and node.trigger_configure() != success:
            return False
        require_free(node, by=self._certain)
        if autostart and node.trigger_activate() != success:
            return False
        self._executor.add_node(node)
        if len(self._nodes) == 1:
            self._spinner.start()
        return True

    def wait(self) -> None:
        """Return when the executor has ended."""
        # Not spinner.join(): interrupted, it takes the thread for ended (Python 3.11).
        while not self._ended.wait(1.0):
            pass

    def _spin(self) -> None:
        try:
            spin_through(self._executor, self._nodes[0].get_logger().error)
        finally:
            self._ended.set()

    def close(self, code: int) -> None:
        """Stop everything; ``code`` is what the process ends with if that takes too long."""
        watchdog = _watchdog(code)
        self._executor.shutdown(timeout_sec=1.0)
        if self._spinner.is_alive():
            self._spinner.join()  # Python cannot end while a thread is inside rcl
        for node in self._nodes:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
        watchdog.cancel()
