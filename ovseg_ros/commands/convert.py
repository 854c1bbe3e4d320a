"""`ovseg convert`: published checkpoint files as weights that presets name."""

from __future__ import annotations

from pathlib import Path

import typer

from ovseg_ros.segmenters.systems import parts, pick

_CONVERTERS = parts("converters")
_HELP = "; ".join(f"{name}: {part.about}" for name, part in _CONVERTERS.items())


def convert(
    system: str = typer.Argument(..., help=f"{_HELP}."),
    checkpoint: Path = typer.Argument(..., help="The file."),
    out: Path | None = typer.Option(
        None, help="Folder of the result; by default where the system's preset looks for it."
    ),
    trust: bool = typer.Option(
        False, help="Read a file with more than tensors in it, which may run code."
    ),
) -> None:
    """Convert a checkpoint that a system's authors publish.

    Every key is accounted for: what is missing or unknown is an error. Afterwards the preset of the
    same name runs.
    """
    run = pick("system", _CONVERTERS, system).load()
    for line in run(checkpoint, out, trust):
        typer.echo(line)
