"""Figures of the demo, by hand-made notes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from ovseg_ros.demo.charts import accuracy, age, rate, vocabulary_timeline
from ovseg_ros.demo.figures import (
    REQUIRED,
    figures,
    iou,
    missing,
    overlap,
    plain,
    query_candidates,
    rate_hz,
    rest,
)
from ovseg_ros.demo.log import (
    DemoLog,
    MaskNote,
    Phase,
)

SECOND, MS = 10**9, 10**6


def test_a_note_keeps_the_mask():
    labels = np.array([[0, 3, 3], [900, 0, 3]], np.uint16)
    note = MaskNote.of(labels, stamp=1, arrival=2)
    np.testing.assert_array_equal(note.labels, labels)
    assert note.labels.dtype == np.uint16
    assert note.ids == {3, 900}


def test_intervals():
    busy, within = [(5, 8), (7, 12), (30, 40)], [(0, 10), (20, 35)]
    assert overlap(busy, within) == [(5, 10), (30, 35)]
    assert rest(busy, within) == [(0, 5), (20, 30)]
    assert rest([], within) == within
    assert rest(within, within) == []


def test_rate_counts_within_the_intervals_and_needs_time():
    spans = [(0, SECOND), (2 * SECOND, 3 * SECOND)]
    arrivals = [0, SECOND // 2, SECOND, 2 * SECOND, 3 * SECOND]
    assert rate_hz(arrivals, spans) == 1.5
    assert rate_hz(arrivals, [(0, SECOND // 2)]) is None
    assert rate_hz([], spans) == 0.0


def test_iou():
    a, b = np.array([[True, True, False]]), np.array([[False, True, True]])
    assert iou(a, b) == pytest.approx(1 / 3)
    assert iou(a, ~a & False) == 0.0
    assert iou(~a & a, a & ~a) is None


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({2: "red", 3: "blue", 4: "green", 1: "wooden"}, [("red mug", "mug")]),
        ({3: "blue"}, [("mug", "mug"), ("duck", "duck")]),
    ],
)
def test_query_candidates_are_unique_things(attributes: dict[int, str], expected: list):
    instances = {1: "table", 2: "mug", 3: "ball", 4: "ball", 5: "duck"}
    assert query_candidates(instances, attributes, lambda name: name != "table") == expected


def full_log() -> DemoLog:
    return DemoLog(
        status={"segmentation_node": {"device": "cpu", "dropped": "3"}},
        query={"name": "red mug", "present": True, "iou": 0.5},
        phases=[
            Phase(name="automatic", start=0, end=3 * SECOND),
            Phase(name="ground-truth names", start=3 * SECOND, end=6 * SECOND),
        ],
    )


ARRIVALS = range(0, 6 * SECOND, SECOND // 4)
EVALUATION = {
    "vocabulary_precision": 1.0,
    "vocabulary_recall": 0.5,
    "miou_auto": 0.6,
    "miou_fixed": 0.7,
    "frames_evaluated": 12,
    "stale_name_masks": 0,
    "vocabulary": [
        {"arrival": -1, "version": 1, "mode": "auto", "names": ["mug"], "ids": [1]},
        {"arrival": 3 * SECOND, "version": 2, "mode": "fixed", "names": ["mug", "duck"],
         "ids": [1, 2]},
    ],
    "events": {
        "frames": [[at - 100 * MS, at - 99 * MS] for at in ARRIVALS],
        "masks": [[at - 100 * MS, at] for at in ARRIVALS],
        "discoveries": [[SECOND, 2 * SECOND]],
        "scores": [[SECOND, {"miou_auto": 0.6}], [4 * SECOND, {"miou_fixed": None}]],
    },
}  # fmt: skip


def test_figures_of_a_whole_run():
    report = figures(full_log(), EVALUATION)
    assert missing(report) == []
    assert report["segmentation_hz"] == 4.0
    assert report["segmentation_hz_discovery_running"] == 4.0
    assert report["segmentation_hz_kept"] == 1.0
    assert report["discovery_hz"] == pytest.approx(1 / 3, abs=1e-4)
    assert report["age_ms"] == {"p50": 100.0, "p95": 100.0}
    assert report["frames_segmented"] == 24
    assert report["frames_dropped"] == 3
    assert report["vocabulary"]["names"] == ["mug"]
    assert report["miou_gt_vocabulary"] == 0.7
    assert report["stale_name_masks"] == 0
    json.dumps(report, allow_nan=False)


def test_charts_are_drawn_from_the_record():
    drawn = [chart(full_log(), EVALUATION) for chart in (vocabulary_timeline, accuracy, rate, age)]
    assert all(svg.startswith("<svg") for svg in drawn)
    assert "duck" in drawn[0]
    assert "discovered names" in drawn[1]
    assert "true names" not in drawn[1]


def test_what_was_not_measured_is_null_and_named():
    report = figures(DemoLog(), {"miou_auto": math.nan})
    assert set(REQUIRED) <= set(report)
    assert report["miou_auto"] is None
    assert {hole.partition(".")[0] for hole in missing(report)} == set(REQUIRED)


@pytest.mark.parametrize(
    ("key", "hole"), [("miou_fixed", "miou_gt_vocabulary"), ("vocabulary_recall",) * 2]
)
def test_one_missing_accuracy_is_found(key: str, hole: str):
    evaluation: dict[str, Any] = {**EVALUATION, key: None}
    assert missing(figures(full_log(), evaluation)) == [hole]


def test_a_query_without_an_answer_is_missing():
    log = full_log()
    log.query = {"name": "red mug", "present": True, "iou": None}
    assert missing(figures(log, EVALUATION)) == ["query.iou"]


def test_plain_has_no_infinite_numbers():
    assert plain({"a": (math.inf, 1.00004), "b": [math.nan, "x", 2]}) == {
        "a": [None, 1.0],
        "b": [None, "x", 2],
    }
