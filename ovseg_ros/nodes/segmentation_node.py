"""Labels every camera image with the words in force.

Run: ``ros2 run ovseg_ros segmentation_node --ros-args -r image:=/camera/image_raw``
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from ovseg_ros.msg import Vocabulary as VocabularyMsg
from ovseg_ros.nodes import diagnostics
from ovseg_ros.nodes.base import LATCHED_QOS
from ovseg_ros.nodes.carried import KeyFrames, Masks
from ovseg_ros.nodes.compute import cap_threads, per_frame
from ovseg_ros.nodes.config import SegmentationNodeConfig
from ovseg_ros.nodes.conversions import (
    proposals_from_msg,
    stamp_from_msg,
)
from ovseg_ros.nodes.guard import brief
from ovseg_ros.nodes.image_node import ImageNode, Picture
from ovseg_ros.nodes.image_worker import ImageWorker
from ovseg_ros.nodes.mask_publisher import MaskPublisher
from ovseg_ros.nodes.point_cloud import CloudInput
from ovseg_ros.nodes.segmentation_services import SegmentationServices, shown
from ovseg_ros.nodes.spin import spin
from ovseg_ros.nodes.vision_msgs_probe import BROKEN, REASON
from ovseg_ros.nodes.vocabulary_publisher import VocabularyPublisher
from ovseg_ros.pipeline import Pipeline, PipelineConfig, build_vocabulary
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.types import Vocabulary
from ovseg_ros.vocabulary.config import parse_groups
from ovseg_ros.vocabulary.groups import GroupTable

_SAY_AGAIN_S = 10.0
"""Pause between log lines that may come with every frame."""

_CALLS_SHARE = 0.15
"""Part of the time that queries may take while frames come: four fifths of the masks stay."""

_JUMP_NS = 10**9
"""Stamps that fall back by more than cameras differ are those of a clock that was set back."""


def build_without_discovery(config: PipelineConfig) -> Pipeline:
    """Load the segmenter; words come from services and from the discovery node's proposals."""
    segmenter = build_segmenter(config.segmenter, device=config.device, dtype=config.dtype)
    return Pipeline(segmenter, None, build_vocabulary(config.vocabulary, segmenter))


class SegmentationNode(ImageNode):
    """Publishes label masks; owns the vocabulary and its ids."""

    config_type = SegmentationNodeConfig
    live = frozenset({"overlay_alpha", "query_timeout_s"})

    def __init__(
        self,
        build: Callable[[PipelineConfig], Pipeline] = build_without_discovery,
        **options: Any,
    ) -> None:
        """Offer topics and services; ``build`` loads the models in ``configure``."""
        super().__init__("segmentation_node", **options)
        self._build = build
        self._lock = threading.Lock()
        self._taken: dict[int, int] = {}  # newest stamp of each camera, nanoseconds
        self.pipeline: Pipeline | None = None
        self.groups = GroupTable()
        self.words = VocabularyPublisher(self, lambda: self.get_clock().now().to_msg())
        self._masks: list[MaskPublisher] = []
        self._cloud: CloudInput | None = None
        self._key_frames: KeyFrames | None = None
        self._resized: tuple[Masks | None, Masks | None] = (None, None)
        self._left_out: dict[int, tuple[str, ...]] = {}  # words the last image of a camera missed
        self._service_answers = SegmentationServices(self)

    def make_worker(self) -> ImageWorker:
        """Announce the vocabulary between frames, in the thread that publishes the masks."""
        return ImageWorker(
            self._work,
            between=self._announce,
            failed=self._on_failure,
            share=_CALLS_SHARE,
            name="segmentation",
        )

    def load(self) -> None:
        """Load the segmenter and start a new session of ids."""
        cap_threads(self.config.threads)
        if self.config.threads:
            cv2.setNumThreads(self.config.threads)  # decodes and draws, for the whole process
        self.pipeline = self._build(self.config)
        self.words.forget()
        self._taken, self._left_out = {}, {}
        keyframes = self.pipeline.segmenter.cadence == "keyframe"
        self._key_frames = KeyFrames(self.config.keyframe_period_s) if keyframes else None
        self.groups = GroupTable(parse_groups(self.config.vocabulary.groups).values())
        self._masks = MaskPublisher.of(self)
        self.subscribe(VocabularyMsg, self.config.proposals_topic, self._on_proposals, LATCHED_QOS)
        if self.config.depth_topic:
            self._cloud = CloudInput(self)
        segmenter = self.pipeline.segmenter
        self.get_logger().info(
            f"{segmenter.name} on {segmenter.device}, {segmenter.dtype}; "
            f"{len(self.pipeline.vocabulary.snapshot())} names, "
            f"session {self.pipeline.vocabulary.session}"
        )
        for warning in self.pipeline.vocabulary.warnings:
            self.get_logger().warning(brief(warning))
        if BROKEN:
            self.get_logger().warning(f"{REASON}; ~/label_info and ~/detections are left out")

    def free(self) -> None:
        """Unload the segmenter."""
        if self._cloud is not None:
            self._cloud.close()
        self._masks, self._cloud, self.pipeline = [], None, None
        self._resized = (None, None)
        diagnostics.free_memory()

    def look(self, pictures: Sequence[Picture]) -> None:
        """Segment pictures of one size together and publish what was found."""
        assert self.pipeline is not None
        with self._lock:
            for picture in pictures:
                newest = stamp_from_msg(picture.header.stamp)
                before = self._taken.get(picture.camera, -1)
                if newest > before - _JUMP_NS:
                    newest = max(before, newest)
                self._taken[picture.camera] = newest  # a bag that starts again sets it back
        for picture in pictures:
            if self._cloud is not None and picture.camera == 0:
                self._cloud.take(picture)
        sizes: dict[tuple[int, ...], list[Picture]] = {}
        for picture in pictures:
            if not self._carry(picture):
                sizes.setdefault(picture.image.shape, []).append(picture)
        for batch in sizes.values():
            images = [picture.image for picture in batch]
            with per_frame(self.device(), self.config.threads):
                found = self.pipeline.segment(np.stack(images) if images[1:] else images[0][None])
            self.words.announce(found.vocabulary)
            for index, picture in enumerate(batch):
                self._note_left_out(picture.camera, found.names_left_out(index))
                masks = Masks.of(found, index, stamp_from_msg(picture.header.stamp) / 1e9)
                if self._key_frames is not None:
                    self._key_frames.keep(picture.camera, masks, now_s=time.monotonic())
                self._publish(picture, masks, found.vocabulary)

    def _note_left_out(self, camera: int, names: tuple[str, ...]) -> None:
        """Say which words an image was not compared with; diagnostics say it of the last one."""
        if names and names != self._left_out.get(camera):
            self.get_logger().warning(
                f"camera {camera}: {len(names)} words left out of an image, more than the "
                f"segmenter takes at a time: {shown(names)}",
                throttle_duration_sec=_SAY_AGAIN_S,
            )
        self._left_out[camera] = names

    def _carry(self, picture: Picture) -> bool:
        """Publish the masks of the last key frame for a frame after it, if they still hold."""
        assert self.pipeline is not None
        if self._key_frames is None:
            return False
        vocabulary = self.pipeline.vocabulary.snapshot()
        masks = self._key_frames.carry(
            picture.camera,
            stamp_s=stamp_from_msg(picture.header.stamp) / 1e9,
            now_s=time.monotonic(),
            version=vocabulary.version,
            size_hw=picture.image.shape[:2],
        )
        if masks is not None:
            self._publish(picture, masks, vocabulary)
        return masks is not None

    def _publish(self, picture: Picture, masks: Masks, vocabulary: Vocabulary) -> None:
        age_s = stamp_from_msg(picture.header.stamp) / 1e9 - masks.stamp_s
        if self.config.mask_size == "depth" and self._cloud is not None and picture.camera == 0:
            size = self._cloud.depth_size(picture) or masks.labels.shape
            known, resized = self._resized  # carried masks are resized once
            if known is not masks or resized is None or resized.labels.shape != size:
                resized = masks.resized(size)
                self._resized = masks, resized
            masks = resized
        self._masks[picture.camera].publish(picture, masks, vocabulary, age_ns=round(age_s * 1e9))
        self.measure(picture.header)
        if self._cloud is not None and picture.camera == 0:
            self._cloud.publish(picture, masks.labels)

    def _announce(self) -> None:
        """Publish the vocabulary if it is a new one: before the first mask that uses it."""
        assert self.pipeline is not None
        self.words.announce(self.pipeline.vocabulary.snapshot())

    def valid_from(self) -> list[int]:
        """Return, for each camera, the least stamp of frames the worker has not yet taken.

        In nanoseconds of that camera's clock; 0 for one that has sent nothing yet.
        """
        with self._lock:
            return [self._taken.get(k, -1) + 1 for k in range(len(self.config.image_topics))]

    def _on_proposals(self, message: VocabularyMsg) -> None:
        pipeline = self.pipeline
        if pipeline is None:
            return
        try:
            proposals = proposals_from_msg(message)
        except ValueError as error:
            self.refuse(f"proposals on {self.config.proposals_topic}: {error}")
            return
        self.prepare(pipeline, [proposal.name for proposal in proposals])
        before = pipeline.vocabulary.snapshot()
        words = pipeline.vocabulary.observe(
            proposals, stamp=stamp_from_msg(message.header.stamp) / 1e9
        )
        if words.version != before.version:
            self.get_logger().info(f"vocabulary {words.version}: {shown(words.names) or 'empty'}")
        self.worker.wake()

    def prepare(self, pipeline: Pipeline, names: Sequence[str]) -> None:
        """Have names encoded in this thread."""
        cap_threads(self.config.threads)
        pipeline.prepare(names)

    def query(self, pipeline: Pipeline, image: np.ndarray, names: Sequence[str]) -> Any:
        """Look for names in an image (H, W, 3) uint8 RGB; in the worker's thread."""
        with per_frame(self.device(), self.config.threads):
            return pipeline.query(image, names)

    def device(self) -> str:
        """Return the segmenter's device."""
        pipeline = self.pipeline
        return pipeline.segmenter.device if pipeline else "none"

    def judge(self) -> dict[str, diagnostics.Judgement]:
        """Return how the ids and the cloud are."""
        pipeline = self.pipeline
        if pipeline is None:
            return {}
        judgements = {"ids": diagnostics.ids_status(pipeline.vocabulary)}
        if any(self._left_out.values()):
            judgements["words"] = diagnostics.names_status(self._left_out)
        if self._cloud is not None:
            judgements["cloud"] = self._cloud.judge()
        return judgements

    def report(self) -> dict[str, str]:
        """Return the vocabulary's version and size, and the segmenter's name."""
        pipeline = self.pipeline
        if pipeline is None:
            return {}
        words = pipeline.vocabulary.snapshot()
        return {
            "segmenter": pipeline.segmenter.name,
            "carried": str(self._key_frames.carried if self._key_frames else 0),
            "dtype": pipeline.segmenter.dtype,
            "session": words.session,
            "vocabulary_version": str(words.version),
            "vocabulary_size": str(len(words)),
            "vocabulary_mode": words.mode.value,
            "left_out": str(len(set().union(*self._left_out.values()))),
        }


def main() -> int:
    """Run the node."""
    return spin(SegmentationNode)


if __name__ == "__main__":
    raise SystemExit(main())
