"""A program that ends in time, whatever its libraries do.

Python runs the handler of a signal between two of its own instructions. A library of half a
gigabyte that is being loaded, or a model that holds the interpreter, makes it wait for seconds on a
busy machine, and so does the kernel that takes back gigabytes at the end. So the program goes on in
a child, and a process of a few megabytes answers the signals.

Nothing here needs more than Python: it runs before anything else is imported.
"""

from __future__ import annotations

import os
import signal
import time

from ovseg_ros.interrupts import end_with_parent, interrupts, is_watched

GRACE_S = 1.5
"""Time for a program to end by itself; Ctrl-C is to be over within two seconds."""


def supervise() -> None:
    """Return in a child that is ended :data:`GRACE_S` after a signal, if not before.

    This process passes on the signals of :func:`ovseg_ros.interrupts.interrupts`, and ends with the
    child's exit code, or with 0 if the child had to be ended. Should it be killed, the kernel kills
    the child. Returns without a child where a parent already does all this, or where the kernel
    offers no such thing (it is Linux's).
    """
    end_with_us = end_with_parent(signal.SIGKILL)
    if end_with_us is None or is_watched():
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would not be told
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*interrupts(), signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        end_with_us()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    os._exit(_watch(child))


def _watch(child: int) -> int:
    """Pass signals on until the child ends, and return the exit code."""
    numbers = {*interrupts(), signal.SIGCHLD}
    deadline = float("inf")
    while (left_s := deadline - time.monotonic()) > 0:
        got = signal.sigtimedwait(numbers, min(left_s, 3600.0))
        if got is None:
            continue
        if got.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return _code(status, interrupted=deadline < float("inf"))
        else:
            deadline = min(deadline, time.monotonic() + GRACE_S)
            os.kill(child, got.si_signo)
    os.kill(child, signal.SIGKILL)  # not waited for: that takes long for one of gigabytes
    return 0


def _code(status: int, *, interrupted: bool) -> int:
    """Return the exit code of a child; one that a signal ended as a shell says it."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    return 0 if interrupted and -code in interrupts() else 128 - code
