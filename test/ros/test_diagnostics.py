"""Rates and ages forget what is long gone; silence is counted from the last event."""

import math
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ovseg_ros.nodes.diagnostics import Meter


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
