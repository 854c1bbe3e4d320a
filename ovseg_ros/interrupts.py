"""How a program ends that is interrupted, from its first import on.

Nothing here needs more than Python: it runs before anything else is imported.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
"""What ends a program cleanly; SIGHUP as well, where it is not ignored (``nohup``)."""

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before any fork


def interrupts() -> tuple[signal.Signals, ...]:
    """Return the signals that end a program: a terminal that is closed sends SIGHUP."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return INTERRUPTS if ignored else (*INTERRUPTS, signal.SIGHUP)


def leave_quietly() -> None:
    """End the program at once and without a traceback if it is interrupted from now on.

    For the seconds in which it imports its libraries; handlers that come later replace this one.
    """
    _handle(lambda *_: os._exit(0))


@contextmanager
def leaving_quietly(code: int) -> Iterator[None]:
    """Do as :func:`leave_quietly` says within the body, with an exit code."""
    with handled(lambda *_: os._exit(code)):
        yield


@contextmanager
def handled(handler: Any) -> Iterator[None]:
    """Let a handler, or ``signal.SIG_IGN``, take what ends a program, within the body."""
    before = _handle(handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _handle(handler: Any) -> dict[signal.Signals, Any]:
    """Set a handler and return those before it; only the main thread can, others set none."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number in interrupts()}


def end_with_parent(number: int = signal.SIGTERM) -> Callable[[], Any] | None:
    """Return what a child calls after the fork so that it does not outlive this process.

    The kernel sends it the signal then, however this process ended; None where there is no such
    thing (it is Linux's).
    """
    if _LIBC is None:
        return None
    libc, parent = _LIBC, os.getpid()

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(0)

    return prepare


def is_watched() -> bool:
    """Return whether the parent sees to it that this process ends: :func:`end_with_parent`."""
    number = ctypes.c_int(0)
    if _LIBC is not None:
        _LIBC.prctl(_PR_GET_PDEATHSIG, ctypes.byref(number))
    return number.value != 0
