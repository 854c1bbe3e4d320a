"""Rates and ages forget what is long gone; silence is counted from the last event."""

import math
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ovseg_ros.nodes.diagnostics import ERROR, OK, WARN, Meter, decoding_status


def test_silence_is_counted_from_the_last_event():
    meter = Meter(window_s=0.05)
    time.sleep(0.3)
    meter.add(0.1)
    time.sleep(0.1)
    assert meter.rate_hz == 0
    assert 0.1 <= meter.silent_s < 0.3  # not since the start
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
