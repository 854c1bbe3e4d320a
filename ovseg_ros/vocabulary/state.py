"""What the operator asked for, kept in a file so that a restart does not lose it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ovseg_ros.types import Mode
from ovseg_ros.whole_files import read_bounded, write_json

MAX_BYTES = 2**27
"""A longer file is none of ours: all names and groups there may be have less than 100 MiB."""


@dataclass(frozen=True, kw_only=True)
class OperatorState:
    """The operator's words.

    Attributes:
        mode: How the vocabulary lives.
        names: The operator's names with their groups, ``""`` for none.
    """

    mode: Mode
    names: Mapping[str, str]

    def write(self, path: Path) -> None:
        """Write the file as a whole or not at all.

        Raises:
            OSError: if it cannot be written.
        """
        if path.exists() and not path.is_file():  # a device would be replaced by a file
            raise OSError(f"{path} is no file")
        write_json(path, {"mode": self.mode.value, "names": self.names}, lasting=True)


def read_state(path: Path) -> OperatorState | None:
    """Return what a state file says; None if there is no file.

    Raises:
        ValueError: if the file is damaged; names it.
    """
    try:
        data = json.loads(read_bounded(path, MAX_BYTES))
        names = {str(name): str(group) for name, group in data["names"].items()}
        return OperatorState(mode=Mode(data["mode"]), names=names)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"state_file: {path} cannot be read ({reason})") from None
