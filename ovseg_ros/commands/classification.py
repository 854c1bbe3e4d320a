"""`ovseg eval-classification`: whole images against names."""

from __future__ import annotations

from pathlib import Path

import typer

from ovseg_ros.commands.options import DEVICE, PRESET, SET
from ovseg_ros.presets import pipeline_options
from ovseg_ros.whole_files import write_json


def evaluate_classification(
    preset: str = PRESET,
    dataset: str = typer.Option(
        "robot_cell", help="As for eval, cut into crops; or a folder of folders of pictures."
    ),
    split: str | None = typer.Option(None, help="As for eval."),
    root: Path | None = typer.Option(None, help="As for eval."),
    side: int = typer.Option(
        224,
        min=16,
        help="Side of the square pictures in pixels; robot_cell: 96.",
    ),
    limit: int | None = typer.Option(None, min=1, help="Only the first images."),
    json_file: Path | None = typer.Option(None, "--json", help="Write the numbers as JSON."),
    device: str = DEVICE,
    sets: list[str] = SET,
) -> None:
    """Measure zero-shot classification with the image token of a segmenter that has one.

    Of a segmentation data set crops are cut around what its images show. Prints how often the
    most similar name is the square's subject, and how often it is anything that the square shows.
    """
    from ovseg_ros.evaluation import classification
    from ovseg_ros.evaluation.datasets import open_dataset
    from ovseg_ros.segmenters.base import ImageClassifier
    from ovseg_ros.segmenters.build import build_segmenter

    options = pipeline_options(preset, sets, device=device, measured=True)
    folder = Path(dataset)
    if folder.is_dir() and not (folder / "masks").is_dir():
        classes, files = classification.open_folder(folder)
        pictures = classification.folder_pictures(files[:limit], side=side)
    else:
        data = open_dataset(dataset, split=split, root=root)
        classes, pictures = data.classes, classification.crops(data, side=side, limit=limit)
    segmenter = build_segmenter(options.segmenter, device=options.device, dtype=options.dtype)
    if not isinstance(segmenter, ImageClassifier):
        raise ValueError(f"preset: expected one with image tokens, {segmenter.name} has none")
    result = classification.evaluate_classification(segmenter, pictures, classes, progress=True)
    width = max(map(len, classes))
    for name, value in result["per_class"].items():
        typer.echo(f"{name:{width}}  {'-' if value is None else format(value, '.4f')}")
    typer.echo(
        f"\naccuracy {result['accuracy']}, mean over classes {result['class_accuracy']}, "
        f"visible {result['visible_accuracy']}, {result['pictures']} pictures"
    )
    if json_file is not None:
        write_json(json_file, result)
