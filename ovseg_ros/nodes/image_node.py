"""What the nodes that look at cameras share: subscriptions, the worker, diagnostics, enable."""

from __future__ import annotations

import threading
import traceback
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.exceptions import NameValidationException
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from ovseg_ros.nodes import diagnostics
from ovseg_ros.nodes.base import OUTPUT_QOS, BaseNode
from ovseg_ros.nodes.config import ImageNodeConfig, preset_below
from ovseg_ros.nodes.conversions import stamp_from_msg
from ovseg_ros.nodes.guard import brief, sayable
from ovseg_ros.nodes.image_worker import Frames, ImageWorker, SlowCalls
from ovseg_ros.nodes.images import image_from_msg
from ovseg_ros.nodes.sensor_input import SensorInput

_PATIENCE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded camera image: index of its camera, header, and RGB (H, W, 3) uint8."""

    camera: int
    header: Header
    image: np.ndarray


class ImageNode(BaseNode):
    """Feeds the newest frame of each camera to :meth:`look`, in a thread of its own.

    Attributes:
        worker: The thread that owns the model.
        meter: Rate and age of the results; subclasses add to it.
        refused: Frames that could not be decoded or worked on.
    """

    config: Any
    config_type = ImageNodeConfig

    def __init__(self, name: str, **options: Any) -> None:
        """Offer the services and prepare the worker."""
        super().__init__(name, **options)
        self.service_group = ReentrantCallbackGroup()
        self._image_group = MutuallyExclusiveCallbackGroup()
        self._word_group = MutuallyExclusiveCallbackGroup()  # encodes text; images do not wait
        self.worker = self.make_worker()
        self.slow_calls = {
            "query": SlowCalls("queries", 2),
            "set": SlowCalls("changes of the vocabulary", 3),
            "discover": SlowCalls("discoveries", 2),
        }
        self.meter = diagnostics.Meter()
        self._arrivals = diagnostics.Meter()
        self.refused, self._last_refusal = 0, ""
        self._refusals, self._looks = diagnostics.Meter(), diagnostics.Meter()
        self._enabled = True
        self._gate = threading.Lock()  # held while inputs open and close
        self._inputs: list[SensorInput] = []
        self._sensors: dict[tuple[type, str], SensorInput] = {}
        self._publishers_made: dict[tuple[type, str], Any] = {}
        self._subscribed: dict[tuple[type, str], Any] = {}
        self._heard: dict[type, str] = {}  # topics of this configuration
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", OUTPUT_QOS)
        self.create_timer(1.0, self._on_diagnostics, callback_group=self.service_group)
        self.create_service(SetBool, "~/enable", self._on_enable, callback_group=self.service_group)

    def below(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the options of the preset."""
        return preset_below(given, self.get_name())

    def make_worker(self) -> ImageWorker:
        """Return the worker, not started."""
        return ImageWorker(self._work, failed=self._on_failure, name=self.get_name())

    @abstractmethod
    def look(self, pictures: Sequence[Picture]) -> None:
        """Work on the newest pictures, at most one of each camera."""

    @abstractmethod
    def device(self) -> str:
        """Return the device the model runs on."""

    def patience_s(self) -> float:
        """Return how long looking at an image may take, in seconds, before that is an error."""
        return _PATIENCE_S

    def judge(self) -> dict[str, diagnostics.Judgement]:
        """Return the judgement of more parts, by their names."""
        return {}

    def report(self) -> dict[str, str]:
        """Return what diagnostics should say beyond rate, age, drops and device."""
        return {}

    def start(self) -> None:
        """Start the worker, then subscribe."""
        self.meter, self._arrivals = diagnostics.Meter(), diagnostics.Meter()
        self._looks = diagnostics.Meter()
        self.worker.start()
        kind = CompressedImage if self.config.image_transport == "compressed" else Image
        inputs = [
            self.sensor(kind, self.topic(camera), partial(self._on_image, camera))
            for camera in range(len(self.config.image_topics))
        ]
        with self._gate:
            self._inputs = inputs
            self._open_inputs()
        self.get_logger().info(f"images from {self._topics()} ({self.config.image_transport})")

    def stop(self) -> None:
        """Drop what comes from now on, then stop the worker."""
        with self._gate:
            for sensor in self._inputs:
                sensor.open = False
            self._inputs = []
        self.worker.stop()

    def _open_inputs(self) -> None:
        for sensor in self._inputs:
            sensor.open = self._enabled

    def _topics(self) -> str:
        return ", ".join(map(self.topic, range(len(self.config.image_topics))))

    def topic(self, camera: int) -> str:
        """Return the full name of the topic a camera is received on.

        Raises:
            ValueError: if it is no name of a topic.
        """
        # image_transport resolves the base name first, so that a remapping of it counts.
        name = self.config.image_topics[camera]
        try:
            topic = self.resolve_topic_name(name)
        except (RuntimeError, NameValidationException) as error:
            raise ValueError(f"image_topics: {name!r}: {brief(error)}") from None
        return f"{topic}/compressed" if self.config.image_transport == "compressed" else topic

    # What a node has once made stays until it is destroyed: rclpy is not safe against destroying
    # entities while an executor waits for them.

    def sensor(self, kind: type, topic: str, callback: Any) -> SensorInput:
        """Return the subscription to a sensor, closed; it calls back with each message once."""
        key = kind, topic
        if key not in self._sensors:
            self._sensors[key] = SensorInput(self, kind, topic, callback, self._image_group)
        self._sensors[key].callback = callback
        return self._sensors[key]

    def subscribe(self, kind: type, topic: str, callback: Any, qos: QoSProfile) -> None:
        """Subscribe to the one topic of a kind, with QoS that parameters may override.

        What comes on the topic of an earlier configuration is dropped.
        """
        key = kind, topic
        self._heard[kind] = topic
        if key not in self._subscribed:

            def take(message: Any) -> None:
                if self._heard[kind] == topic:
                    callback(message)

            self._subscribed[key] = self.create_subscription(
                kind,
                topic,
                take,
                qos,
                callback_group=self._word_group,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )

    def publisher(self, kind: type, topic: str, qos: QoSProfile = OUTPUT_QOS) -> Any:
        """Return the publisher of a topic, with QoS that parameters may override."""
        key = kind, topic
        if key not in self._publishers_made:
            options = QoSOverridingOptions.with_default_policies()
            self._publishers_made[key] = self.create_publisher(
                kind, topic, qos, qos_overriding_options=options
            )
        return self._publishers_made[key]

    def decode(self, camera: int, message: Image | CompressedImage) -> Picture | None:
        """Return a camera message's picture, or None (counted and logged) if it has none."""
        try:
            return Picture(camera=camera, header=message.header, image=image_from_msg(message))
        except ValueError as error:
            self.refuse(f"frame on {self.topic(camera)}: {error}")
        except Exception as error:  # of a library: the other cameras' frames are as good as ever
            self._on_failure(error)
        return None

    def refuse(self, reason: str, details: str = "") -> None:
        """Count a frame or message that is not used, and say why now and then."""
        self.refused += 1
        self._refusals.add()
        self._last_refusal = brief(reason)
        text = f"refused {self._last_refusal}{sayable(details)}"
        self.get_logger().warning(text, throttle_duration_sec=5.0)

    def measure(self, header: Header) -> None:
        """Count a result that has just been published, with the age of its image."""
        age = self.get_clock().now().nanoseconds - stamp_from_msg(header.stamp)
        self.meter.add(age / 1e9)

    def _on_image(self, camera: int, message: Image | CompressedImage) -> None:
        self._arrivals.add()
        self.worker.put(camera, message)

    def _work(self, frames: Frames) -> None:
        pictures = [self.decode(camera, message) for camera, message in frames]
        if any(pictures):
            self.look([picture for picture in pictures if picture is not None])
            self._looks.add()

    def _on_failure(self, error: BaseException) -> None:
        lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        why = ": ".join(filter(None, ["frame", type(error).__name__, str(error)]))
        self.refuse(why, f"\n{lines}")

    def _on_enable(self, request: SetBool.Request, reply: SetBool.Response) -> SetBool.Response:
        with self._gate:
            self._enabled = request.data
            self._open_inputs()
        reply.success = True
        reply.message = "enabled" if request.data else "disabled"
        return reply

    def _on_diagnostics(self) -> None:
        for sensor in list(self._sensors.values()):
            sensor.judge()
        if not self.worker.running:
            return
        device = self.device()
        parts = {
            "device": diagnostics.device_status(self.config.device, device),
            "input": diagnostics.input_status(
                self._arrivals.silent_s,
                self._topics(),
                self._inputs,
                arrivals=self._arrivals.rate_hz,
            ),
            "decoding": diagnostics.decoding_status(
                arrivals=self._arrivals.rate_hz,
                results=self._looks.rate_hz,
                refusals=self._refusals.rate_hz,
                reason=self._last_refusal,
                silent_s=self._looks.silent_s,
                patience_s=self.patience_s(),
            ),
            **self.judge(),
        }
        parts["enabled"] = diagnostics.OK, "enabled" if self._enabled else "disabled"
        if not self._enabled:  # nothing is wrong with what is not wanted
            parts["input"] = parts["decoding"] = parts["enabled"]
        p50, p95 = self.meter.age_ms(50, 95)
        values = {
            "rate_hz": f"{self.meter.rate_hz:.2f}",
            "input_rate_hz": f"{self._arrivals.rate_hz:.2f}",
            "age_p50_ms": f"{p50:.1f}",
            "age_p95_ms": f"{p95:.1f}",
            "frames": str(self.meter.count),
            "received": str(self.worker.received),
            "dropped": str(self.worker.dropped),
            "refused": str(self.refused),
            "device": device,
            **diagnostics.gpu_memory(device),
            **self.report(),
        }
        name = self.get_fully_qualified_name().lstrip("/")
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics.to_msg(name, device, parts, values, stamp))
