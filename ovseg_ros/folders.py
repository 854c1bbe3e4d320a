"""Where files lie: the package's own lists, the user's data and weights, what is kept for later."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

LISTS = Path(__file__).parent / "data"
"""Lists and tables of the package."""


def read_words(name: str) -> frozenset[str]:
    """Return the lines of one of the package's lists, without its comments."""
    lines = (line.strip() for line in (LISTS / name).read_text().splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


def data_folder(name: str) -> Path:
    """Return ``$OVSEG_DATA/NAME``, or its place in the user's cache."""
    return _folder("OVSEG_DATA", name)


def cache_folder(name: str) -> Path:
    """Return ``$OVSEG_CACHE/NAME``, or its place in the user's cache."""
    return _folder("OVSEG_CACHE", name)


def _folder(variable: str, name: str) -> Path:
    if root := os.environ.get(variable):
        return Path(root).expanduser() / name
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a container's user without a home; the folder is not another user's
        return Path(tempfile.gettempdir()) / f"ovseg_ros-{os.getuid()}" / name
    return cache / "ovseg_ros" / name
