"""`ovseg eval`: a preset on a data set, in numbers that can be repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from ovseg_ros.commands.options import DEVICE, PRESET, SET, pipeline_options


def evaluate(
    preset: str = PRESET,
    dataset: str = typer.Option("robot_cell", help="robot_cell, or a folder of your own data."),
    split: str = typer.Option("test", help="Of the robot cell: val, test, novel or sequence."),
    root: Path | None = typer.Option(
        None, help="Folder of the splits; $OVSEG_DATA/robot_cell or the user's cache by default."
    ),
    vocabulary: str = typer.Option("gt", help="gt (the classes' names) or auto (discovered)."),
    segmentation: str = typer.Option(
        "segmenter", help="segmenter, or clusters (discovery's embeddings only)."
    ),
    averaging: str = typer.Option("detectron2", help="detectron2 or mmseg, see the report."),
    seed: int = typer.Option(0, min=0, help="Image i is discovered with seed + i."),
    limit: int | None = typer.Option(None, min=1, help="Only the first images."),
    json_file: Path | None = typer.Option(None, "--json", help="Write the numbers as JSON."),
    html_file: Path | None = typer.Option(None, "--html", help="Write a page with pictures."),
    resume: Path | None = typer.Option(
        None, help="Folder that remembers finished images, so that a killed run goes on."
    ),
    device: str = DEVICE,
    sets: list[str] = SET,
) -> None:
    """Measure a preset on a data set.

    Prints IoU per category, mIoU, c-mIoU, and precision and recall of discovered words.
    """
    from ovseg_ros.evaluation.datasets import open_dataset
    from ovseg_ros.evaluation.evaluate import evaluate as run
    from ovseg_ros.evaluation.protocol import EvaluationConfig
    from ovseg_ros.pipeline import build_pipeline

    config = EvaluationConfig(
        vocabulary=vocabulary, segmentation=segmentation, averaging=averaging, seed=seed
    )
    without = {"discovery__name": "none"} if vocabulary == "gt" else {}
    options = pipeline_options(preset, sets, device=device, **without)
    data = open_dataset(dataset, split=split, root=root)
    pipeline = build_pipeline(options)
    try:
        result = run(
            pipeline, data, config, options=options, resume=resume, limit=limit, progress=True
        )
    except KeyboardInterrupt:
        typer.echo(
            f"stopped; the same command goes on with --resume {resume}"
            if resume
            else "stopped; with --resume DIR a run can go on",
            err=True,
        )
        raise typer.Exit(130) from None
    summary = result.summary()
    for line in table(summary):
        typer.echo(line)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n")
    if html_file is not None:
        from ovseg_ros.evaluation.predict import Predictor
        from ovseg_ros.evaluation.report import write_html

        write_html(html_file, result, data, Predictor(pipeline, data, config))


def table(summary: dict[str, Any]) -> list[str]:
    """Return the numbers of an evaluation as lines of text."""
    protocol = summary["protocol"]
    width = max([len(name) for name in summary["per_category"]] + [len("vocabulary precision")])

    def row(name: str, value: float | None) -> str:
        return f"{name:{width}}  {'-' if value is None else format(value, '.4f')}"

    lines = [row(name, value) for name, value in summary["per_category"].items()]
    lines += [
        "",
        row("mIoU", summary["miou"]) + f"  ({protocol['averaging']})",
        row("c-mIoU", summary["c_miou"]),
    ]
    if protocol["vocabulary"] == "auto":
        lines += [
            row("vocabulary precision", summary["vocabulary_precision"]),
            row("vocabulary recall", summary["vocabulary_recall"]),
        ]
    return [
        *lines,
        f"{summary['images']} images of {protocol['dataset']}, vocabulary {protocol['vocabulary']},"
        f" {protocol['segmenter']} on {protocol['device']}, seed {protocol['seed']}",
    ]
