"""`ovseg train`: the recipes in ``training/``, each a configuration and a function ``train``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import typer

from ovseg_ros.commands.options import override
from ovseg_ros.config import Config, describe

RECIPES = {
    "pyramid": "the small visual tower (convolutions), with the simulator's masks",
    "simzss": "a small SimZSS on such a tower",
    "blip_itm": "a small BLIP image-text matcher behind a pyramid",
    "simzss_pairs": "SimZSS, LiT or CLIP on image-caption pairs of your own",
    "blip": "a small BLIP captioner on such a tower",
    "xdecoder": "a small X-Decoder, with the simulator's masks",
}
_RECIPE_HELP = "; ".join(f"{name}: {what}" for name, what in RECIPES.items())


def train(
    recipe: str = typer.Argument(..., help=_RECIPE_HELP),
    data: Path | None = typer.Option(None, help="Folder of the robot cell's splits."),
    out: Path | None = typer.Option(None, help="Folder of the result and its checkpoints."),
    steps: int | None = typer.Option(None, min=1, help="Optimiser steps."),
    batch: int | None = typer.Option(None, min=1, help="Images per step."),
    lr: float | None = typer.Option(None, min=0.0, help="Peak learning rate."),
    seed: int | None = typer.Option(None, min=0, help="Seed of everything random."),
    sets: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Any other option."),
    options: bool = typer.Option(False, "--options", help="List the recipe's options and stop."),
) -> None:
    """Train one of the small models.

    A run that was killed goes on from its last checkpoint.
    """
    config, run = load_recipe(recipe)
    given = {
        "data": None if data is None else str(data),
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
    run(config)


def load_recipe(name: str) -> tuple[Config, Callable[[Any], None]]:
    """Return a recipe's default configuration and its function.

    Raises:
        ValueError: if there is no such recipe; lists those there are.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe: expected one of {', '.join(RECIPES)}, got {name!r}")
    run = import_module(f"ovseg_ros.training.{name}").train
    config = get_type_hints(run)["config"]()
    return config, run
