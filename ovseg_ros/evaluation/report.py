"""Reports of evaluations for people: one self-contained HTML page with pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader

from ovseg_ros.codecs.pictures import data_uri
from ovseg_ros.drawing import contact_sheet, overlay, with_legend
from ovseg_ros.evaluation.datasets import Dataset
from ovseg_ros.evaluation.predict import Prediction, Predictor
from ovseg_ros.evaluation.records import Evaluation, ImageRecord
from ovseg_ros.whole_files import write_text


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of the report with the text under it."""

    title: str
    source: str


def extremes(evaluation: Evaluation, count: int) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Return the ``count`` best and the ``count`` worst images by mIoU, without overlap."""
    scored = [record for record in evaluation.records if record.miou == record.miou]
    scored.sort(key=lambda record: (-record.miou, record.index))
    best = scored[: min(count, (len(scored) + 1) // 2)]
    worst = scored[len(best) :][-count:][::-1]
    return best, worst


def confused(evaluation: Evaluation, count: int) -> list[tuple[str, str, float]]:
    """Return the largest confusions as (true class, predicted class, share of the true class)."""
    matrix = evaluation.confusion.astype(float)
    classes = list(evaluation.protocol["classes"])
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    order = np.argsort(-shares, axis=None, kind="stable")[:count]
    names = [*classes, "no category"]
    cells = [divmod(int(cell), shares.shape[1]) for cell in order]
    return [(classes[r], names[c], float(shares[r, c])) for r, c in cells if shares[r, c] > 0]


def heat(evaluation: Evaluation, count: int) -> tuple[list[str], list[tuple[str, list[float]]]]:
    """Return the confusion matrix of the largest classes for a table.

    Args:
        evaluation: The evaluation.
        count: At most so many classes, those with most true pixels.

    Returns:
        Heads of the columns, and for every class its name and its row: the shares of its pixels
        that went to the classes shown, to other classes, and to none.
    """
    matrix = evaluation.confusion
    classes = list(evaluation.protocol["classes"])
    pixels = matrix.sum(1)
    largest = [int(i) for i in np.argsort(-pixels, kind="stable")[:count] if pixels[i]]
    shown = sorted(largest)
    rest = [i for i in range(len(classes)) if i not in shown]
    rows = []
    for i in shown:
        counts = [*matrix[i, shown], matrix[i, rest].sum(), matrix[i, -1]]
        rows.append((classes[i], [float(c / pixels[i]) for c in counts]))
    return [*(classes[i] for i in shown), "other", "none"], rows


def draw(dataset: Dataset, predictor: Predictor, index: int) -> np.ndarray:
    """Return the picture of one image: input, ground truth and prediction, with legends."""
    sample = dataset[index]
    prediction = predictor.predict(sample.image, index)
    true = dict(enumerate(dataset.classes, start=1))
    truth = {int(v): true[int(v)] for v in np.unique(sample.labels) if int(v) in true}
    painted, legend = _in_class_colors(prediction, dataset.classes)
    return contact_sheet(
        [
            with_legend(sample.image, {}, title="image"),
            with_legend(overlay(sample.image, sample.labels), truth, title="ground truth"),
            with_legend(overlay(sample.image, painted), legend, title="prediction"),
        ],
        columns=3,
        cell_width_px=420,
    )


def _in_class_colors(
    prediction: Prediction, classes: Sequence[str]
) -> tuple[np.ndarray, dict[int, str]]:
    """Return labels whose colours are those of the ground truth, and their legend.

    Names that are none of the classes get colours behind those of the classes.
    """
    targets, legend = [0], dict[int, str]()
    for extra, name in enumerate(prediction.names, start=len(classes) + 1):
        category = prediction.mapping[name]
        target = extra if category is None else 1 + classes.index(category)
        targets.append(target)
        if (prediction.segments == len(targets) - 1).any():
            text = f"{name} (no class)" if category is None else name
            legend[target] = f"{legend[target]}, {text}" if target in legend else text
    nameless = range(len(targets), int(prediction.segments.max()) + 1)
    targets += [len(classes) + label for label in nameless]
    return np.array(targets, np.uint16)[prediction.segments], dict(sorted(legend.items()))


def write_html(
    path: Path, evaluation: Evaluation, dataset: Dataset, predictor: Predictor, *, count: int = 4
) -> None:
    """Write the report.

    Args:
        path: The HTML file.
        evaluation: What to report.
        dataset: The data set it was made on; read again for the pictures.
        predictor: Predicts those images again, with the same seeds.
        count: How many of the best and of the worst images to show.
    """
    best, worst = extremes(evaluation, count)
    environment = Environment(
        loader=PackageLoader("ovseg_ros.evaluation"), autoescape=True, trim_blocks=True
    )
    page = environment.get_template("report.html.j2").render(
        summary=evaluation.summary(),
        protocol=json.dumps(evaluation.protocol, indent=1),
        confused=confused(evaluation, 12),
        heat=heat(evaluation, 40),
        galleries={
            "Best images": _pictures(best, dataset, predictor),
            "Worst images": _pictures(worst, dataset, predictor),
        },
    )
    write_text(path, page)


def _pictures(
    records: Sequence[ImageRecord], dataset: Dataset, predictor: Predictor
) -> list[Picture]:
    return [
        Picture(
            title=f"{record.id}: mIoU {record.miou:.3f}, c-mIoU {record.c_miou:.3f}",
            source=data_uri(draw(dataset, predictor, record.index)),
        )
        for record in records
    ]
