"""How often something may happen, counted by a clock that tests move."""

from __future__ import annotations

from ovseg_ros.nodes.pace import Pace


class Clock:
    """A clock that stands still."""

    now = 100.0

    def __call__(self):
        return self.now


def happen(pace, most=1000):
    """Let it happen as long as it may; return how often it did."""
    times = 0
    while not pace.resting and times < most:
        pace.count()
        times += 1
    return times


def test_some_at_once_then_a_steady_rate():
    clock = Clock()
    pace = Pace(20.0, 50, clock)
    assert happen(pace) == 50
    assert happen(pace) == 0
    clock.now += 0.25
    assert happen(pace) == 5
    for _ in range(4):
        clock.now += 1.0
        assert happen(pace) == 20
    clock.now += 3600.0  # no more is saved up than the burst
    assert happen(pace) == 50


def test_what_happened_too_often_is_paid_back():
    clock = Clock()
    pace = Pace(10.0, 2, clock)
    for _ in range(7):
        pace.count()
    clock.now += 0.5
    assert pace.resting
    clock.now += 0.125
    assert happen(pace) == 1
