"""`ovseg convert`: published checkpoint files as weights that presets name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer


def convert(
    system: str = typer.Argument(..., help="simzss: the authors' file for ViT-S, -B or -L."),
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
    if system not in CONVERTERS:
        raise ValueError(f"system: expected one of {', '.join(CONVERTERS)}, got {system!r}")
    for line in CONVERTERS[system](checkpoint, out, trust):
        typer.echo(line)


def _simzss(checkpoint: Path, out: Path | None, trust: bool) -> list[str]:
    from ovseg_ros.segmenters.simzss.convert import NAMES, read_checkpoint
    from ovseg_ros.segmenters.simzss.convert import convert as run
    from ovseg_ros.segmenters.simzss.convert import infer_architecture as infer
    from ovseg_ros.weights import converted_root

    state = read_checkpoint(checkpoint, trust=trust)
    width = infer(state).visual["embed_dim"]
    if out is None and width not in NAMES:
        raise ValueError(f"--out: no preset runs a tower of width {width}, so name a folder")
    report = run(state, out or converted_root() / NAMES[width])
    visual = report.architecture.visual
    return [
        f"{report.used} tensors of {checkpoint.name} are in {report.directory}",
        f"visual: width {width}, {visual['depth']} blocks, patches of {visual['patch_size']}, "
        f"{visual.get('reg_tokens', 0)} registers, "
        f"{'with' if report.architecture.denoiser else 'no'} denoiser",
        f"ignored: {', '.join(report.ignored) or 'nothing'}",
    ]


CONVERTERS: dict[str, Callable[[Path, Path | None, bool], list[str]]] = {"simzss": _simzss}
"""Every converter by name; it returns what it did as lines of text."""
