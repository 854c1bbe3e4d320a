"""Programs that one program starts and never leaves behind."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ovseg_ros.nodes.up import start, stop

_TAIL_LINES = 15


class ChildError(RuntimeError):
    """A program ended by itself; the text says which one and what it said last."""


class Children:
    """Starts programs with their output in files, watches and stops them.

    Ctrl-C reaches them through :meth:`stop` alone; see :func:`ovseg_ros.nodes.up.start`.
    """

    def __init__(self, logs: Path, env: Mapping[str, str]) -> None:
        """Start none yet.

        Args:
            logs: Folder for a file of output for each program.
            env: Environment variables beside our own.
        """
        self._logs, self._env = logs, env
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a program."""
        with self.log(name).open("wb") as output:
            self._running[name] = start(
                command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def log(self, name: str) -> Path:
        """Return the file with a program's output."""
        return self._logs / f"{name}.log"

    def check(self) -> None:
        """Raise ChildError if a program has ended."""
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                raise ChildError(f"{name} ended with code {code}; it said last:\n{self.tail(name)}")

    def tail(self, name: str) -> str:
        """Return the last lines of a program's output."""
        lines = self.log(name).read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (nothing)"

    def stop(self, grace_s: float) -> dict[str, int]:
        """Interrupt all programs, kill what still runs after ``grace_s``, and return exit codes."""
        stop(self._running.values(), grace_s)
        codes = {name: process.wait() for name, process in self._running.items()}
        self._running.clear()
        return codes
