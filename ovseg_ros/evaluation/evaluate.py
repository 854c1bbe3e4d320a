"""Runs a pipeline over a data set, image by image; a killed run continues, several share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from ovseg_ros.config import Config
from ovseg_ros.evaluation.datasets import VOID, Dataset, Sample
from ovseg_ros.evaluation.mapping.base import Mapper
from ovseg_ros.evaluation.metrics import semantic as metrics
from ovseg_ros.evaluation.metrics.panoptic import regions, score_segments
from ovseg_ros.evaluation.predict import Prediction, Predictor
from ovseg_ros.evaluation.protocol import EvaluationConfig, describe, digest
from ovseg_ros.evaluation.records import Evaluation, ImageRecord, Skipped, cells
from ovseg_ros.evaluation.shards import Shard
from ovseg_ros.models.device import resolve_device, resolve_dtype
from ovseg_ros.whole_files import whole_lines

if TYPE_CHECKING:
    from ovseg_ros.pipeline import Pipeline

logger = logging.getLogger(__name__)


def evaluate(
    pipeline: Pipeline,
    dataset: Dataset,
    config: EvaluationConfig | None = None,
    *,
    options: Config | None = None,
    mapper: Mapper | None = None,
    resume: Path | None = None,
    limit: int | None = None,
    strict: bool = False,
    shard: Shard | None = None,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a pipeline on a data set.

    Args:
        pipeline: The pipeline; its living vocabulary is not used and not changed.
        dataset: The data set.
        config: How to evaluate.
        options: The options the pipeline was built from, for the protocol.
        mapper: Maps discovered names to classes; made from ``config`` by default.
        resume: Folder that keeps one line per finished image, so that a run which was killed
            goes on where it stopped; only lines of exactly this protocol count.
        limit: Evaluate the first images only.
        strict: Stop at an image that is missing, damaged or of another size than its ground truth;
            else it is logged, skipped and listed in the result.
        shard: This process's share; every process returns the result of all.
        progress: Show a progress bar.

    Raises:
        ValueError: if the pipeline cannot do what is asked; with ``strict`` if a sample is wrong.
        FileNotFoundError: with ``strict``, if a file of the data set is missing.
    """
    config, shard = config or EvaluationConfig(), shard or Shard()
    predictor = Predictor(pipeline, dataset, config, mapper)
    protocol = _protocol(pipeline, dataset, config, options, predictor.mapper)
    cache = _Cache(resume, digest(protocol), shard)
    count = len(dataset) if limit is None else min(limit, len(dataset))
    records: list[ImageRecord] = []
    skipped: list[Skipped] = []
    mine = range(shard.rank, count, shard.count)
    quiet = not (progress and shard.first)
    for index in tqdm(mine, disable=quiet, unit="image", desc=dataset.name):
        record = cache.records.get(index)
        if record is None:
            try:
                sample = dataset[index]
            except (ValueError, OSError) as error:
                if strict:
                    raise
                logger.warning("image %d of %s is left out: %s", index, dataset.name, error)
                skipped.append(Skipped(index=index, reason=str(error)))
                continue
            prediction = predictor.predict(sample.image, index)
            record = score(sample, prediction, index, dataset, config)
            cache.add(record)
        records.append(record)
    return Evaluation(
        protocol=protocol,
        records=tuple(sorted(shard.gather(records), key=lambda r: r.index)),
        skipped=tuple(sorted(shard.gather(skipped), key=lambda s: s.index)),
    )


def score(
    sample: Sample, prediction: Prediction, index: int, dataset: Dataset, config: EvaluationConfig
) -> ImageRecord:
    """Score the prediction of one sample."""
    classes = dataset.classes
    predicted = prediction.classes.astype(np.int64) - 1  # void and nothing become -1

    def compare(labels: np.ndarray) -> np.ndarray:
        return metrics.confusion(labels.astype(np.int64) - 1, predicted, len(classes))

    matrix = compare(sample.labels)
    inner = None
    if config.boundary_px:
        inner = cells(
            compare(metrics.without_boundaries(sample.labels, config.boundary_px, void=VOID))
        )
    panoptic = None
    if sample.segments is not None:
        things = [label for label, name in enumerate(classes, start=1) if name in dataset.things]
        found = prediction.instances or regions(prediction.classes, things)
        panoptic = score_segments(sample.segments, found.ids, found.labels)
    auto = config.vocabulary == "auto"
    return ImageRecord(
        index=index,
        id=sample.id,
        confusion=cells(matrix),
        miou=metrics.mean_iou(matrix),
        c_miou=metrics.class_agnostic_iou(sample.labels, prediction.segments, void={VOID}),
        mapping=prediction.mapping if auto else {},
        vocabulary=metrics.vocabulary_score(
            prediction.names if auto else (),
            prediction.mapping,
            _shares(sample.labels, dataset),
            visible=config.visible_share,
            asked=config.asked_share,
        ),
        seconds=prediction.seconds,
        boundary_free=inner,
        panoptic=panoptic,
    )


def _shares(labels: np.ndarray, dataset: Dataset) -> dict[str, float]:
    """Return the share of the image that every class has; nobody has to name the background."""
    values, pixels = np.unique(labels, return_counts=True)
    return {
        dataset.classes[value - 1]: float(count / labels.size)
        for value, count in zip(values, pixels, strict=True)
        if value != VOID and dataset.classes[value - 1] != dataset.background
    }


def _protocol(
    pipeline: Pipeline,
    dataset: Dataset,
    config: EvaluationConfig,
    options: Config | None,
    mapper: Mapper,
) -> dict[str, Any]:
    protocol = describe(config, dataset=dataset, mapping=mapper.rule, options=options)
    device = torch.device(pipeline.segmenter.device)
    protocol["segmenter"] = pipeline.segmenter.name
    protocol["discoverer"] = pipeline.discoverer.name if pipeline.discoverer else None
    protocol["device"] = device.type  # without a number: processes may have a GPU each
    if device.type == "cuda":
        protocol["gpu"] = torch.cuda.get_device_name(device)
    dtype = getattr(options, "dtype", None)
    protocol["dtype"] = (
        None
        if dtype is None
        else str(resolve_dtype(dtype, resolve_device(str(device)))).removeprefix("torch.")
    )
    if "device" in protocol["options"]:
        protocol["options"]["device"] = device.type
    return protocol


class _Cache:
    """Finished images on disk: a file per process, all of them read by all."""

    def __init__(self, folder: Path | None, name: str, shard: Shard) -> None:
        self.records: dict[int, ImageRecord] = {}
        self._own: Path | None = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        part = f".{shard.rank}-{shard.count}" if shard.count > 1 else ""
        self._own = folder / f"{name}{part}.jsonl"
        for path in sorted(folder.glob(f"{name}*.jsonl")):
            lines = whole_lines(path, mend=path == self._own)
            for number, line in enumerate(lines, start=1):
                try:
                    record = ImageRecord.from_json(line.decode())
                except ValueError as error:
                    raise ValueError(
                        f"resume: {path}, line {number} is damaged: {error}; without that line its "
                        "image is measured again"
                    ) from None
                self.records[record.index] = record

    def add(self, record: ImageRecord) -> None:
        if self._own is not None:
            with self._own.open("a") as stream:
                stream.write(record.to_json() + "\n")
