"""`ovseg convert`: published checkpoint files as weights that presets name."""

from __future__ import annotations

from pathlib import Path

import typer

from ovseg_ros.segmenters.systems import converters

_HELP = "; ".join(f"{name}: {part.about}" for name, part in converters().items())


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
    known = converters()
    if system not in known:
        raise ValueError(f"system: expected one of {', '.join(known)}, got {system!r}")
    for line in known[system].load()(checkpoint, out, trust):
        typer.echo(line)
