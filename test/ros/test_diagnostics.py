"""Rates and ages forget what is long gone; silence is counted from the last event."""

import math
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ovseg_ros.nodes.diagnostics import (
    ERROR,
    OK,
    WARN,
    Meter,
    decoding_status,
    device_status,
    ids_status,
    input_status,
)
from ovseg_ros.types import Mode, Proposal
from ovseg_ros.vocabulary.config import VocabularyConfig
from ovseg_ros.vocabulary.living import LivingVocabulary


def test_silence_is_counted_from_the_last_event():
    meter = Meter(window_s=0.05)
    meter._started -= 3600.0
    meter.add(0.1)
    time.sleep(0.1)
    assert meter.rate_hz == 0
    assert 0.1 <= meter.silent_s < 1800.0  # not since the start
    assert math.isnan(meter.age_ms(50)[0])


def test_silence_before_the_first_event_is_since_the_start():
    meter = Meter(window_s=5.0)
    time.sleep(0.05)
    assert meter.silent_s >= 0.05


@pytest.mark.parametrize(
    ("rates", "level", "text"),
    [
        ({"arrivals": 10.0, "results": 0.0, "refusals": 10.0}, ERROR, "none is used: why"),
        ({"arrivals": 10.0, "results": 5.0, "refusals": 5.0}, WARN, "5.0 images per second"),
        ({"arrivals": 10.0, "results": 10.0, "refusals": 0.0}, OK, "images are used"),
        ({"arrivals": 10.0, "results": 0.0, "refusals": 0.0, "silent_s": 31.0}, ERROR, "for 31 s"),
        ({"arrivals": 10.0, "results": 0.0, "refusals": 0.0, "silent_s": 29.0}, OK, "images"),
        ({"arrivals": 0.0, "results": 0.0, "refusals": 0.0, "silent_s": 99.0}, OK, "images"),
    ],
)
def test_images_without_results_are_an_error(rates, level, text):
    judged = decoding_status(reason="why", patience_s=30.0, **rates)
    assert judged[0] == level
    assert text in judged[1]


class Sensor:
    """An input that has lost some messages."""

    qos = "reliable and best effort"

    def __init__(self, lost):
        """Lose them at once."""
        self.lost = Meter()
        if lost:
            self.lost.add(count=lost)


@pytest.mark.parametrize(
    ("lost", "level", "text"),
    [
        (0, OK, "images arrive (reliable and best effort)"),
        (1, OK, "; 0.2 per second are lost on the way"),
        (100, WARN, " per second are lost on the way"),
    ],
)
def test_losses_on_the_way_are_told(lost, level, text):
    sensor = Sensor(lost)
    sensor.lost._started -= 60.0  # heard for a minute, lost just now
    judged = input_status(0.1, "/image", [sensor], arrivals=10.0)
    assert judged[0] == level
    assert judged[1].endswith(text)


@pytest.mark.parametrize(
    ("asked", "level", "text"),
    [
        ("cpu", OK, "running on cpu"),
        ("auto", OK, "running on cpu (auto: there is no CUDA device)"),
        ("cuda", ERROR, "device 'cuda' was asked for, but the models run on cpu"),
        ("cuda:1", ERROR, "device 'cuda:1' was asked for, but the models run on cpu"),
    ],
)
def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(asked, level, text):
    assert device_status(asked, "cpu") == (level, text)


def test_ids_that_run_out_are_told_before_and_after():
    words = LivingVocabulary(VocabularyConfig(max_categories=40, reserve=10, window=1, admit=1))

    def propose(*names):
        words.observe([Proposal(name=name, score=1.0) for name in names])
        return ids_status(words)

    assert propose("mug") == (OK, "29 ids are left for discovered words, 39 for the operator")
    level, text = propose(*(f"word {i}" for i in range(10)))
    assert (level, text[:39]) == (WARN, "19 ids are left for discovered words; m")
    level, text = propose(*(f"thing {i}" for i in range(21)))
    assert level == ERROR
    assert text.startswith("no ids are left for discovered words (thing 19, thing 20); ")
    assert words.set(["chair"], mode=Mode.EXTEND).named("chair").id == 31  # of the reserve
