"""The services of the segmentation node: set and get the vocabulary, ask about one image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ovseg_ros.nodes.conversions import (
    duration_to_msg,
    mode_from_msg,
    query_results_to_msg,
    stamp_to_msg,
)
from ovseg_ros.nodes.guard import brief
from ovseg_ros.nodes.image_worker import wait_for
from ovseg_ros.nodes.images import image_from_msg, image_to_msg, labels_to_msg
from ovseg_ros.srv import GetVocabulary, QuerySegmentation, SetVocabulary
from ovseg_ros.vocabulary.config import distinct

if TYPE_CHECKING:
    from ovseg_ros.nodes.segmentation_node import SegmentationNode
    from ovseg_ros.pipeline import Pipeline
    from ovseg_ros.types import Vocabulary

_SHOWN = 20  # names in a message
_ENCODED = 256  # names that are encoded before another request has its turn


class SegmentationServices:
    """Answers ``~/set_vocabulary``, ``~/get_vocabulary`` and ``~/query``."""

    def __init__(self, node: SegmentationNode) -> None:
        """Offer the services in the node's group for services."""
        self._node = node
        self._text = ThreadPoolExecutor(1, thread_name_prefix="text")
        for kind, name, answer in (
            (SetVocabulary, "~/set_vocabulary", self._on_set),
            (GetVocabulary, "~/get_vocabulary", self._on_get),
            (QuerySegmentation, "~/query", self._on_query),
        ):
            node.create_service(kind, name, answer, callback_group=node.service_group)

    def _on_set(self, request: Any, reply: Any) -> Any:
        node, pipeline = self._node, self._node.pipeline
        if pipeline is None:
            return refused(reply, "the node is not configured")
        names = list(request.names)
        try:
            with node.slow_calls["set"].admit():
                deadline = time.monotonic() + node.config.query_timeout_s
                mode = mode_from_msg(request.mode)
                clean = distinct(names)
                if len(clean) <= node.config.vocabulary.max_categories:
                    self._prepare(pipeline, clean, deadline)
                vocabulary = pipeline.vocabulary.set(
                    names,
                    mode=mode,
                    groups=list(request.groups),
                    stamp=node.get_clock().now().nanoseconds / 1e9,
                    new_session=request.new_session,
                )
            if node.pipeline is not pipeline:  # these words are in force nowhere
                return refused(reply, "the node was cleaned up meanwhile")
        except (ValueError, RuntimeError) as error:
            self._describe(reply, pipeline.vocabulary.snapshot())
            return refused(reply, str(error))
        # Asked after the change: what the worker takes from now on is segmented with it.
        stamps = node.valid_from()
        reply.valid_from = stamp_to_msg(max(stamps))
        reply.camera_valid_from = [stamp_to_msg(stamp) for stamp in stamps]
        self._describe(reply, vocabulary)
        reply.success = True
        reply.message = f"version {vocabulary.version}: {shown(vocabulary.names) or 'no names'}"
        node.get_logger().info(f"vocabulary set to {reply.message}")
        for warning in pipeline.vocabulary.warnings:
            node.get_logger().warning(brief(warning))
        node.worker.wake()
        return reply

    def _describe(self, reply: Any, vocabulary: Vocabulary) -> None:
        message = self._node.words.message(vocabulary)
        reply.version, reply.session = message.version, message.session
        reply.categories = message.categories

    def _on_get(self, request: Any, reply: Any) -> Any:
        pipeline = self._node.pipeline
        if pipeline is not None:
            reply.vocabulary = self._node.words.message(pipeline.vocabulary.snapshot())
        return reply

    def _on_query(self, request: Any, reply: Any) -> Any:
        node, pipeline = self._node, self._node.pipeline
        try:
            names = distinct(list(request.names))
            if not names:
                raise ValueError("names: expected at least one name, got none")
            if pipeline is None:
                return refused(reply, "the node is not configured")
            with node.slow_calls["query"].admit():
                deadline = time.monotonic() + node.config.query_timeout_s
                header, image, age_s = picture_or_newest(node, request)
                self._prepare(pipeline, names, deadline)
                future = node.worker.submit(lambda: node.query(pipeline, image, names))
                found, answers = wait_for(future, deadline - time.monotonic())
        except (ValueError, RuntimeError) as error:
            return refused(reply, str(error))
        encoding = "mono8" if found.labels.itemsize == 1 else "16UC1"
        reply.label_mask = labels_to_msg(found.labels[0], encoding, header)
        reply.confidence = image_to_msg(found.confidence[0], "mono8", header)
        reply.results = query_results_to_msg(answers)
        reply.age = duration_to_msg(round(age_s * 1e9))
        present = [answer.name for answer in answers if answer.present]
        reply.success, reply.message = True, f"present: {shown(present) or 'none of the names'}"
        if missing := found.names_left_out(0):  # of these nobody knows
            reply.message += f"; left out, too many names: {shown(missing)}"
        return reply

    def _prepare(self, pipeline: Pipeline, names: Sequence[str], deadline: float) -> None:
        """Have names encoded, in a thread of its own so that a request can give up on it.

        Some at a time: what is left of a request that gave up keeps no other one waiting.
        """
        for start in range(0, len(names), _ENCODED):
            some = names[start : start + _ENCODED]
            encoded = self._text.submit(self._node.prepare, pipeline, some)
            wait_for(encoded, deadline - time.monotonic())


def shown(names: Sequence[str]) -> str:
    """Return names as text; of very many the first ones and their number."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def picture_or_newest(node: Any, request: Any) -> tuple[Any, Any, float]:
    """Return header, RGB image and age of a request's picture, or of the node's newest frame.

    The age is the time in seconds since a frame arrived, 0 for a picture of the request.

    Raises:
        ValueError: if the picture is corrupt, there is no frame yet, or none that is new enough.
    """
    message, age_s = request.image, 0.0
    if not request.max_age_s >= 0:
        raise ValueError(f"max_age_s: expected at least 0 (any age), got {request.max_age_s:g}")
    if not message.data and not message.encoding:
        newest = node.worker.newest()
        if newest is None:
            raise ValueError(f"image: expected one, no frame has come on {node.topic(0)} yet")
        message, arrival = newest
        age_s = time.monotonic() - arrival
        if 0 < request.max_age_s < age_s:
            raise ValueError(
                f"max_age_s: expected a frame of the last {request.max_age_s:g} s, "
                f"the newest on {node.topic(0)} came {age_s:.1f} s ago"
            )
    try:
        return message.header, image_from_msg(message), age_s
    except ValueError as error:
        raise ValueError(f"image: {error}") from None


def refused(reply: Any, reason: str) -> Any:
    """Return a reply that says why a request was refused."""
    reply.success, reply.message = False, brief(reason)
    return reply
