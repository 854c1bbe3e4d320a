"""Compares label masks with the camera's ground truth while the graph runs.

Run: ``ros2 run ovseg_ros evaluation_node --ros-args -p report_path:=report.json``

The report is the record of a run: what was measured, and under ``events`` when every frame, mask
and discovery arrived, [stamp of its picture, arrival], and how the scores went, in nanoseconds.
Of a long run the last 36,000 of each are kept, an hour at 10 Hz, and the last 1,000 vocabularies.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from ovseg_ros.evaluation.mapping.lexical import map_names
from ovseg_ros.msg import FrameCategories
from ovseg_ros.msg import Vocabulary as VocabularyMsg
from ovseg_ros.nodes import diagnostics
from ovseg_ros.nodes.base import LATCHED_QOS, OUTPUT_QOS, BaseNode
from ovseg_ros.nodes.config import EvaluationNodeConfig
from ovseg_ros.nodes.conversions import stamp_from_msg, vocabulary_from_msg
from ovseg_ros.nodes.images import labels_from_msg
from ovseg_ros.nodes.live_score import LiveScore, NameCheck, NameMapping
from ovseg_ros.nodes.spin import spin
from ovseg_ros.types import Source
from ovseg_ros.whole_files import write_json

_KEPT_FRAMES = 60
_KEPT_EVENTS = 36_000
_KEPT_VOCABULARIES = 1_000
_KEPT_NAMES = 10_000
_EVERY = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)  # none may be missed


class EvaluationNode(BaseNode):
    """Matches masks, names and ground truth by stamp; publishes ``~/report`` once a second."""

    config_type = EvaluationNodeConfig

    def __init__(self, mapping: NameMapping = map_names, **options: Any) -> None:
        """Advertise the report; ``mapping`` says which class a word means."""
        super().__init__("evaluation_node", **options)
        self._mapping = mapping
        self._report = self.create_publisher(DiagnosticArray, "~/report", OUTPUT_QOS)
        self._subscribed: set[str] = set()
        self._heard: set[str] = set()  # topics of this configuration, none while inactive
        self._group = MutuallyExclusiveCallbackGroup()
        self.create_timer(1.0, self._on_timer, callback_group=self._group)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._names = NameCheck()
        self._score: LiveScore | None = None
        self._frames: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._input, self._masks = diagnostics.Meter(), diagnostics.Meter()
        self._discoveries = diagnostics.Meter()
        self._ages: deque[float] = deque(maxlen=_KEPT_EVENTS)
        self._timeline: deque[dict[str, Any]] = deque(maxlen=_KEPT_VOCABULARIES)
        self._events: dict[str, deque[Any]] = {
            name: deque(maxlen=_KEPT_EVENTS)
            for name in ("frames", "masks", "discoveries", "scores")
        }
        self._discovered: dict[str, None] = {}
        self._due, self._first_mask, self._last_mask = 0.0, math.nan, math.nan

    def load(self) -> None:
        """Forget what was counted before, and see that a report can be written at the end."""
        if self.config.report_path:
            self._report_file().parent.mkdir(parents=True, exist_ok=True)
        self._reset()

    def start(self) -> None:
        """Subscribe to masks, names and ground truth."""
        own, other, camera = self.config.segmentation, self.config.discovery, self.config.camera

        def subscribe(
            kind: type, topic: str, callback: Callable[..., None], qos: QoSProfile
        ) -> None:
            self._heard.add(topic)
            if topic in self._subscribed:
                return
            self._subscribed.add(topic)

            def take(message: Any, info: Any) -> None:
                if topic in self._heard:
                    callback(message, info)

            self.create_subscription(kind, topic, take, qos, callback_group=self._group)

        truth_names = f"{camera}/ground_truth_vocabulary"
        subscribe(VocabularyMsg, truth_names, self._on_truth_names, LATCHED_QOS)
        # A callback is told when the message left its sender.
        subscribe(VocabularyMsg, f"{own}/vocabulary", self._on_vocabulary, LATCHED_QOS)
        subscribe(VocabularyMsg, f"{other}/proposals", self._on_proposals, LATCHED_QOS)
        subscribe(FrameCategories, f"{own}/categories", self._on_categories, _EVERY)
        subscribe(Image, f"{camera}/ground_truth", self._on_truth, _EVERY)
        subscribe(Image, f"{own}/label_mask", self._on_mask, _EVERY)

    def stop(self) -> None:
        """Listen no more and write the report."""
        self._heard = set()
        self._names.finish()
        if self.config.report_path:
            with self._lock:
                events = {name: list(found) for name, found in self._events.items()}
            write_json(self._report_file(), {**self.report(), "events": events})

    def _report_file(self) -> Path:
        return Path(self.config.report_path).expanduser()

    def report(self) -> dict[str, Any]:
        """Return what was measured since ``configure``; numbers that are not known are NaN."""
        with self._lock:
            p50, p95 = np.percentile(self._ages, (50, 95)) if self._ages else (math.nan, math.nan)
            seconds = self._last_mask - self._first_mask
            return {
                "frames_in": self._input.count,
                "frames_segmented": self._masks.count,
                "segmentation_hz": (self._masks.count - 1) / seconds if seconds > 0 else math.nan,
                "discovery_hz": self._discoveries.mean_hz,
                "age_ms": {"p50": float(p50), "p95": float(p95)},
                "stale_name_masks": self._names.stale,
                "name_checked_masks": self._names.checked,
                "vocabulary": list(self._timeline),
                **(self._score.report(tuple(self._discovered)) if self._score else {}),
            }

    def _on_truth_names(self, message: VocabularyMsg, info: Any) -> None:
        with self._lock:
            self._score = LiveScore(vocabulary_from_msg(message), self._mapping)

    def _on_vocabulary(self, message: VocabularyMsg, info: Any) -> None:
        vocabulary = vocabulary_from_msg(message)
        with self._lock:
            self._names.announce(vocabulary, info["source_timestamp"])
            self._timeline.append(
                {
                    "stamp": stamp_from_msg(message.header.stamp) / 1e9,
                    "arrival": info["received_timestamp"],
                    "version": vocabulary.version,
                    "mode": vocabulary.mode.value,
                    "names": list(vocabulary.names),
                    "ids": vocabulary.ids.tolist(),
                }
            )
            automatic = [c.name for c in vocabulary.categories if c.source is Source.AUTO]
            if len(self._discovered) < _KEPT_NAMES:
                self._discovered.update(dict.fromkeys(automatic))

    def _on_proposals(self, message: VocabularyMsg, info: Any) -> None:
        self._discoveries.add()
        self._note("discoveries", message, info)

    def _on_truth(self, message: Image, info: Any) -> None:
        self._input.add()
        self._note("frames", message, info)
        self._join(message, truth=message)

    def _on_categories(self, message: FrameCategories, info: Any) -> None:
        self._join(message, version=(message.session, message.vocabulary_version))

    def _on_mask(self, message: Image, info: Any) -> None:
        self._masks.add()
        self._note("masks", message, info)
        age = self.get_clock().now().nanoseconds - stamp_from_msg(message.header.stamp)
        with self._lock:
            self._ages.append(age / 1e6)
            self._last_mask = time.monotonic()
            if math.isnan(self._first_mask):
                self._first_mask = self._last_mask
        self._join(message, labels=labels_from_msg(message), sent=info["source_timestamp"])

    def _note(self, event: str, message: Any, info: Any) -> None:
        """Record when something arrived, and the stamp of the picture it is about, nanoseconds."""
        times = [stamp_from_msg(message.header.stamp), info["received_timestamp"]]
        with self._lock:
            self._events[event].append(times)

    def _join(self, message: Any, **parts: Any) -> None:
        """Keep the parts of a frame until all of them are there."""
        with self._lock:
            frame = self._frames.setdefault(stamp_from_msg(message.header.stamp), {})
            frame.update(parts)
            if {"labels", "version"} <= set(frame) and "checked" not in frame:
                ids = np.flatnonzero(np.bincount(frame["labels"].ravel()))
                self._names.mask(frame["version"], frozenset(ids.tolist()) - {0}, frame["sent"])
                frame["checked"] = True
            if {"labels", "version", "truth"} <= set(frame):
                self._score_frame(frame)
            while len(self._frames) > _KEPT_FRAMES:
                self._frames.popitem(last=False)

    def _score_frame(self, frame: dict[str, Any]) -> None:
        vocabulary = self._names.version(frame["version"])
        if self._score is None or vocabulary is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + 1 / self.config.rate_hz
        truth = labels_from_msg(frame["truth"])
        if truth.shape == frame["labels"].shape:
            self._score.add(frame["labels"], truth, vocabulary)

    def _on_timer(self) -> None:
        if not self._heard:
            return
        report = self.report()
        scores = {key: value for key, value in report.items() if key.startswith("miou_")}
        with self._lock:
            self._events["scores"].append([time.time_ns(), scores])
        values = {
            key: f"{value:.4g}" if isinstance(value, float) else str(value)
            for key, value in report.items()
            if not isinstance(value, (dict, list))
        }
        values |= {f"age_{key}_ms": f"{value:.1f}" for key, value in report["age_ms"].items()}
        stale = report["stale_name_masks"]
        judgement = (
            (diagnostics.ERROR, f"{stale} masks with names that were not announced before them")
            if stale
            else (diagnostics.OK, f"{report['frames_segmented']} masks compared")
        )
        stamp = self.get_clock().now().to_msg()
        name = self.get_fully_qualified_name().lstrip("/")
        self._report.publish(diagnostics.to_msg(name, "", {"names": judgement}, values, stamp))


def main() -> int:
    """Run the node."""
    return spin(EvaluationNode)


if __name__ == "__main__":
    raise SystemExit(main())
