"""Names to measure with: some are in the picture, and of many most are not."""

from __future__ import annotations

from ovseg_ros.robot_cell.objects import CATALOGUE


def bench_names(count: int) -> tuple[str, ...]:
    """Return so many names: what a robot cell shows, then as many invented ones as are missing."""
    real = [kind.name for kind in CATALOGUE if not kind.novel]
    return (*real[:count], *(f"object {number}" for number in range(len(real), count)))
