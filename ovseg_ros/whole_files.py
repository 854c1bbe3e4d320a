"""Files that are there as a whole or not at all, and are not read without an end."""

from __future__ import annotations

import contextlib
import json
import math
import os
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

UNFINISHED = ".part"
"""Ending of files that are being written, or were when their program was killed."""


def write_whole(path: Path, write: Callable[[Path], object], *, lasting: bool = False) -> None:
    """Let ``write`` fill a file beside ``path`` that then takes its place.

    Whatever interrupts it, even Ctrl-C, there is the whole new file or the old state.

    Args:
        path: The file.
        write: Fills the file that it is given.
        lasting: That also holds when the power fails; waits for the disk.

    Raises:
        OSError: naming ``path`` if it cannot be written, as on a full disk.
    """
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}{UNFINISHED}")
    try:
        write(unfinished)
        if lasting:
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        if error.errno is None:  # one of our own, that says it
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_json(path: Path, data: Any, *, lasting: bool = False) -> None:
    """Write plain data as JSON; see :func:`write_text`.

    Args:
        path: The file.
        data: Numbers that are not finite, which JSON does not know, are written as null.
        lasting: See :func:`write_whole`.
    """
    write_text(path, json.dumps(_finite(data), indent=2, allow_nan=False) + "\n", lasting=lasting)


def write_text(path: Path, text: str, *, lasting: bool = False) -> None:
    """Write a text in UTF-8, as a whole or not at all; its folder is made if need be.

    Args:
        path: The file; what is a link, a pipe or a device, such as /dev/stdout, stays one.
        text: What it is to hold.
        lasting: See :func:`write_whole`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_text(text, encoding="utf-8")
    else:
        write = partial(Path.write_text, data=text, encoding="utf-8")
        write_whole(path, write, lasting=lasting)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def whole_lines(path: Path, *, mend: bool = False) -> list[bytes]:
    """Return the lines of a file that grows by lines; the last may be cut off, and is left out.

    Args:
        path: The file.
        mend: Take a line that is cut off away, so that what is added begins a line.
    """
    lines = path.read_bytes().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    if mend and len(whole) < len(lines):
        write_whole(path, partial(Path.write_bytes, data=b"".join(whole)))
    return whole


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
