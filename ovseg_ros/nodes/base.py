"""What all nodes share: lifecycle and typed parameters."""

from __future__ import annotations

import array
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import InvalidQosOverridesError

from ovseg_ros.config import Option, describe, flatten, from_mapping, merge, unfold
from ovseg_ros.nodes.config import NodeConfig, check_known
from ovseg_ros.nodes.guard import brief, guard, guard_service, last_traceback, sayable
from ovseg_ros.programs import explain

OUTPUT_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
INPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
SERVICE_QOS = QoSProfile(depth=100)  # requests that wait for their turn are not lost
SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

MISTAKES = (ValueError, OSError, ImportError, ParameterException)
"""Whose message is enough: a wrong option, name or parameter, a missing file or package."""


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
        options.setdefault("qos_profile", SERVICE_QOS)
        return super().create_service(kind, name, guarded, **options)

    def create_subscription(  # type: ignore[override]
        self, kind: Any, topic: str, callback: Any, qos: Any, **options: Any
    ) -> Any:
        """Subscribe with a callback whose failures are logged."""
        guarded = guard(callback, f"a message on {topic}", self._complain)
        with _naming(topic):
            return super().create_subscription(kind, topic, guarded, qos, **options)

    def create_publisher(  # type: ignore[override]
        self, kind: Any, topic: str, qos: Any, **options: Any
    ) -> Any:
        """Advertise a topic."""
        with _naming(topic):
            return super().create_publisher(kind, topic, qos, **options)

    def create_timer(  # type: ignore[override]
        self, period_s: float, callback: Any, **options: Any
    ) -> Any:
        """Make a timer of the steady clock, also under simulated time; its failures are logged."""
        guarded = guard(callback, "a timer", self._complain)
        options.setdefault("clock", Clock(clock_type=ClockType.STEADY_TIME))
        return super().create_timer(period_s, guarded, **options)

    def _complain(self, text: str) -> None:
        self.get_logger().error(sayable(text), throttle_duration_sec=1.0)

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
        except MISTAKES as error:  # an option, file or package: it says
            self.get_logger().error(sayable(f"could not {what}: {explain(error)}"))
            return False
        except KeyboardInterrupt:
            raise
        except BaseException:  # rclpy would drop it without a word
            self.get_logger().error(f"could not {what}:\n{last_traceback()}")
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


@contextlib.contextmanager
def _naming(topic: str) -> Iterator[None]:
    """Say of which topic a name or a quality of service is wrong: ValueError."""
    try:
        yield
    except (RuntimeError, NameValidationException, InvalidQosOverridesError) as error:
        raise ValueError(f"{topic}: {brief(error)}") from None


def _limit(which: str, value: float | None, largest: float) -> float:
    return value if value is not None else -largest if which == "from_value" else largest
