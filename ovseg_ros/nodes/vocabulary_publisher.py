"""The topics that say which words are in force: ``~/vocabulary`` and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ovseg_ros.msg import Vocabulary as VocabularyMsg
from ovseg_ros.nodes.base import LATCHED_QOS
from ovseg_ros.nodes.conversions import (
    LabelInfo,
    groups_to_msg,
    label_info_to_msg,
    vocabulary_to_msg,
)
from ovseg_ros.types import Vocabulary
from ovseg_ros.vocabulary.groups import GroupTable

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time


class Outlet(Protocol):
    """What masks and words are published through: the segmentation node, or a bag.

    Attributes:
        config: A :class:`~ovseg_ros.nodes.config.SegmentationNodeConfig`.
        groups: Stable classes of the words.
    """

    config: Any
    groups: GroupTable

    def publisher(self, kind: type, topic: str, qos: Any = ...) -> Any:
        """Return the publisher of a topic."""


class VocabularyPublisher:
    """Announces a vocabulary once, on every topic that tells of it."""

    def __init__(self, outlet: Outlet, now: Callable[[], Time]) -> None:
        """Advertise the topics.

        Args:
            outlet: What is published through.
            now: Returns the time at which a vocabulary takes effect.
        """
        self._outlet, self._now = outlet, now
        self._vocabulary = outlet.publisher(VocabularyMsg, "~/vocabulary", LATCHED_QOS)
        self._groups = outlet.publisher(VocabularyMsg, "~/groups/vocabulary", LATCHED_QOS)
        if LabelInfo:
            self._label_info, self._group_info = (
                outlet.publisher(LabelInfo, f"~/{name}", LATCHED_QOS)
                for name in ("label_info", "groups/label_info")
            )
        self._announced: VocabularyMsg | None = None

    def forget(self) -> None:
        """Begin a session in which nothing was announced."""
        self._announced = None

    def announce(self, words: Vocabulary) -> None:
        """Publish a vocabulary if it is a new one."""
        message = self.message(words)
        if message is self._announced:
            return
        self._announced, stamp = message, message.header.stamp
        self._vocabulary.publish(message)
        self._groups.publish(groups_to_msg(self._outlet.groups, words, stamp))
        if LabelInfo:
            names = {category.name: category.id for category in words.categories}
            self._label_info.publish(label_info_to_msg(names, stamp))
            self._group_info.publish(label_info_to_msg(self._outlet.groups.ids, stamp))

    def message(self, words: Vocabulary) -> VocabularyMsg:
        """Return a vocabulary as it is or will be announced."""
        announced = self._announced
        if announced is not None and (announced.session, announced.version) == (
            words.session,
            words.version,
        ):
            return announced
        return vocabulary_to_msg(words, self._now())
