"""Where weights come from: a folder, the package itself, or a public name."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).parent / "robot_cell" / "assets"
"""Folder of the small weights that ship with the package."""


def resolve_weights(name: str) -> str:
    """Return what ``from_pretrained`` and the like can open.

    Args:
        name: An existing folder or file; ``robot_cell/<model>`` for the package's own weights; else
            a public name, which is returned as it is.

    Raises:
        ValueError: if the name is empty.
        FileNotFoundError: if the package does not have the weights a ``robot_cell/`` name asks for.
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
    return name
