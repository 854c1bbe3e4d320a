"""`ovseg render`: the robot cell's images."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from ovseg_ros.commands.options import image_size


def render(
    dataset: str = typer.Argument("robot_cell", help="What to render: robot_cell."),
    split: str = typer.Option("test", help="train, val, test, novel, wild or primitives."),
    root: Path | None = typer.Option(
        None, help="Folder of the splits; $OVSEG_DATA/robot_cell or the user's cache by default."
    ),
    count: int | None = typer.Option(None, min=1, help="Frames; the benchmark's by default."),
    size: str = typer.Option("", metavar="WxH", help="Pixels; the benchmark's by default."),
    workers: int = typer.Option(os.cpu_count() or 1, min=1, help="Processes."),
    seed: int = typer.Option(0, min=0, help="The benchmark is seed 0."),
) -> None:
    """Render a split of the robot cell.

    One that was begun is completed.
    """
    from ovseg_ros.folders import data_folder
    from ovseg_ros.robot_cell.render import render_split

    if dataset != "robot_cell":
        raise ValueError(f"dataset: expected robot_cell, got {dataset!r}")
    pixels = image_size(size) if size else None
    try:
        import pybullet  # noqa: F401
    except ImportError:
        raise ImportError("rendering needs pybullet: pip install pybullet") from None
    folder = render_split(
        root or data_folder("robot_cell"),
        split,
        count,
        pixels,
        workers=workers,
        seed=seed,
    )
    typer.echo(folder)
