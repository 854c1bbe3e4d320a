"""Where weights come from: a folder, the package itself, or a public name."""

from __future__ import annotations

import os
from pathlib import Path

ASSETS = Path(__file__).parent / "robot_cell" / "assets"
"""Folder of the small weights that ship with the package."""


def resolve_weights(name: str) -> str:
    """Return what ``from_pretrained`` and the like can open.

    Args:
        name: An existing folder or file; ``robot_cell/<model>`` for the package's own weights;
            ``converted/<model>`` for what ``ovseg convert`` made; else a public name, which is
            returned as it is.

    Raises:
        ValueError: if the name is empty.
        FileNotFoundError: if the weights of a ``robot_cell/`` or ``converted/`` name are not there.
    """
    if not name.strip():
        raise ValueError("weights: expected a folder or a name, got an empty string")
    if Path(name).expanduser().exists():
        return str(Path(name).expanduser())
    if name.startswith("robot_cell/"):
        model = name.removeprefix("robot_cell/")
        folder = ASSETS / model
        if not folder.exists():
            raise FileNotFoundError(
                f"weights: {name!r} is not in {ASSETS}; train it with `ovseg train {model}`"
            )
        return str(folder)
    if name.startswith("converted/"):
        folder = converted_root() / name.removeprefix("converted/")
        if not folder.exists():
            system = folder.name.partition("_")[0]
            raise FileNotFoundError(
                f"weights: {folder} is not there; make it from the authors' checkpoint with "
                f"`ovseg convert {system} FILE`"
            )
        return str(folder)
    return name


def converted_root() -> Path:
    """Return ``$OVSEG_DATA/weights``, or its place in the user's cache."""
    if os.environ.get("OVSEG_DATA"):
        return Path(os.environ["OVSEG_DATA"]).expanduser() / "weights"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ovseg_ros" / "weights"
