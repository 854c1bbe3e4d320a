"""Named stages of a computation, measured only while somebody asks.

Code that is worth to be looked into says ``with stage("encoder"):``; that costs a microsecond.
:class:`Stopwatch` then says how long each stage of a call took and how much arithmetic it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token


class Stopwatch:
    """Measures the stages of what runs inside of it, in this thread.

    Attributes:
        ms: Milliseconds by stage, in order of first appearance; repeats are summed.
        flops: Operations by stage, if ``count`` is given.
    """

    def __init__(
        self, wait: Callable[[], None] = lambda: None, count: Callable[[], int] | None = None
    ) -> None:
        """Measure nothing yet.

        Args:
            wait: Returns when the device has done what was asked of it.
            count: Returns how many operations there were so far.
        """
        self.ms: dict[str, float] = {}
        self.flops: dict[str, int] = {}
        self._wait, self._count = wait, count
        self._token: Token[Stopwatch | None] | None = None

    def __enter__(self) -> Stopwatch:
        """Start to measure."""
        self._token = _stopwatch.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        assert self._token is not None
        _stopwatch.reset(self._token)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add what happens inside to a stage."""
        self._wait()
        start, before = time.perf_counter(), self._count() if self._count else 0
        yield
        self._wait()
        self.ms[name] = self.ms.get(name, 0.0) + 1000 * (time.perf_counter() - start)
        if self._count:
            self.flops[name] = self.flops.get(name, 0) + self._count() - before


_stopwatch: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Mark a stage; stages do not nest."""
    watch = _stopwatch.get()
    if watch is None:
        yield
        return
    with watch.measure(name):
        yield
