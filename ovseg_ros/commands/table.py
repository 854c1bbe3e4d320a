"""`ovseg table`: the papers' tables, measured on the robot cell beside what was published."""

from __future__ import annotations

from pathlib import Path

import typer

from ovseg_ros.commands.options import SET
from ovseg_ros.evaluation.table import Request, Table, tables
from ovseg_ros.segmenters.systems import pick

_TABLE_HELP = "; ".join(f"{name}: {part.about}" for name, part in tables().items())


def table(
    name: str = typer.Argument(..., help=_TABLE_HELP),
    root: Path | None = typer.Option(
        None, help="Folder of the data sets; $OVSEG_DATA or the user's cache by default."
    ),
    out: Path = typer.Option(
        Path("out/table"), help="Folder that keeps finished rows, so that a killed run goes on."
    ),
    split: str = typer.Option("test", help="Of the robot cell: val, test, novel or sequence."),
    limit: int | None = typer.Option(None, min=1, help="Only the first images."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
    json_file: Path | None = typer.Option(None, "--json", help="Write the table as JSON."),
    sets: list[str] = SET,
) -> None:
    """Print a paper's table: rows measured here beside the published ones."""
    build = pick("table", tables(), name).load()
    request = Request(
        root=root, out=out / name, split=split, limit=limit, device=device, sets=tuple(sets)
    )
    result: Table = build(request)
    for line in result.lines():
        typer.echo(line)
    if json_file is not None:
        result.write(json_file)
