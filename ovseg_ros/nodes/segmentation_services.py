"""The services of the segmentation node: set and get the vocabulary, ask about one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ovseg_ros.nodes.conversions import (
    mode_from_msg,
    query_results_to_msg,
    stamp_to_msg,
)
from ovseg_ros.nodes.image_worker import wait_for
from ovseg_ros.nodes.images import image_from_msg, image_to_msg, labels_to_msg
from ovseg_ros.srv import GetVocabulary, QuerySegmentation, SetVocabulary
from ovseg_ros.vocabulary.living import distinct

if TYPE_CHECKING:
    from ovseg_ros.nodes.segmentation_node import SegmentationNode

_SHOWN = 20  # names in a message


class SegmentationServices:
    """Answers ``~/set_vocabulary``, ``~/get_vocabulary`` and ``~/query``."""

    def __init__(self, node: SegmentationNode) -> None:
        """Offer the services in the node's group for services."""
        self._node = node
        for kind, name, answer in (
            (SetVocabulary, "~/set_vocabulary", self._on_set),
            (GetVocabulary, "~/get_vocabulary", self._on_get),
            (QuerySegmentation, "~/query", self._on_query),
        ):
            node.create_service(kind, name, answer, callback_group=node.service_group)

    def _on_set(self, request: Any, reply: Any) -> Any:
        node = self._node
        if node.pipeline is None:
            return refused(reply, "the node is not configured")
        names = list(request.names)
        try:
            mode = mode_from_msg(request.mode)
            clean = distinct(names)
            if len(clean) <= node.config.vocabulary.max_categories:
                node.pipeline.prepare(clean)
            vocabulary = node.pipeline.vocabulary.set(
                names,
                mode=mode,
                groups=list(request.groups),
                stamp=node.get_clock().now().nanoseconds / 1e9,
            )
        except ValueError as error:
            message = node.vocabulary_msg()
            reply.version, reply.categories = message.version, message.categories
            return refused(reply, str(error))
        # Asked after the change: what the worker takes from now on is segmented with it.
        reply.valid_from = stamp_to_msg(node.valid_from())
        message = node.vocabulary_msg(vocabulary)
        reply.version, reply.categories = message.version, message.categories
        reply.success = True
        reply.message = f"version {vocabulary.version}: {_shown(vocabulary.names) or 'no names'}"
        node.get_logger().info(f"vocabulary set to {reply.message}")
        node.worker.wake()
        return reply

    def _on_get(self, request: Any, reply: Any) -> Any:
        if self._node.pipeline is not None:
            reply.vocabulary = self._node.vocabulary_msg()
        return reply

    def _on_query(self, request: Any, reply: Any) -> Any:
        node = self._node
        pipeline = node.pipeline
        try:
            names = distinct(list(request.names))
            if not names:
                raise ValueError("names: expected at least one name, got none")
            header, image = picture_or_newest(node, request.image)
            if pipeline is None:
                return refused(reply, "the node is not configured")
            pipeline.prepare(names)
            future = node.worker.submit(lambda: pipeline.query(image, names))
            found, answers = wait_for(future, node.config.query_timeout_s)
        except (ValueError, RuntimeError) as error:
            return refused(reply, str(error))
        encoding = "mono8" if found.labels.itemsize == 1 else "16UC1"
        reply.label_mask = labels_to_msg(found.labels[0], encoding, header)
        reply.confidence = image_to_msg(found.confidence[0], "mono8", header)
        reply.results = query_results_to_msg(answers)
        present = [answer.name for answer in answers if answer.present]
        reply.success, reply.message = True, f"present: {_shown(present) or 'none of the names'}"
        return reply


def _shown(names: Sequence[str]) -> str:
    """Return names as text; of very many the first ones and their number."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def picture_or_newest(node: Any, message: Any) -> tuple[Any, Any]:
    """Return header and RGB image of a request's picture, or of the node's newest frame.

    Raises:
        ValueError: if the picture is corrupt, or there is no frame yet.
    """
    if not message.data and not message.encoding:
        message = node.worker.newest()
        if message is None:
            raise ValueError(f"image: expected one, no frame has come on {node.topic(0)} yet")
    try:
        return message.header, image_from_msg(message)
    except ValueError as error:
        raise ValueError(f"image: {error}") from None


def refused(reply: Any, reason: str) -> Any:
    """Return a reply that says why a request was refused."""
    reply.success, reply.message = False, reason
    return reply
