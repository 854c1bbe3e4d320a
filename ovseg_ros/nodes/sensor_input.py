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
    """Receives a sensor reliably where it offers that, and as it comes where it does not.

    Fast DDS sends an image in pieces, of which a busy machine loses some; best effort then loses
    nearly every raw image. A depth of 1 keeps old images from being sent again.

    The reliable subscription is made once and lives as long as the node: rclpy may hang for good
    when one is destroyed under load (docs/rclpy_reliable_subscription.md). A best-effort one joins
    it when a publisher turns up that offers no more; what both receive counts once.

    Attributes:
        callback: Takes each message.
        open: Whether messages are given to the callback; others are dropped.
        best_effort: Whether a publisher has turned up that offers best effort only.
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
        self.callback, self._group = callback, group
        self.open, self.best_effort = False, False
        self._seen: tuple[int, ...] = ()
        self._subscribe(
            INPUT_QOS,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    @property
    def qos(self) -> str:
        """How messages are received, for people."""
        return "reliable and best effort" if self.best_effort else "reliable"

    def _subscribe(self, qos: QoSProfile, **options: Any) -> None:
        take: Any = self._take  # rclpy gives the second argument to who takes it
        self._node.create_subscription(
            self._kind, self._topic, take, qos, callback_group=self._group, **options
        )

    def _take(self, message: Any, info: dict[str, int]) -> None:
        if not self.open:
            return
        if self.best_effort:
            sent = info["source_timestamp"]  # of one message the same in both subscriptions
            if sent in self._seen:
                return
            self._seen = (*self._seen[-7:], sent)
        self.callback(message)

    def _on_incompatible(self, info: Any) -> None:
        if not self.best_effort:
            self.best_effort = True
            # Without overrides: their parameters would make this one reliable again.
            self._subscribe(SENSOR_QOS)
