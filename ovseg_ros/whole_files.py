"""Files that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path

UNFINISHED = ".part"
"""Ending of files that are being written, or were when their program was killed."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside ``path`` that then takes its place.

    Whatever interrupts it, even Ctrl-C, there is the whole new file or the old state.
    """
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}{UNFINISHED}")
    try:
        write(unfinished)
        unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
