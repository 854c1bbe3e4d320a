"""Subscriptions to sensors, whatever reliability they offer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.qos_overriding_options import QoSOverridingOptions

from ovseg_ros.nodes.base import INPUT_QOS, SENSOR_QOS
from ovseg_ros.nodes.diagnostics import Meter


class SensorInput:
    """Receives a sensor reliably where it offers that, and as it comes where it does not.

    Fast DDS sends an image in pieces, of which a busy machine loses some; best effort then loses
    nearly every raw image. A depth of 1 keeps old images from being sent again.

    The reliable subscription is made once and lives as long as the node: rclpy may hang for good
    when one is destroyed under load (docs/rclpy_reliable_subscription.md). A best-effort one joins
    it when a publisher turns up that offers no more, and rests when the last of these has gone;
    what both receive counts once.

    Attributes:
        callback: Takes each message.
        open: Whether messages are given to the callback; others are dropped.
        lost: Messages that were sent and never came whole, as the middleware says.
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
        self.callback, self._lock = callback, threading.Lock()
        self.open, self.lost = False, Meter()
        self._seen: tuple[int, ...] = ()
        self._unneeded = 0  # judgements in a row that found nobody who needs best effort
        self._loose = _RestingGroup()
        self._loose_made, self._woken_ns = False, 0
        take: Any = self._take_first  # rclpy gives the second argument to who takes it
        self._first = node.create_subscription(
            kind,
            topic,
            take,
            INPUT_QOS,
            callback_group=group,
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=self._on_incompatible, message_lost=self._on_lost
            ),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    @property
    def best_effort(self) -> bool:
        """Whether a publisher is there that offers best effort only."""
        return self._loose.awake

    @property
    def qos(self) -> str:
        """How messages are received, for people."""
        return "reliable and best effort" if self.best_effort else "reliable"

    def judge(self) -> None:
        """Look at the publishers that are there now; to be called about once a second."""
        try:
            theirs = self._node.get_publishers_info_by_topic(self._first.topic_name)
        except Exception:
            if self._node.context.ok():
                raise
            return  # ROS was shut down meanwhile
        if any(not _fits(info.qos_profile, self._first.qos_profile) for info in theirs):
            self._wake()
        elif self.best_effort:
            self._unneeded += 1
            if self._unneeded > 1:  # one that has just come may not be listed yet
                self._loose.awake = False

    def _on_incompatible(self, info: Any) -> None:
        self._wake()

    def _on_lost(self, info: Any) -> None:
        self.lost.add(count=info.total_count_change)

    def _wake(self) -> None:
        with self._lock:
            self._unneeded = 0
            if not self.best_effort:
                self._woken_ns, self._loose.awake = time.time_ns(), True
            if not self._loose_made:
                self._loose_made = True
                take: Any = self._take_loose
                # Without overrides: their parameters would make this one reliable again.
                self._node.create_subscription(
                    self._kind,
                    self._topic,
                    take,
                    SENSOR_QOS,
                    callback_group=self._loose,
                    event_callbacks=SubscriptionEventCallbacks(message_lost=self._on_lost),
                )

    def _take_first(self, message: Any, info: dict[str, int]) -> None:
        if self.best_effort:
            self._take(message, info)
        elif self.open:
            self.callback(message)

    def _take_loose(self, message: Any, info: dict[str, int]) -> None:
        if not 0 < info["received_timestamp"] < self._woken_ns:  # left over from an earlier time
            self._take(message, info)

    def _take(self, message: Any, info: dict[str, int]) -> None:
        sent = info["source_timestamp"]  # of one message the same in both subscriptions
        with self._lock:
            if not self.open or sent in self._seen:
                return
            self._seen = (*self._seen[-7:], sent)
            self.callback(message)


class _RestingGroup(MutuallyExclusiveCallbackGroup):
    """A callback group that the executor passes over while it rests: nothing is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.awake = False

    def can_execute(self, entity: Any) -> bool:
        return self.awake and super().can_execute(entity)


def _fits(offered: QoSProfile, asked: QoSProfile) -> bool:
    return qos_check_compatible(offered, asked)[0] != QoSCompatibility.ERROR
