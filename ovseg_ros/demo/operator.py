"""The demo's operator: listens to everything, notes it down, and calls the services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image

from ovseg_ros.demo.figures import iou
from ovseg_ros.demo.log import DemoLog, FrameNote, MaskNote, VocabularyNote
from ovseg_ros.msg import FrameCategories
from ovseg_ros.msg import Vocabulary as VocabularyMsg
from ovseg_ros.nodes.conversions import mode_from_msg, stamp_from_msg
from ovseg_ros.nodes.images import labels_from_msg
from ovseg_ros.srv import QuerySegmentation, SetVocabulary

SEGMENTATION, EVALUATION = "segmentation_node", "evaluation_node"
CAMERA = "camera"

# Deep queues: the operator counts what arrives, and must not miss any of it while it is busy.
_EVERY = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
_EVERY_LATCHED = QoSProfile(
    depth=50,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_KEPT_TRUTHS = 30
_SERVICE_S = 10.0


class Operator(Node):
    """Notes down what arrives in ``log``; to be spun by an executor with one thread.

    Attributes:
        log: What has arrived.
        truth_names: Ids of the ground truth's names; empty before they have come.
        reports: How often the evaluation node has reported.
        truths: Newest ground truths (H, W) by stamp, while :meth:`watch_truth` asks for them.
    """

    def __init__(self, log: DemoLog, **options: Any) -> None:
        """Subscribe.

        Args:
            log: Where to note things down.
            options: What :class:`rclpy.node.Node` takes.
        """
        super().__init__("operator", **options)
        self.log = log
        self.truth_names: dict[str, int] = {}
        self.truths: dict[int, np.ndarray] = {}
        self.reports = 0
        self._temporary: dict[str, Any] = {}
        # The executor serves what is ready in this order: names before the masks that use them.
        self._listen(VocabularyMsg, f"{SEGMENTATION}/vocabulary", self._on_vocabulary, latched=True)
        self._listen(
            VocabularyMsg, f"{CAMERA}/ground_truth_vocabulary", self._on_truth_names, latched=True
        )
        self._listen(FrameCategories, f"{SEGMENTATION}/categories", self._on_categories)
        self._listen(Image, f"{SEGMENTATION}/label_mask", self._on_mask)
        self._listen(CompressedImage, f"{CAMERA}/image_raw/compressed", self._on_frame)
        self._listen(DiagnosticArray, "/diagnostics", self._on_diagnostics)
        self._listen(DiagnosticArray, f"{EVALUATION}/report", self._on_report)

    def watch_truth(self, wanted: bool) -> None:
        """Subscribe to the ground truth, or stop to: it is needed for a query only."""
        self._toggle(wanted, Image, f"{CAMERA}/ground_truth", self._on_truth)

    def watch_overlay(self, wanted: bool) -> None:
        """Subscribe to the overlay, or stop to: it is drawn only while somebody listens."""
        self._toggle(wanted, Image, f"{SEGMENTATION}/overlay", self._on_overlay)

    def set_vocabulary(self, mode: int, *names: str) -> Future:
        """Set the words of the segmentation node."""
        request = SetVocabulary.Request(names=names, mode=mode)
        return self._call(SetVocabulary, f"{SEGMENTATION}/set_vocabulary", request)

    def query(self, name: str) -> Future:
        """Ask the segmentation node for one name in its newest frame."""
        request = QuerySegmentation.Request(names=[name])
        return self._call(QuerySegmentation, f"{SEGMENTATION}/query", request)

    def change_state(self, node: str, transition: int) -> Future:
        """Take a lifecycle node from one state to another."""
        request = ChangeState.Request()
        request.transition.id = transition
        return self._call(ChangeState, f"{node}/change_state", request)

    def judge(self, reply: Any, name: str, category: str) -> dict[str, Any] | None:
        """Return a query's answer with its IoU, or None while its ground truth is not there.

        Args:
            reply: The service's reply.
            name: What was asked for.
            category: The one category of the ground truth that the name means.
        """
        truth = self.truths.get(stamp_from_msg(reply.label_mask.header.stamp))
        if truth is None:
            return None
        (result,) = reply.results
        return {
            "name": name,
            "present": result.present,
            "iou": iou(truth == self.truth_names[category], labels_from_msg(reply.label_mask) == 1),
            "score": result.score,
        }

    def _listen(
        self, kind: type, topic: str, callback: Callable[..., None], *, latched: bool = False
    ) -> Any:
        return self.create_subscription(
            kind, topic, callback, _EVERY_LATCHED if latched else _EVERY
        )

    def _toggle(self, wanted: bool, kind: type, topic: str, callback: Callable[..., None]) -> None:
        if wanted and topic not in self._temporary:
            self._temporary[topic] = self._listen(kind, topic, callback)
        elif not wanted and topic in self._temporary:
            self.destroy_subscription(self._temporary.pop(topic))

    def _call(self, kind: type, name: str, request: Any) -> Future:
        client: Any = self.create_client(kind, name)
        if not client.wait_for_service(timeout_sec=_SERVICE_S):
            raise TimeoutError(f"no service {name} within {_SERVICE_S:g} s")
        return client.call_async(request)

    # Callbacks with two arguments are told when the message came, however busy we were then.

    def _on_vocabulary(self, message: VocabularyMsg, info: dict[str, int]) -> None:
        self.log.vocabularies.append(
            VocabularyNote(
                arrival=info["received_timestamp"],
                version=message.version,
                mode=mode_from_msg(message.mode).value,
                names={category.id: category.name for category in message.categories},
            )
        )

    def _on_categories(self, message: FrameCategories) -> None:
        self.log.versions[stamp_from_msg(message.header.stamp)] = message.vocabulary_version

    def _on_mask(self, message: Image, info: dict[str, int]) -> None:
        stamp, arrival = stamp_from_msg(message.header.stamp), info["received_timestamp"]
        self.log.masks.append(MaskNote.of(labels_from_msg(message), stamp=stamp, arrival=arrival))

    def _on_frame(self, message: CompressedImage, info: dict[str, int]) -> None:
        stamp, arrival = stamp_from_msg(message.header.stamp), info["received_timestamp"]
        self.log.frames.append(FrameNote(stamp=stamp, arrival=arrival, jpeg=bytes(message.data)))

    def _on_overlay(self, message: Image) -> None:
        self.log.overlays += 1

    def _on_truth_names(self, message: VocabularyMsg) -> None:
        self.truth_names = {category.name: category.id for category in message.categories}

    def _on_truth(self, message: Image) -> None:
        self.truths[stamp_from_msg(message.header.stamp)] = labels_from_msg(message)
        while len(self.truths) > _KEPT_TRUTHS:
            self.truths.pop(next(iter(self.truths)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.log.status[status.name] = {item.key: item.value for item in status.values}

    def _on_report(self, message: DiagnosticArray) -> None:
        self.reports += 1
