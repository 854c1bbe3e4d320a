"""Files that are there as a whole or not at all, and are not read without an end."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

UNFINISHED = ".part"
"""Ending of files that are being written, or were when their program was killed."""


def write_whole(path: Path, write: Callable[[Path], object], *, lasting: bool = False) -> None:
    """Let ``write`` fill a file beside ``path`` that then takes its place.

    Whatever interrupts it, even Ctrl-C, there is the whole new file or the old state.

    Args:
        path: The file.
        write: Fills the file that it is given.
        lasting: That also holds when the power fails; waits for the disk.
    """
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}{UNFINISHED}")
    try:
        write(unfinished)
        if lasting:
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def read_bounded(path: Path, most: int) -> bytes:
    """Return what a file holds.

    Args:
        path: The file.
        most: How many bytes it may have.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is longer, or no file but a pipe or a device, which have no end.
    """
    if not path.is_file() and path.exists():
        raise ValueError(f"expected a file, {path} is none")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"expected at most {most} bytes in {path}")
    return data
