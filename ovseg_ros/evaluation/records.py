"""What an evaluation keeps of every image, and the numbers they add up to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from ovseg_ros.evaluation.metrics import semantic as metrics
from ovseg_ros.evaluation.metrics.panoptic import ClassCounts, mean_quality

Cells = list[tuple[int, int, int]]
"""The non-zero cells of a confusion matrix as (row, column, pixels)."""


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """All that is kept of one image; sums of records give the data set's numbers.

    Attributes:
        index: Its index in the data set.
        id: Its name.
        confusion: Its confusion matrix.
        miou: Mean IoU over the classes of its ground truth, NaN if it has none.
        c_miou: Class-agnostic mean IoU, NaN if it has no ground truth.
        mapping: Every discovered name and the class it maps to; empty with ``gt``.
        vocabulary: Counts of right and found names.
        seconds: Time per stage.
        boundary_free: The confusion matrix away from true borders, None if not asked for.
        panoptic: Segments by class 1..K, None if the sample has no panoptic ground truth.
    """

    index: int
    id: str
    confusion: Cells
    miou: float
    c_miou: float
    mapping: dict[str, str | None]
    vocabulary: metrics.VocabularyScore
    seconds: dict[str, float]
    boundary_free: Cells | None = None
    panoptic: dict[int, ClassCounts] | None = None

    def to_json(self) -> str:
        """Return the record as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> ImageRecord:
        """Read a line that :meth:`to_json` wrote.

        Raises:
            ValueError: if it is another one, or a damaged one.
        """
        try:
            return cls._from_values(json.loads(line))
        except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise ValueError(f"expected a record of an image ({error})") from None

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> ImageRecord:
        for key in ("confusion", "boundary_free"):
            if values[key] is not None:
                values[key] = [tuple(cell) for cell in values[key]]
        if values["panoptic"] is not None:
            values["panoptic"] = {
                int(label): ClassCounts(**counts) for label, counts in values["panoptic"].items()
            }
        values["vocabulary"] = metrics.VocabularyScore(**values["vocabulary"])
        record = cls(**values)
        counts = [n for cell in (*record.confusion, *(record.boundary_free or ())) for n in cell]
        counts += [record.index, *vars(record.vocabulary).values()]
        numbers = [record.miou, record.c_miou, *record.seconds.values()]
        words = [record.id, *record.mapping, *filter(None, record.mapping.values())]
        if (
            any(len(cell) != 3 for cell in (*record.confusion, *(record.boundary_free or ())))
            or any(type(count) is not int or count < 0 for count in counts)
            or not all(isinstance(number, (int, float)) for number in numbers)
            or not all(isinstance(word, str) for word in words)
        ):
            raise ValueError("expected a record of an image (a value of another type)")
        return record


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """An image that could not be evaluated, and why."""

    index: int
    reason: str


def cells(matrix: np.ndarray) -> Cells:
    """Return the non-zero cells of a matrix."""
    rows, columns = np.nonzero(matrix)
    return [(int(r), int(c), int(matrix[r, c])) for r, c in zip(rows, columns, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        protocol: What was measured and how.
        records: One per image, in order.
        skipped: Images that could not be read, in order.
    """

    protocol: Mapping[str, Any]
    records: tuple[ImageRecord, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def confusion(self) -> np.ndarray:
        """The data set's confusion matrix, (C, C + 1) int64."""
        return self._sum(record.confusion for record in self.records)

    def summary(self) -> dict[str, Any]:
        """Return the numbers as plain data for JSON: NaN (nothing to measure) becomes None."""
        matrix = self.confusion
        iou = metrics.iou_per_class(matrix)
        stages = sorted({stage for record in self.records for stage in record.seconds})
        return {
            **self._miou(matrix),
            "c_miou": number(mean(record.c_miou for record in self.records)),
            **self._vocabulary(),
            "pixel_accuracy": number(np.trace(matrix) / matrix.sum() if matrix.any() else np.nan),
            **self._panoptic(),
            "images": len(self.records),
            "skipped": [asdict(entry) for entry in self.skipped],
            "per_category": {
                name: number(value)
                for name, value in zip(self.protocol["classes"], iou, strict=True)
            },
            "names": self._names(),
            "seconds_per_image": {
                stage: number(mean(r.seconds.get(stage, math.nan) for r in self.records))
                for stage in stages
            },
            "protocol": dict(self.protocol),
        }

    def _miou(self, matrix: np.ndarray) -> dict[str, float | None]:
        averaging = cast(metrics.Averaging, self.protocol["averaging"])
        found = {"miou": number(metrics.mean_iou(matrix, averaging))}
        for rule in ("detectron2", "mmseg"):
            found[f"miou_{rule}"] = number(metrics.mean_iou(matrix, rule))  # type: ignore[arg-type]
        inner = [r.boundary_free for r in self.records if r.boundary_free is not None]
        if inner:
            found["miou_boundary_free"] = number(metrics.mean_iou(self._sum(inner), averaging))
        return found

    def _vocabulary(self) -> dict[str, Any]:
        if self.protocol["vocabulary"] != "auto":
            keys = ("precision", "recall", "precision_per_image", "recall_per_image")
            return {f"vocabulary_{key}": None for key in keys} | {"categories_found": None}
        scores = [record.vocabulary for record in self.records]
        total = sum(scores, metrics.VocabularyScore())
        return {
            "vocabulary_precision": number(total.precision),
            "vocabulary_recall": number(total.recall),
            "vocabulary_precision_per_image": number(mean(score.precision for score in scores)),
            "vocabulary_recall_per_image": number(mean(score.recall for score in scores)),
            "categories_found": len({name for record in self.records for name in record.mapping}),
        }

    def _panoptic(self) -> dict[str, Any]:
        """Return PQ, SQ and RQ over all classes, things and stuff; nothing without ground truth."""
        total: dict[int, ClassCounts] = {}
        for record in self.records:
            for label, counts in (record.panoptic or {}).items():
                total.setdefault(label, ClassCounts()).add(counts)
        if not total:
            return {"panoptic": None}
        things = set(self.protocol["things"])
        labels = dict(enumerate(self.protocol["classes"], start=1))
        groups = {
            "all": set(labels),
            "things": {label for label, name in labels.items() if name in things},
            "stuff": {label for label, name in labels.items() if name not in things},
        }
        scores = {key: mean_quality(total, group) for key, group in groups.items()}
        return {
            "panoptic": {
                key: {
                    "pq": number(score.pq),
                    "sq": number(score.sq),
                    "rq": number(score.rq),
                    "classes": score.classes,
                }
                for key, score in scores.items()
            }
        }

    def _names(self) -> dict[str, dict[str, Any]]:
        """Return every discovered name, the class it maps to, and in how many images it came."""
        names: dict[str, dict[str, Any]] = {}
        for record in self.records:
            for name, category in record.mapping.items():
                entry = names.setdefault(name, {"category": category, "images": 0})
                entry["images"] += 1
        return dict(sorted(names.items(), key=lambda item: (-item[1]["images"], item[0])))

    def _sum(self, matrices: Iterable[Cells]) -> np.ndarray:
        classes = len(self.protocol["classes"])
        total = np.zeros((classes, classes + 1), np.int64)
        for matrix in matrices:
            for row, column, pixels in matrix:
                total[row, column] += pixels
        return total


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if none is left."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def number(value: float) -> float | None:
    """Return a value as JSON takes it, rounded to a millionth; None for NaN."""
    return None if math.isnan(value) else round(float(value), 6)
