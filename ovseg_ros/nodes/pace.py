"""How often something may happen: some at once, a steady rate for long."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Counts what happens, and says when to rest.

    A token bucket: it holds ``burst`` tokens at most, gets ``rate_hz`` a second, and whatever
    happens takes one. It is not meant for several threads.
    """

    def __init__(
        self, rate_hz: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with a full bucket.

        Args:
            rate_hz: How often it may happen for long, per second, above 0.
            burst: How often it may happen at once, at least 1.
            clock: Returns the time in seconds; it never goes back.
        """
        self._rate_hz, self._burst, self._clock = rate_hz, burst, clock
        self._left, self._at = float(burst), clock()

    def count(self) -> None:
        """Note that it has happened once; it may happen while :attr:`resting` as well."""
        self._fill()
        self._left -= 1

    @property
    def resting(self) -> bool:
        """Whether it should not happen now."""
        self._fill()
        return self._left < 1

    def _fill(self) -> None:
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate_hz)
        self._at = now
