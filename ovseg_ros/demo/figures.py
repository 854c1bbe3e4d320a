"""The figures that follow from the evaluation node's record of a demo; needs no ROS."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ovseg_ros.demo.log import DemoLog

Interval = tuple[int, int]
"""Start and end, nanoseconds."""

REQUIRED = (
    *("frames_in", "frames_segmented", "segmentation_hz", "discovery_hz", "age_ms", "vocabulary"),
    *("vocabulary_precision", "vocabulary_recall", "miou_auto", "miou_gt_vocabulary", "query"),
    *("stale_name_masks", "device"),
)
"""Figures without which a demo has failed."""

_SHORTEST_S = 1.0  # a rate over less time says nothing


def rate_hz(arrivals: Iterable[int], intervals: Sequence[Interval]) -> float | None:
    """Return events per second within the intervals, None if these are too short to tell."""
    seconds = sum(end - start for start, end in intervals) / 1e9
    if seconds < _SHORTEST_S:
        return None
    count = sum(any(start <= at < end for start, end in intervals) for at in arrivals)
    return count / seconds


def overlap(busy: Iterable[Interval], within: Iterable[Interval]) -> list[Interval]:
    """Return the parts of ``within`` that ``busy`` covers, in order and without overlaps."""
    merged: list[Interval] = []
    for start, end in sorted(busy):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    parts = [
        (max(start, low), min(end, high)) for low, high in sorted(within) for start, end in merged
    ]
    return [(start, end) for start, end in parts if start < end]


def rest(busy: Iterable[Interval], within: Iterable[Interval]) -> list[Interval]:
    """Return the parts of ``within`` that ``busy`` does not cover, in order."""
    busy = list(busy)
    parts = []
    for low, high in sorted(within):
        for start, end in overlap(busy, [(low, high)]):
            if low < start:
                parts.append((low, start))
            low = end
        if low < high:
            parts.append((low, high))
    return parts


def query_candidates(
    instances: Mapping[int, str], attributes: Mapping[int, str], movable: Callable[[str], bool]
) -> list[tuple[str, str]]:
    """Return (phrase, category) of things that a query by attribute and name can mean only.

    Those are things whose category is there once, with an attribute if any of them has one.

    Args:
        instances: Category of each instance.
        attributes: Colour or material word of the instances that have one.
        movable: Tells things from furniture.
    """
    kinds = list(instances.values())
    things = [
        (attributes.get(i, ""), name)
        for i, name in sorted(instances.items())
        if kinds.count(name) == 1 and movable(name)
    ]
    named = [(f"{word} {name}", name) for word, name in things if word]
    return named or [(name, name) for _, name in things]


def iou(truth: np.ndarray, found: np.ndarray) -> float | None:
    """Return the intersection over union of two masks (H, W) bool, None if both are empty."""
    union = int((truth | found).sum())
    return int((truth & found).sum()) / union if union else None


def figures(log: DemoLog, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of the report; what was not measured is None.

    Args:
        log: What the operator noted down: phases, diagnostics, the query.
        evaluation: The evaluation node's record, which everything measured is read from.
    """
    events: Mapping[str, list[Any]] = evaluation.get("events", {})
    spans = [(phase.start, phase.end) for phase in log.phases]
    begin, end = (spans[0][0], spans[-1][1]) if spans else (0, 0)
    auto, again = log.phase("automatic"), log.phase("automatic again")
    auto_span = [(auto.start, auto.end)] if auto else []
    masks = [(stamp, at) for stamp, at in events.get("masks", ()) if begin <= at < end]
    frames = [at for _, at in events.get("frames", ()) if begin <= at < end]
    arrivals = [at for _, at in masks]
    # A discovery takes the newest picture, so that its stamp is when it began.
    busy = [(stamp, at) for stamp, at in events.get("discoveries", ())]
    alike = [(phase.start, phase.end) for phase in log.phases if phase is not again]
    running = rate_hz(arrivals, overlap(busy, alike))  # without the part that draws overlays
    idle = rate_hz(arrivals, rest(busy, alike))
    ages = [(at - stamp) / 1e6 for stamp, at in masks]
    versions = evaluation.get("vocabulary", ())
    words = [entry["names"] for entry in versions if entry["mode"] == "auto" and entry["names"]]
    status = log.status.get("segmentation_node", {})
    dropped = status.get("dropped")
    same = ("vocabulary_precision", "vocabulary_recall", "miou_auto", "frames_evaluated")
    return plain(
        {
            "frames_in": len(frames) or None,
            "frames_segmented": len(masks) or None,
            "frames_dropped": int(dropped) if dropped is not None else None,
            "camera_hz": rate_hz(frames, spans),
            "segmentation_hz": rate_hz(arrivals, auto_span),
            "segmentation_hz_discovery_running": running,
            "segmentation_hz_discovery_idle": idle,
            "segmentation_hz_kept": running / idle if running is not None and idle else None,
            "segmentation_hz_with_overlay": (
                rate_hz(arrivals, [(again.start, again.end)]) if again else None
            ),
            "discovery_hz": rate_hz((at for _, at in busy), auto_span),
            "discovery_s": (
                float(np.median([(stop - start) / 1e9 for start, stop in busy])) if busy else None
            ),
            "age_ms": (
                {f"p{p}": float(np.percentile(ages, p)) for p in (50, 95)} if ages else None
            ),
            "vocabulary": {
                "names": sorted(words[-1]) if words else None,
                "version": versions[-1]["version"] if versions else None,
                "versions": [
                    {
                        "version": entry["version"],
                        "mode": entry["mode"],
                        "seconds": (entry["arrival"] - begin) / 1e9,
                        "names": entry["names"],
                    }
                    for entry in versions
                ],
            },
            **{key: evaluation.get(key) for key in same},
            "miou_gt_vocabulary": evaluation.get("miou_fixed"),
            "query": log.query,
            "stale_name_masks": evaluation.get("stale_name_masks"),
            "overlays_received": log.overlays,
            "device": status.get("device"),
        }
    )


def missing(report: Mapping[str, Any]) -> list[str]:
    """Return the dotted names of the required figures that were not measured."""

    def holes(name: str, value: Any) -> list[str]:
        if isinstance(value, Mapping):
            return [hole for key, item in value.items() for hole in holes(f"{name}.{key}", item)]
        return [name] if value is None else []

    return [hole for name in REQUIRED for hole in holes(name, report.get(name))]


def plain(value: Any) -> Any:
    """Return ``value`` with None for numbers that are not finite, and short floats."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
