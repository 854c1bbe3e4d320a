"""`ovseg segment BAG -o BAG`: a recording with the topics that the nodes would have sent.

The messages are made by the nodes' own publishers; here they write into a bag, at the time of the
picture they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rclpy.qos import QoSProfile
from rich.console import Console
from rich.progress import track

from ovseg_ros.config import from_mapping, override
from ovseg_ros.discovery.trigger import KeyFrameTrigger
from ovseg_ros.msg import Vocabulary as VocabularyMsg
from ovseg_ros.nodes.bag_writer import BagOutput, BagTopic, Unrecorded, as_ros2, new_bag
from ovseg_ros.nodes.bags import OURS, camera_topics, message_of, messages, open_bag
from ovseg_ros.nodes.base import LATCHED_QOS, OUTPUT_QOS
from ovseg_ros.nodes.carried import Masks
from ovseg_ros.nodes.config import DiscoveryNodeConfig, SegmentationNodeConfig
from ovseg_ros.nodes.conversions import proposals_to_msg, stamp_from_msg, stamp_to_msg
from ovseg_ros.nodes.image_node import Picture
from ovseg_ros.nodes.images import image_from_msg
from ovseg_ros.nodes.mask_publisher import MaskPublisher
from ovseg_ros.nodes.vocabulary_publisher import VocabularyPublisher
from ovseg_ros.pipeline import Pipeline, PipelineConfig, build_pipeline
from ovseg_ros.presets import node_options
from ovseg_ros.types import Mode
from ovseg_ros.vocabulary.config import parse_groups
from ovseg_ros.vocabulary.groups import GroupTable

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

_PROPOSALS = "/discovery_node/proposals"


@dataclass
class Tally:
    """What became of a recording.

    Attributes:
        cameras: Topics that were segmented.
        frames: Pictures that were.
        refused: Pictures that could not be decoded.
        reason: Why the last of those could not.
        names: Words in force at the end.
        copied: Messages that are there as they were.
        replaced: Messages of an earlier run, in whose place there are new ones.
    """

    cameras: tuple[str, ...]
    frames: int = 0
    refused: int = 0
    reason: str = ""
    names: tuple[str, ...] = ()
    copied: int = 0
    replaced: int = 0


def segment_bag(
    source: Path,
    target: Path,
    *,
    preset: str,
    sets: Sequence[str] = (),
    fixed: dict[str, Any] | None = None,
    topics: Sequence[str] = (),
    overlay: bool = True,
    seed: int = 0,
    progress: bool = False,
    build: Callable[[PipelineConfig], Pipeline] = build_pipeline,
) -> Tally:
    """Copy a bag and add what the nodes say about its pictures.

    Words are discovered every ``discovery_period_s`` of the recording, as by the discovery node,
    and until the first words are admitted in every picture.

    Args:
        source: The bag; a ROS 1 bag becomes one of ROS 2.
        target: Folder of the new bag; must not be there yet. It is removed if this fails.
        preset: Name or file of the preset.
        sets: Overrides ``key=value`` of the segmentation node's parameters.
        fixed: More of them, by dotted key.
        topics: Camera topics; by default all that there are.
        overlay: Also write the overlay, which is the largest topic.
        seed: Seed of the discoveries.
        progress: Show a progress bar, where there is a terminal.
        build: Loads the models.

    Raises:
        ValueError: if the bag cannot be read, holds no such topic, or the target is there.
    """
    if target.exists():
        raise ValueError(f"{target} is there already; give the new bag another name (-o)")
    with as_ros2(source) as bag, open_bag(bag) as reader:
        cameras = list(topics) or camera_topics(reader)
        there = sorted({connection.topic for connection in reader.connections})
        if not cameras or not set(cameras) <= set(there):
            raise ValueError(
                f"--topic: expected a camera of {source}, got {', '.join(cameras) or 'none'}; "
                f"its topics are {', '.join(there) or 'none'}"
            )
        options = from_mapping(SegmentationNodeConfig, node_options(preset, "segmentation_node"))
        config = override(options, sets, {"image_topics": cameras, **(fixed or {})})
        period = from_mapping(DiscoveryNodeConfig, node_options(preset, "discovery_node"))
        pipeline = build(config)
        with new_bag(target, reader) as writer:
            return _Recording(
                reader,
                BagOutput(writer),
                config,
                pipeline,
                period_s=period.discovery_period_s,
                overlay=overlay,
                seed=seed,
            ).run(progress=progress)


class _Recording:
    """The nodes' part: takes pictures in their order and publishes into the new bag."""

    def __init__(
        self,
        reader: AnyReader,
        output: BagOutput,
        config: SegmentationNodeConfig,
        pipeline: Pipeline,
        *,
        period_s: float,
        overlay: bool,
        seed: int,
    ) -> None:
        self.config = config
        self.groups = GroupTable(parse_groups(config.vocabulary.groups).values())
        self._reader, self._output, self._pipeline = reader, output, pipeline
        self._period_s, self._overlay, self._seed = period_s, overlay, seed
        self._masks = dict(zip(config.image_topics, MaskPublisher.of(self), strict=True))
        self._words = VocabularyPublisher(self, lambda: stamp_to_msg(output.now_ns))
        self._proposals = self.publisher(VocabularyMsg, _PROPOSALS, LATCHED_QOS)
        self._triggers = {
            topic: KeyFrameTrigger(config.discovery.keyframes) for topic in config.image_topics
        }
        self._discoveries, self._last_ns = 0, 0
        self._tally = Tally(config.image_topics)

    def publisher(
        self, kind: type, topic: str, qos: QoSProfile = OUTPUT_QOS
    ) -> BagTopic | Unrecorded:
        """Return the publisher of a topic; ``~`` is the segmentation node."""
        if topic.endswith("/overlay") and not self._overlay:
            return Unrecorded()
        return self._output.publisher(kind, topic.replace("~", "/segmentation_node", 1), qos)

    def run(self, *, progress: bool = False) -> Tally:
        """Copy every message, and look at those that are pictures."""
        # Those of an earlier run are made anew; those of a robot's namespace are not ours.
        everything = self._reader.connections
        kept = [c for c in everything if not (c.topic.startswith(OURS) or c.topic == _PROPOSALS)]
        total = sum(c.msgcount for c in kept)
        self._tally.replaced = sum(c.msgcount for c in everything) - total
        copies = {c.id: self._output.copy(self._reader, c) for c in kept}
        console = Console(stderr=True)
        bar = track(
            messages(self._reader, kept),
            "segment",
            total=total,
            console=console,
            transient=True,
            disable=not (progress and console.is_terminal),
        )
        for connection, stamp_ns, data in bar:
            self._output.writer.write(copies[connection.id], stamp_ns, data)
            self._tally.copied += 1
            if connection.topic in self._masks:
                self._output.now_ns = stamp_ns
                self._look(connection, data)
        self._tally.names = self._pipeline.vocabulary.snapshot().names
        return self._tally

    def _look(self, connection: Any, data: bytes) -> None:
        topic = connection.topic
        camera = self.config.image_topics.index(topic)
        try:
            message = message_of(self._reader, connection, data)
            picture = Picture(camera=camera, header=message.header, image=image_from_msg(message))
        except ValueError as error:
            self._tally.refused += 1
            self._tally.reason = f"{topic}: {error}"
            return
        self._discover(topic, picture)
        found = self._pipeline.segment(picture.image[None])
        self._words.announce(found.vocabulary)
        masks = Masks.of(found, 0, stamp_from_msg(picture.header.stamp) / 1e9)
        self._masks[topic].publish(picture, masks, found.vocabulary)
        self._tally.frames += 1

    def _discover(self, topic: str, picture: Picture) -> None:
        pipeline = self._pipeline
        if pipeline.discoverer is None or pipeline.vocabulary.snapshot().mode is Mode.FIXED:
            return
        waited_s = (self._output.now_ns - self._last_ns) / 1e9
        due = self._discoveries < self.config.vocabulary.admit or waited_s >= self._period_s
        if not due or not self._triggers[topic].choose(picture.image, self._output.now_ns / 1e9):
            return
        self._discoveries, self._last_ns = self._discoveries + 1, self._output.now_ns
        stamp_s = stamp_from_msg(picture.header.stamp) / 1e9
        known = pipeline.vocabulary.snapshot()
        found = pipeline.discover(picture.image, stamp=stamp_s, seed=self._seed)
        self._proposals.publish(proposals_to_msg(found, picture.header, self._discoveries, known))
