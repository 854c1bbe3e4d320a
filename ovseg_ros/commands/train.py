"""`ovseg train`: the recipes, each a configuration and a function of it."""

from __future__ import annotations

from pathlib import Path

import typer

from ovseg_ros.config import describe, flatten, override
from ovseg_ros.training.recipes import find_install, load_recipe, recipes

_RECIPE_HELP = "; ".join(f"{name}: {part.about}" for name, part in recipes().items())


def train(
    recipe: str = typer.Argument(..., help=_RECIPE_HELP),
    data: str | None = typer.Option(
        None,
        help="robot_cell, NAME:ROOT of a public data set, or a folder: splits of the cell, or "
        "images/, masks/ and classes.txt, whose lines count from 1 unless they say their value.",
    ),
    out: Path | None = typer.Option(None, help="Folder of the result and its checkpoints."),
    steps: int | None = typer.Option(None, min=1, help="Optimiser steps."),
    batch: int | None = typer.Option(None, min=1, help="Images per step."),
    lr: float | None = typer.Option(None, min=0.0, help="Peak learning rate."),
    seed: int | None = typer.Option(None, min=0, help="Seed of everything random."),
    sets: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Any other option."),
    installed: bool = typer.Option(
        False,
        "--install",
        help="Then measure the weights on the robot cell and put them into the package.",
    ),
    options: bool = typer.Option(False, "--options", help="List the recipe's options and stop."),
) -> None:
    """Train one of the small models.

    A run that was killed goes on from its last checkpoint.
    """
    config, run = load_recipe(recipe)
    given = {
        "data": data,
        "out": None if out is None else str(out),
        "loop.steps": steps,
        "loop.batch": batch,
        "loop.lr": lr,
        "loop.seed": seed,
    }
    fixed = {key: value for key, value in given.items() if value is not None}
    config = override(config, sets, fixed)
    if options:
        for leaf in describe(config):
            typer.echo(f"{leaf.name} = {leaf.value!r}  {leaf.help}")
        return
    what = find_install(recipe) if installed else None  # mistakes are refused before the training
    root = _cell_root(flatten(config)["data"]) if installed else None
    from ovseg_ros.training.distributed import leave, rank
    from ovseg_ros.training.loop import check_run

    check_run(Path(flatten(config)["out"]), config)
    run(config)

    first = rank() == 0
    leave()
    if what is not None and first:
        from ovseg_ros.training.install import install

        target = install(Path(flatten(config)["out"]), what, root=root)
        typer.echo(f"{recipe}: measured and installed as {target}")


def _cell_root(data: str) -> Path | None:
    """Return the folder of the robot cell's splits, None for its usual place.

    Raises:
        ValueError: if the data are others: what is shipped is measured on the cell.
    """
    name, _, root = data.partition(":")
    if name == "robot_cell" and not Path(data).is_dir():
        return Path(root).expanduser() if root else None
    if not any(Path(data).expanduser().glob("*/frames.jsonl")):
        raise ValueError(f"--install: expected weights of the robot cell, not of {data}")
    return Path(data).expanduser()
