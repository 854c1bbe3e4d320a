"""What the operator asked for, kept in a file so that a restart does not lose it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ovseg_ros.types import Mode
from ovseg_ros.whole_files import write_whole

MAX_BYTES = 2**20
"""A longer file is none of ours."""


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
        text = json.dumps({"mode": self.mode.value, "names": dict(self.names)}, indent=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda unfinished: unfinished.write_text(text + "\n"))


def read_state(path: Path) -> OperatorState | None:
    """Return what a state file says; None if there is no file.

    Raises:
        ValueError: if the file is damaged; names it.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"state_file: expected at most {MAX_BYTES} bytes in {path}")
        data = json.loads(path.read_text())
        names = {str(name): str(group) for name, group in data["names"].items()}
        return OperatorState(mode=Mode(data["mode"]), names=names)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"state_file: {path} cannot be read ({reason})") from None
