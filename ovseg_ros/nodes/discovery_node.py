"""Finds words for what the cameras see, at a low rate, and proposes them.

Run: ``ros2 run ovseg_ros discovery_node --ros-args -r image:=/camera/image_raw``
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ovseg_ros.discovery.base import Discoverer
from ovseg_ros.discovery.build import build_discoverer
from ovseg_ros.discovery.trigger import KeyFrameTrigger
from ovseg_ros.msg import Vocabulary as VocabularyMsg
from ovseg_ros.nodes import diagnostics
from ovseg_ros.nodes.base import LATCHED_QOS
from ovseg_ros.nodes.compute import in_background
from ovseg_ros.nodes.config import DiscoveryNodeConfig
from ovseg_ros.nodes.conversions import proposals_to_msg, vocabulary_from_msg
from ovseg_ros.nodes.image_node import ImageNode, Picture
from ovseg_ros.nodes.image_worker import ImageWorker, wait_for
from ovseg_ros.nodes.segmentation_services import picture_or_newest, refused
from ovseg_ros.nodes.spin import spin
from ovseg_ros.pipeline import PipelineConfig
from ovseg_ros.srv import DiscoverVocabulary
from ovseg_ros.types import Discovery, Mode, Vocabulary


def build_discovery(config: PipelineConfig) -> Discoverer | None:
    """Load the discoverer alone."""
    return build_discoverer(config.discovery, device=config.device, dtype=config.dtype)


class DiscoveryNode(ImageNode):
    """Proposes words on ``~/proposals``; the segmentation node decides and gives them ids."""

    config_type = DiscoveryNodeConfig
    live = frozenset({"discovery_period_s", "seed", "discover_timeout_s"})

    def __init__(
        self,
        build: Callable[[PipelineConfig], Discoverer | None] = build_discovery,
        **options: Any,
    ) -> None:
        """Offer topics and services; ``build`` loads the models in ``configure``."""
        super().__init__("discovery_node", **options)
        self._build = build
        self._discoverer: Discoverer | None = None
        self._known: Vocabulary = Vocabulary()
        self._last_camera = -1
        self._keyframes: list[KeyFrameTrigger] = []  # of each camera
        self._last: tuple[float, Discovery] | None = None
        self._logged: tuple[str, ...] = ()
        self._proposals = self.publisher(VocabularyMsg, "~/proposals", LATCHED_QOS)
        self.create_service(
            DiscoverVocabulary,
            "~/discover",
            self._on_discover,
            callback_group=self.service_group,
        )

    def make_worker(self) -> ImageWorker:
        """Give way to segmentation: at most one discovery a period, at a low priority."""
        return ImageWorker(
            self._work,
            failed=self._on_failure,
            period_s=lambda: self.config.discovery_period_s,
            niceness=self.config.niceness,
            name="discovery",
        )

    def load(self) -> None:
        """Load the discoverer."""
        self._discoverer = self._build(self.config)
        options = self.config.discovery.keyframes
        self._keyframes = [KeyFrameTrigger(options) for _ in self.config.image_topics]
        self.subscribe(
            VocabularyMsg, self.config.vocabulary_topic, self._on_vocabulary, LATCHED_QOS
        )
        if self._discoverer is None:
            self.get_logger().info("no discoverer (discovery.name: none)")
        else:
            name, device = self._discoverer.name, self._discoverer.device
            self.get_logger().info(f"{name} on {device}, every {self.config.discovery_period_s} s")

    def free(self) -> None:
        """Unload the discoverer."""
        self._discoverer = None
        diagnostics.free_memory()

    def look(self, pictures: Sequence[Picture]) -> None:
        """Discover in the picture of the camera whose turn it is, and propose what was found."""
        if self._discoverer is None or self._known.mode is Mode.FIXED:
            return
        turn = self._last_camera + 1
        ordered = sorted(pictures, key=lambda p: (p.camera - turn) % len(self._keyframes))
        now = time.monotonic()
        worth = (p for p in ordered if self._keyframes[p.camera].choose(p.image, now))
        picture = next(worth, None)
        if picture is None:
            return
        self._last_camera = picture.camera
        found, _ = self._discover(picture.image)
        message = proposals_to_msg(found, picture.header, self.meter.count + 1, self._known)
        self._proposals.publish(message)
        self.measure(picture.header)
        if found.names != self._logged:
            self._logged = found.names
            self.get_logger().info(f"discovered: {', '.join(found.names) or 'nothing'}")

    def _discover(self, image: Any) -> tuple[Discovery, float]:
        discoverer = self._discoverer
        if discoverer is None:
            raise RuntimeError("the node was cleaned up meanwhile")
        start = time.monotonic()
        with in_background(discoverer.device, self.config.threads):
            found = discoverer.discover(image, seed=self.config.seed)
        duration = time.monotonic() - start
        self._last = duration, found
        return found, duration

    def _on_vocabulary(self, message: VocabularyMsg) -> None:
        try:
            self._known = vocabulary_from_msg(message)
        except ValueError as error:
            self.refuse(f"vocabulary on {self.config.vocabulary_topic}: {error}")

    def _on_discover(self, request: Any, reply: Any) -> Any:
        try:
            if self._discoverer is None:
                return refused(reply, "the node has no discoverer (discovery.name, configure)")
            with self.slow_calls["discover"].admit():
                header, image, _ = picture_or_newest(self, request)
                future = self.worker.submit(lambda: self._discover(image))
                found, duration = wait_for(future, self.config.discover_timeout_s)
        except (ValueError, RuntimeError) as error:
            return refused(reply, str(error))
        reply.header, reply.duration = header, duration
        reply.categories = proposals_to_msg(found, header, 0, self._known).categories
        reply.success, reply.message = True, f"found: {', '.join(found.names) or 'nothing'}"
        return reply

    def patience_s(self) -> float:
        """Return how long a discovery may take, in seconds."""
        return self.config.discover_timeout_s

    def device(self) -> str:
        """Return the discoverer's device."""
        discoverer = self._discoverer
        return discoverer.device if discoverer else "none"

    def report(self) -> dict[str, str]:
        """Return the last discovery and the discoverer's name."""
        discoverer = self._discoverer
        values = {"discoverer": discoverer.name if discoverer else "none"}
        if self.config.discovery.keyframes.drift:
            values["drift"] = ", ".join(f"{frames.drift:.2f}" for frames in self._keyframes)
        if self._last is not None:
            duration, found = self._last
            values["last_discovery_s"] = f"{duration:.2f}"
            values["last_discovery"] = ", ".join(found.names)
            values["last_discovery_age_s"] = f"{self.meter.silent_s:.1f}"
        return values


def main() -> int:
    """Run the node."""
    return spin(DiscoveryNode)


if __name__ == "__main__":
    raise SystemExit(main())
