"""What all nodes share: lifecycle, typed parameters, and a main that ends cleanly."""

from __future__ import annotations

import array
import contextlib
import os
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import rclpy
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from ovseg_ros.config import Option, describe, flatten, from_mapping, merge, unfold
from ovseg_ros.nodes.config import NodeConfig, check_known
from ovseg_ros.nodes.guard import guard, guard_service
from ovseg_ros.programs import explain

OUTPUT_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
INPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

_PATIENCE_S = 3.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class BaseNode(LifecycleNode):
    """A lifecycle node whose parameters are a frozen dataclass.

    Subclasses implement :meth:`load` (models), :meth:`start` (subscriptions), :meth:`stop` and
    :meth:`free`; what these raise is logged and fails the transition.

    Attributes:
        config_type: Dataclass of the parameters; its defaults are the parameters' defaults.
        live: Parameters that may change at any time; the others only before ``configure``.
        config: The parameters' current values.
    """

    config_type: ClassVar[type[NodeConfig]] = NodeConfig
    live: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, name: str, **options: Any) -> None:
        """Declare the parameters.

        Args:
            name: Name of the node.
            options: What :class:`rclpy.lifecycle.LifecycleNode` takes.

        Raises:
            ValueError: if a parameter given from outside is wrong.
        """
        super().__init__(name, **options)
        for service in self.services:  # rclpy's own: an impossible transition raises in it
            service.callback = guard_service(service.callback, service.srv_name, self._complain)
        self._loaded = self._running = False
        self._declared: dict[str, Option] = {}
        self.config: Any = self._read_parameters()
        self._declare_used()
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)

    def create_service(  # type: ignore[override]
        self, kind: Any, name: str, callback: Any, **options: Any
    ) -> Any:
        """Offer a service whose failures are answered and logged."""
        guarded = guard_service(callback, name, self._complain)
        return super().create_service(kind, name, guarded, **options)

    def create_subscription(  # type: ignore[override]
        self, kind: Any, topic: str, callback: Any, qos: Any, **options: Any
    ) -> Any:
        """Subscribe with a callback whose failures are logged."""
        guarded = guard(callback, f"a message on {topic}", self._complain)
        return super().create_subscription(kind, topic, guarded, qos, **options)

    def create_timer(  # type: ignore[override]
        self, period_s: float, callback: Any, **options: Any
    ) -> Any:
        """Make a timer whose failures are logged."""
        guarded = guard(callback, "a timer", self._complain)
        return super().create_timer(period_s, guarded, **options)

    def _complain(self, text: str) -> None:
        self.get_logger().error(text, throttle_duration_sec=1.0)

    def load(self) -> None:
        """Load what the node needs (``configure``)."""

    def start(self) -> None:
        """Subscribe and work (``activate``)."""

    def stop(self) -> None:
        """Unsubscribe and pause (``deactivate``)."""

    def free(self) -> None:
        """Let go of everything that :meth:`load` made (``cleanup``)."""

    def bring_up(self) -> bool:
        """Configure and activate; return whether that worked."""
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def close(self) -> None:
        """Stop and free whatever the state."""
        if self._running:
            self._attempt("stop", self.stop)
        if self._loaded:
            self._attempt("clean up", self.free)
        self._running = self._loaded = False

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load."""
        self._loaded = self._attempt("configure", self.load)
        if not self._loaded:
            with contextlib.suppress(Exception):  # whatever of it there is
                self.free()
        return self._result(self._loaded)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start."""
        self._running = self._attempt("activate", self.start)
        if not self._running:
            with contextlib.suppress(Exception):
                self.stop()
        return self._result(self._running)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop."""
        self._running = False
        return self._result(self._attempt("deactivate", self.stop))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free."""
        self._loaded = False
        return self._result(self._attempt("clean up", self.free))

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def _result(self, success: bool) -> TransitionCallbackReturn:
        return TransitionCallbackReturn.SUCCESS if success else TransitionCallbackReturn.FAILURE

    def _attempt(self, what: str, step: Callable[[], None]) -> bool:
        try:
            step()
        except (ValueError, OSError, ImportError) as error:  # an option, file or package: it says
            self.get_logger().error(f"could not {what}: {explain(error)}")
            return False
        except Exception:  # rclpy would drop it without a word
            self.get_logger().error(f"could not {what}:\n{traceback.format_exc()}")
            return False
        self.get_logger().info(f"{what}: done")
        return True

    def below(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return options, nested, on top of which the given parameters are set."""
        return {}

    def _read_parameters(self) -> Any:
        """Return the parameters' values as given from outside, defaults elsewhere."""
        given = {
            name: parameter.value
            for name, parameter in self._parameter_overrides.items()
            if parameter.value is not None
        }
        own = {leaf.name for leaf in describe(self.config_type())}
        check_known(given, own)
        below = self.below(given)
        mine = unfold({name: value for name, value in given.items() if name in own})
        return from_mapping(self.config_type, merge(below, mine))

    def _declare_used(self) -> None:
        """Declare the parameters that have an effect, and no others."""
        leaves = {leaf.name: leaf for leaf in describe(self.config, used=True)}
        for name in self._declared.keys() - leaves.keys():
            self.undeclare_parameter(name)
        fresh = [leaf for name, leaf in leaves.items() if name not in self._declared]
        self._declared = leaves
        for leaf in fresh:
            self._declare(leaf)

    def _declare(self, leaf: Option) -> None:
        when = "live" if leaf.name in self.live else "takes effect in configure"
        descriptor = ParameterDescriptor(description=f"{leaf.help} ({when})")
        if leaf.choices is not None:
            descriptor.additional_constraints = "one of " + ", ".join(map(repr, leaf.choices))
        limits = {"from_value": leaf.low, "to_value": leaf.high}
        if isinstance(leaf.value, float):
            descriptor.dynamic_typing = True  # `rate_hz: 10` is meant as 10.0
        if leaf.low is not None or leaf.high is not None:
            if isinstance(leaf.value, float):
                limits = {k: _limit(k, v, 1e308) for k, v in limits.items()}
                descriptor.floating_point_range = [FloatingPointRange(**limits, step=0.0)]
            elif isinstance(leaf.value, int):
                limits = {k: int(_limit(k, v, 2**53)) for k, v in limits.items()}
                descriptor.integer_range = [IntegerRange(**limits, step=1)]
        if isinstance(leaf.value, list) and not leaf.value:
            # rclpy takes an empty list for bytes: declare the type first, then the value.
            self.declare_parameter(leaf.name, [""], descriptor, ignore_override=True)
            self.set_parameters([Parameter(leaf.name, Parameter.Type.STRING_ARRAY, [])])
        else:
            self.declare_parameter(leaf.name, leaf.value, descriptor, ignore_override=True)

    def _changed(self, parameters: Sequence[Parameter]) -> dict[str, Any]:
        """Return those of our parameters that get another value; 1 is 1.0 where a float is."""
        before, changed = flatten(self.config), {}
        for parameter in parameters:
            value = parameter.value
            if parameter.name not in self._declared:
                continue
            if isinstance(value, (array.array, tuple)):
                value = list(value)
            if isinstance(before[parameter.name], float) and type(value) is int:
                value = float(value)
            if value != before[parameter.name] or type(value) is not type(before[parameter.name]):
                changed[parameter.name] = value
        return changed

    def _check_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        changed = self._changed(parameters)
        fixed = sorted(set(changed) - self.live)
        if fixed and self._loaded:
            reason = f"{fixed[0]}: takes effect in configure, clean the node up first"
            return SetParametersResult(successful=False, reason=reason)
        if "preset" in changed:
            reason = "preset: is read when the node starts; start it with -p preset:=NAME"
            return SetParametersResult(successful=False, reason=reason)
        try:
            config = from_mapping(self.config_type, {**flatten(self.config), **changed})
            self.check(config)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def check(self, config: Any) -> None:
        """Raise ValueError if the options do not fit each other."""

    def _take_parameters(self, parameters: Sequence[Parameter]) -> None:
        changed = self._changed(parameters)
        if changed:
            self.config = from_mapping(self.config_type, {**flatten(self.config), **changed})
            self._declare_used()


def _limit(which: str, value: float | None, largest: float) -> float:
    return value if value is not None else -largest if which == "from_value" else largest


def spin(*makers: Callable[[], BaseNode], args: Sequence[str] | None = None) -> int:
    """Run nodes in one process until SIGINT or SIGTERM and return the exit code.

    Args:
        makers: What makes each node, usually its class; they start in this order.
        args: Command line; default ``sys.argv``.

    Returns:
        0 after a signal, 1 if a node has a wrong parameter, does not start by itself or fails.
    """
    nodes: list[BaseNode] = []
    # Not rclpy's handlers: they end the context while workers still publish.
    rclpy.init(
        args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO
    )
    executor = PatientExecutor(num_threads=4 + 3 * len(makers))
    # In a thread of its own, because a signal does not wake whoever waits for messages.
    ended = threading.Event()
    spinner = threading.Thread(target=_spin, args=(executor, nodes, ended), daemon=True)
    code = 1
    try:
        for number in _SIGNALS:
            signal.signal(number, _interrupt)
        for make in makers:
            nodes.append(make())
            if nodes[-1].config.autostart and not nodes[-1].bring_up():
                break
            executor.add_node(nodes[-1])
            if len(nodes) == 1:
                spinner.start()  # the first node works while the others load
        else:
            # Not spinner.join(): interrupted, it takes the thread for ended (Python 3.11).
            while not ended.wait(1.0):
                pass
    except KeyboardInterrupt:
        code = 0
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
    _close(executor, spinner, nodes, code)
    return code


def _interrupt(number: int, frame: Any) -> None:
    for other in _SIGNALS:  # once is enough; what follows must not be interrupted
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _spin(
    executor: MultiThreadedExecutor, nodes: Sequence[BaseNode], ended: threading.Event
) -> None:
    try:
        spin_through(executor, nodes[0].get_logger().error)
    finally:
        ended.set()


class PatientExecutor(MultiThreadedExecutor):
    """rclpy's executor, but it lets its threads begin.

    That of Jazzy submits a callback again and again, without a pause, until a thread has taken it
    (ros2/rclpy#1452), and holds the interpreter lock that the thread needs for it.
    """

    def __init__(self, **options: Any) -> None:
        """Take what rclpy's takes."""
        super().__init__(**options)
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def wait_for_ready_callbacks(self, *args: Any, **options: Any) -> Any:
        """Return the next callback; pause before one that still waits for a thread."""
        ready: Any = super().wait_for_ready_callbacks(*args, **options)
        if ready[0] in self._seen:
            time.sleep(0.001)
        self._seen.add(ready[0])
        return ready


def spin_through(
    executor: Executor, complain: Callable[[str], None] = lambda text: print(text, file=sys.stderr)
) -> None:
    """Spin until the executor is shut down, whatever its callbacks raise.

    What passes the guards of :class:`BaseNode` are rclpy's own: InvalidHandle if something is
    destroyed while it collects what to wait for, and what event callbacks raise.

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
            complain(f"the executor goes on after:\n{traceback.format_exc()}")
            time.sleep(0.05)


def _close(
    executor: MultiThreadedExecutor,
    spinner: threading.Thread,
    nodes: Sequence[BaseNode],
    code: int,
) -> None:
    # A discovery cannot be interrupted, and launch kills who is not gone after five seconds.
    watchdog = threading.Timer(_PATIENCE_S, os._exit, [code])
    watchdog.daemon = True
    watchdog.start()
    executor.shutdown(timeout_sec=1.0)
    if spinner.is_alive():
        spinner.join()  # Python cannot end while a thread is inside rcl
    for node in nodes:
        node.close()
        node.destroy_node()
    rclpy.try_shutdown()
    watchdog.cancel()
