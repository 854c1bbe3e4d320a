"""Files of attributes that ship in the package."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "data" / "attributes"
"""Each says which model wrote it."""


def find_file(name: str) -> Path:
    """Return the file of a name that ships (``robot_cell``), or a path as it is.

    Raises:
        FileNotFoundError: if there is neither; lists what ships.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    own = FOLDER / f"{name}.json"
    if own.is_file():
        return own
    there = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json"))) or "nothing"
    raise FileNotFoundError(f"enrichment.file: {name} is not there; {there} ships")
