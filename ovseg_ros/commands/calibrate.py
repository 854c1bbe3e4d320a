"""`ovseg calibrate`: the temperature of a preset's confidence, and curves that show its worth."""

from __future__ import annotations

from pathlib import Path

import typer

from ovseg_ros.commands.options import DEVICE, PRESET, SET


def calibrate(
    preset: str = PRESET,
    temperatures: str = typer.Option(
        "0.01,0.015,0.02,0.03,0.04,0.05", help="Candidates; the best on val is named."
    ),
    splits: str = typer.Option("test,wild", help="Splits of the robot cell to draw with it."),
    images: int = typer.Option(24, min=1, help="Images of each split, evenly spread."),
    chart: Path = typer.Option(Path("out/reliability.png"), help="Picture of the curves."),
    photographs: Path | None = typer.Option(
        None, help="Folder of photographs of other things: the confidence there, with val's names."
    ),
    root: Path | None = typer.Option(None, help="Folder of the robot cell's splits."),
    device: str = DEVICE,
    sets: list[str] = SET,
) -> None:
    """Choose the confidence's temperature on val and draw reliability curves with it."""
    import numpy as np

    from ovseg_ros.evaluation.calibration import draw, measure, measure_strangers
    from ovseg_ros.evaluation.datasets import evenly, open_dataset
    from ovseg_ros.photographs import find_images, read_image
    from ovseg_ros.presets import pipeline_options
    from ovseg_ros.programs import need
    from ovseg_ros.segmenters.base import Segmenter
    from ovseg_ros.segmenters.build import build_segmenter
    from ovseg_ros.types import Vocabulary

    need("matplotlib")

    def build(temperature: float) -> Segmenter:
        name = pipeline_options(preset, sets, device=device).segmenter.name
        chosen = [*sets, f"segmenter.{name}.temperature={temperature}"]
        options = pipeline_options(preset, chosen, device=device, measured=True)
        return build_segmenter(options.segmenter, device=options.device, dtype=options.dtype)

    val = open_dataset("robot_cell", split="val", root=root)
    errors = {}
    for text in temperatures.split(","):
        errors[float(text)] = measure(build(float(text)), val, evenly(len(val), images)).error
        typer.echo(f"temperature {text}: error {errors[float(text)]:.4f} on val")
    best = min(errors, key=lambda value: errors[value])
    segmenter, curves = build(best), {}
    for split in ("val", *splits.split(",")):
        data = open_dataset("robot_cell", split=split, root=root)
        curves[split] = measure(segmenter, data, evenly(len(data), images))
        typer.echo(f"{split}: error {curves[split].error:.4f} at temperature {best}")
    names, novel = val.classes, open_dataset("robot_cell", split="novel", root=root)
    strangers = measure_strangers(segmenter, novel, evenly(len(novel), images), names)
    typer.echo(
        f"novel objects without their names: confidence {strangers.unknown:.3f}, of the others "
        f"{strangers.known:.3f}; AUROC {strangers.auroc:.3f}"
    )
    if photographs is not None:
        found = [
            segmenter.segment(read_image(path)[None], Vocabulary.of(*names))
            for path in find_images([photographs])
        ]
        said = float(np.mean([result.confidence.mean() / 255 for result in found]))
        labelled = float(np.mean([(result.labels > 0).mean() for result in found]))
        typer.echo(f"photographs: confidence {said:.3f}, labelled {labelled:.1%} of the pixels")
    draw(curves, chart)
    typer.echo(chart)
