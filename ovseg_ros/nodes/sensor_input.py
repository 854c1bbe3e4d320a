"""Subscriptions to sensors, whatever reliability they offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from ovseg_ros.nodes.base import INPUT_QOS, SENSOR_QOS


class SensorInput:
    """A subscription that is reliable if its sensor is, and else takes what comes.

    Fast DDS sends an image in pieces, of which a busy machine loses some; best effort then loses
    nearly every raw image. A depth of 1 keeps old images from being sent again.
    """

    def __init__(
        self,
        node: Node,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        group: CallbackGroup,
    ) -> None:
        """Subscribe; parameters may override the reliable QoS."""
        self._node, self._kind, self._topic = node, kind, topic
        self._callback, self._group = callback, group
        self._subscription: Any = self._subscribe(
            INPUT_QOS,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _subscribe(self, qos: QoSProfile, **options: Any) -> Any:
        return self._node.create_subscription(
            self._kind, self._topic, self._callback, qos, callback_group=self._group, **options
        )

    def _on_incompatible(self, info: Any) -> None:
        if self._subscription is not None:
            self.close()
            # Without overrides: their parameters would make this one reliable again.
            self._subscription = self._subscribe(SENSOR_QOS)
