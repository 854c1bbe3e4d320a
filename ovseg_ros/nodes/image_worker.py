"""The thread that owns a model: always the newest frame of each camera, never a queue."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
Frames = Sequence[tuple[int, Any]]

_IDLE_S = 0.5

_BURST_S = 2.0
"""Time that calls may take at once while frames come, before they wait for their share."""


class ImageWorker:
    """Calls ``work`` with the newest message of each camera, in one thread of its own.

    A message that is replaced before it was taken is dropped and counted. Other calls that need
    the model come in through :meth:`submit` and run between frames, in the same thread.

    Attributes:
        received: Messages that came in.
        dropped: Messages that were replaced by a newer one before they were taken.
    """

    def __init__(
        self,
        work: Callable[[Frames], None],
        *,
        between: Callable[[], None] = lambda: None,
        failed: Callable[[BaseException], None],
        period_s: Callable[[], float] = lambda: 0.0,
        share: float = 1.0,
        niceness: int = 0,
        name: str = "worker",
    ) -> None:
        """Prepare the thread; :meth:`start` starts it.

        Args:
            work: Takes (camera, message) pairs, at most one for each camera.
            between: Called before frames are taken, and twice a second while there are none.
            failed: Told what ``work`` and ``between`` raise; the thread goes on.
            period_s: Least time between the starts of two calls of ``work``.
            share: Part of the time, (0, 1], that tasks may take for long while frames come; without
                frames they may take all of it.
            niceness: Priority of the thread, 0 normal .. 19 least.
            name: Name of the thread.
        """
        self._work, self._between, self._failed = work, between, failed
        self._period_s, self._niceness, self._name = period_s, niceness, name
        self._budget = _Budget(share)
        self._changed = threading.Condition()
        self._pending: dict[int, Any] = {}
        self._newest: dict[int, tuple[Any, float]] = {}
        self._tasks: list[tuple[Future[Any], Callable[[], Any]]] = []
        self._thread: threading.Thread | None = None
        self._stopping = self._woken = False
        self.received = self.dropped = 0

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None

    def put(self, camera: int, message: Any) -> None:
        """Offer the newest message of a camera."""
        with self._changed:
            self.received += 1
            self.dropped += camera in self._pending
            self._pending[camera] = message
            self._newest[camera] = message, time.monotonic()
            self._changed.notify()

    def newest(self, camera: int = 0) -> tuple[Any, float] | None:
        """Return the newest message of a camera, taken or not, and when it came; or None.

        The time is that of ``time.monotonic()``, in seconds.
        """
        with self._changed:
            return self._newest.get(camera)

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Run ``task`` between two frames.

        Raises:
            RuntimeError: if the thread does not run.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._thread is None or self._stopping:
                raise RuntimeError("the node is not active")
            self._tasks.append((future, task))
            self._changed.notify()
        return future

    def wake(self) -> None:
        """Have ``between`` called soon."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def start(self) -> None:
        """Start the thread."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the frame at hand, cancel what waits and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._changed:
            for future, _ in self._tasks:
                future.cancel()
            self._tasks.clear()
            self._pending.clear()
            self._newest.clear()

    def _run(self) -> None:
        if self._niceness:
            with suppress(OSError):  # not allowed everywhere, and never needed to be right
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        due = 0.0
        while True:
            with self._changed:
                self._wait(due)
                if self._stopping:
                    return
                self._woken, tasks = False, []
                if self._tasks and not self._held_s():  # frames take turns with them
                    tasks = [self._tasks.pop(0)]
            for future, task in tasks:
                began = time.monotonic()
                _settle(future, task)
                self._budget.spend(began, time.monotonic())
            self._guard(self._between)
            with self._changed:
                if not self._pending or time.monotonic() < due:
                    continue
                frames, self._pending = sorted(self._pending.items()), {}
            due = time.monotonic() + self._period_s()
            self._guard(partial(self._work, frames))

    def _wait(self, due: float) -> None:
        end = time.monotonic() + _IDLE_S
        while not (self._stopping or self._woken):
            now = time.monotonic()
            held = self._held_s() if self._tasks else _IDLE_S
            if not held or (self._pending and now >= due) or now >= end:
                return
            self._changed.wait(min(end - now, held, due - now if self._pending else _IDLE_S))

    def _held_s(self) -> float:
        """Return how long tasks must wait so that frames keep their part of the time."""
        now = time.monotonic()
        last = max((at for _, at in self._newest.values()), default=-math.inf)
        return self._budget.wait_s(now) if now - last < _BURST_S else 0.0

    def _guard(self, call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:  # one bad frame must not end the thread
            self._failed(error)


def _settle(future: Future[T], task: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(task())
    except BaseException as error:
        future.set_exception(error)


class _Budget:
    """Time that tasks may take: a share of all time, of which some is saved up or lent."""

    def __init__(self, share: float) -> None:
        """Start with all that may be saved."""
        self._share, self._left_s, self._at = share, _BURST_S, time.monotonic()

    def wait_s(self, now: float) -> float:
        """Return how long it takes until there is some again, 0 if there is."""
        left_s = min(_BURST_S, self._left_s + (now - self._at) * self._share)
        return max(0.0, -left_s / self._share)

    def spend(self, began: float, ended: float) -> None:
        """Take what a task took; there may be less than none afterwards."""
        left_s = min(_BURST_S, self._left_s + (ended - self._at) * self._share)
        took_s = ended - began if self._share < 1 else 0.0
        # Not ever deeper: with a model that takes long, calls would run into their time limits.
        self._left_s, self._at = max(left_s - took_s, -_BURST_S), ended


class SlowCalls:
    """Bounds how many calls of a slow kind wait at a time; the others are told so at once."""

    def __init__(self, what: str, most: int) -> None:
        """Admit ``most`` calls at a time; ``what`` names them to those who are refused."""
        self._what, self._most = what, most
        self._free = threading.BoundedSemaphore(most)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Let one call in.

        Raises:
            RuntimeError: if as many as may be are being answered.
        """
        if not self._free.acquire(blocking=False):
            raise RuntimeError(f"busy: {self._most} {self._what} are being answered, ask again")
        try:
            yield
        finally:
            self._free.release()


def wait_for(future: Future[T], timeout_s: float) -> T:
    """Return a future's result.

    Raises:
        RuntimeError: if it took too long or the worker was stopped.
    """
    try:
        return future.result(max(timeout_s, 0.0))
    except CancelledError:
        raise RuntimeError("the node was deactivated meanwhile") from None
    except FutureTimeoutError:
        future.cancel()  # it may still wait for its turn
        raise RuntimeError("no answer in time (query_timeout_s, discover_timeout_s)") from None
