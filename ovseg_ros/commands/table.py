"""`ovseg table`: the papers' tables, measured on the robot cell beside what was published."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ovseg_ros.commands.options import SET

if TYPE_CHECKING:
    from ovseg_ros.tables.base import Builder

TABLES: dict[str, str] = {
    "autoseg": "who finds the words: AutoSeg, its ablations and baselines, beside the paper",
    "pnp_ovss": "what each step of PnP-OVSS brings, and tuning without masks",
    "simzss": "CLIP, LiT and SimZSS, trained alike on the robot cell",
}
"""What there is, by name: the file of that name in ``tables/`` has a function ``table``."""

_TABLE_HELP = "; ".join(f"{name}: {what}" for name, what in TABLES.items())


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
    from ovseg_ros.tables.base import Request

    build = load_table(name)
    request = Request(
        root=root, out=out / name, split=split, limit=limit, device=device, sets=tuple(sets)
    )
    result = build(request)
    for line in result.lines():
        typer.echo(line)
    if json_file is not None:
        result.write(json_file)


def load_table(name: str) -> Builder:
    """Return the function that makes a table.

    Raises:
        ValueError: if there is no such table; lists those there are.
    """
    if name not in TABLES:
        raise ValueError(f"table: expected one of {', '.join(TABLES)}, got {name!r}")
    build: Builder = import_module(f"ovseg_ros.tables.{name}").table
    return build
