"""Runs a pipeline over a data set, image by image, and sums up; a killed run continues."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from tqdm import tqdm

from ovseg_ros.config import Config
from ovseg_ros.device import resolve_device, resolve_dtype
from ovseg_ros.evaluation import metrics
from ovseg_ros.evaluation.datasets import VOID, Dataset, Sample
from ovseg_ros.evaluation.predict import Prediction, Predictor
from ovseg_ros.evaluation.protocol import EvaluationConfig, describe, digest
from ovseg_ros.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """All that is kept of one image; sums of records give the data set's numbers.

    Attributes:
        index: Its index in the data set.
        id: Its name.
        confusion: The non-zero cells of its confusion matrix as (row, column, pixels).
        miou: Mean IoU over the classes of its ground truth, NaN if it has none.
        c_miou: Class-agnostic mean IoU, NaN if it has no ground truth.
        mapping: Every discovered name and the class it maps to; empty with ``gt``.
        vocabulary: Counts of right and found names.
        seconds: Time per stage.
    """

    index: int
    id: str
    confusion: list[tuple[int, int, int]]
    miou: float
    c_miou: float
    mapping: dict[str, str | None]
    vocabulary: metrics.VocabularyScore
    seconds: dict[str, float]

    def to_json(self) -> str:
        """Return the record as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> ImageRecord:
        """Read a line that :meth:`to_json` wrote."""
        values = json.loads(line)
        values["confusion"] = [tuple(cell) for cell in values["confusion"]]
        values["vocabulary"] = metrics.VocabularyScore(**values["vocabulary"])
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        protocol: What was measured and how.
        records: One per image, in order.
    """

    protocol: Mapping[str, Any]
    records: tuple[ImageRecord, ...]

    @property
    def confusion(self) -> np.ndarray:
        """The data set's confusion matrix, (C, C + 1) int64."""
        classes = len(self.protocol["classes"])
        matrix = np.zeros((classes, classes + 1), np.int64)
        for record in self.records:
            for row, column, pixels in record.confusion:
                matrix[row, column] += pixels
        return matrix

    def summary(self) -> dict[str, Any]:
        """Return the numbers as plain data for JSON: NaN (nothing to measure) becomes None."""
        matrix = self.confusion
        averaging = cast(metrics.Averaging, self.protocol["averaging"])
        auto = self.protocol["vocabulary"] == "auto"
        scores = [record.vocabulary for record in self.records]
        total = sum(scores, metrics.VocabularyScore())
        iou = metrics.iou_per_class(matrix)
        stages = sorted({stage for record in self.records for stage in record.seconds})
        return {
            "miou": _number(metrics.mean_iou(matrix, averaging)),
            "c_miou": _number(_mean(record.c_miou for record in self.records)),
            "vocabulary_precision": _number(total.precision) if auto else None,
            "vocabulary_recall": _number(total.recall) if auto else None,
            "vocabulary_precision_per_image": (
                _number(_mean(score.precision for score in scores)) if auto else None
            ),
            "vocabulary_recall_per_image": (
                _number(_mean(score.recall for score in scores)) if auto else None
            ),
            "pixel_accuracy": _number(np.trace(matrix) / matrix.sum() if matrix.any() else np.nan),
            "images": len(self.records),
            "per_category": {
                name: _number(value)
                for name, value in zip(self.protocol["classes"], iou, strict=True)
            },
            "names": self._names(),
            "seconds_per_image": {
                stage: _number(_mean(r.seconds.get(stage, math.nan) for r in self.records))
                for stage in stages
            },
            "protocol": dict(self.protocol),
        }

    def _names(self) -> dict[str, dict[str, Any]]:
        """Return every discovered name, the class it maps to, and in how many images it came."""
        names: dict[str, dict[str, Any]] = {}
        for record in self.records:
            for name, category in record.mapping.items():
                entry = names.setdefault(name, {"category": category, "images": 0})
                entry["images"] += 1
        return dict(sorted(names.items(), key=lambda item: (-item[1]["images"], item[0])))


def evaluate(
    pipeline: Pipeline,
    dataset: Dataset,
    config: EvaluationConfig | None = None,
    *,
    options: Config | None = None,
    resume: Path | None = None,
    limit: int | None = None,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a pipeline on a data set.

    Args:
        pipeline: The pipeline; its living vocabulary is not used and not changed.
        dataset: The data set.
        config: How to evaluate.
        options: The options the pipeline was built from, for the protocol.
        resume: Folder that keeps one line per finished image, so that a run which was killed
            goes on where it stopped; only lines of exactly this protocol count.
        limit: Evaluate the first images only.
        progress: Show a progress bar.

    Raises:
        ValueError: if the pipeline cannot do what is asked, or a sample is wrong.
        FileNotFoundError: if a file of the data set is missing or damaged.
    """
    config = config or EvaluationConfig()
    predictor = Predictor(pipeline, dataset, config)
    protocol = describe(config, dataset=dataset.name, classes=dataset.classes, options=options)
    protocol["segmenter"] = pipeline.segmenter.name
    protocol["discoverer"] = pipeline.discoverer.name if pipeline.discoverer else None
    protocol["device"] = pipeline.segmenter.device
    protocol["dtype"] = _dtype(options, pipeline.segmenter.device)
    cache = None if resume is None else resume / f"{digest(protocol)}.jsonl"
    done = {} if cache is None else _read(cache)
    records = []
    count = len(dataset) if limit is None else min(limit, len(dataset))
    with tqdm(range(count), disable=not progress, unit="image", desc=dataset.name) as bar:
        for index in bar:
            record = done.get(index)
            if record is None:
                sample = dataset[index]
                prediction = predictor.predict(sample.image, index)
                record = score(sample, prediction, index, dataset.classes, config)
                if cache is not None:
                    with cache.open("a") as stream:
                        stream.write(record.to_json() + "\n")
            records.append(record)
    return Evaluation(protocol=protocol, records=tuple(records))


def score(
    sample: Sample,
    prediction: Prediction,
    index: int,
    classes: tuple[str, ...],
    config: EvaluationConfig,
) -> ImageRecord:
    """Score the prediction of one sample."""
    truth = sample.labels.astype(np.int64) - 1  # void becomes -1
    matrix = metrics.confusion(truth, prediction.classes.astype(np.int64) - 1, len(classes))
    rows, columns = np.nonzero(matrix)
    values, pixels = np.unique(sample.labels, return_counts=True)
    shares = {
        classes[value - 1]: float(count / sample.labels.size)
        for value, count in zip(values, pixels, strict=True)
        if value != VOID
    }
    auto = config.vocabulary == "auto"
    return ImageRecord(
        index=index,
        id=sample.id,
        confusion=[
            (int(row), int(column), int(matrix[row, column]))
            for row, column in zip(rows, columns, strict=True)
        ],
        miou=metrics.mean_iou(matrix),
        c_miou=metrics.class_agnostic_iou(sample.labels, prediction.segments, void={VOID}),
        mapping=prediction.mapping if auto else {},
        vocabulary=metrics.vocabulary_score(
            prediction.names if auto else (),
            prediction.mapping,
            shares,
            visible=config.visible_share,
            asked=config.asked_share,
        ),
        seconds=prediction.seconds,
    )


def _read(cache: Path) -> dict[int, ImageRecord]:
    """Return the finished images of a cache; a line that was cut off is dropped."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    if not cache.exists():
        return {}
    lines = cache.read_text().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        cache.write_text("".join(whole))
    return {record.index: record for record in map(ImageRecord.from_json, whole)}


def _dtype(options: Config | None, device: str) -> str | None:
    """Return the numbers the models compute in, as resolved from the options."""
    dtype = getattr(options, "dtype", None)
    if dtype is None:
        return None
    return str(resolve_dtype(dtype, resolve_device(device))).removeprefix("torch.")


def _mean(values: Any) -> float:
    """Return the mean of the values that are not NaN; NaN if none is left."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
