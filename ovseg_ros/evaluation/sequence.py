"""A pipeline on a video as a robot runs it: its living vocabulary, frame after frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import tqdm

from ovseg_ros.evaluation.datasets import VOID, Dataset
from ovseg_ros.evaluation.mapping.base import Mapper
from ovseg_ros.evaluation.metrics.temporal import (
    label_churn,
    time_to_stable,
    video_consistency,
    vocabulary_jaccard,
)
from ovseg_ros.evaluation.records import number
from ovseg_ros.pipeline import Pipeline, build_vocabulary
from ovseg_ros.types import Vocabulary
from ovseg_ros.vocabulary.config import VocabularyConfig


def evaluate_sequence(
    pipeline: Pipeline,
    dataset: Dataset,
    mapper: Mapper,
    *,
    discover_every: int,
    fps: float,
    vocabulary: VocabularyConfig | None = None,
    seed: int = 0,
    limit: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Measure how steady masks and words are on the frames of a video.

    Args:
        pipeline: Segmenter and discoverer; the vocabulary of the run is a fresh one.
        dataset: The frames in order.
        mapper: Maps the names in force to classes, for VC.
        discover_every: Words are discovered in every so many-th frame; 0 gives the segmenter the
            data set's words instead.
        fps: Frames per second, for the time to a stable vocabulary.
        vocabulary: How names come and go.
        seed: Frame i is discovered with ``seed + i``.
        limit: The first frames only.
        progress: Show a progress bar.

    Returns:
        Plain data: ``vc8``, ``vc16`` (of classes), ``label_churn`` (of ids, as a consumer of the
        masks sees them), ``vocabulary_jaccard`` and ``vocabulary_stable_after_s`` (None if it never
        settles, or nothing is discovered), ``frames``.

    Raises:
        ValueError: if words are to be discovered by a pipeline without discoverer.
    """
    if discover_every and pipeline.discoverer is None:
        raise ValueError("discover_every: expected 0, this pipeline has no discovery")
    lived = build_vocabulary(vocabulary or VocabularyConfig(), pipeline.segmenter)
    run = Pipeline(pipeline.segmenter, pipeline.discoverer, lived)
    fixed = Vocabulary.of(*dataset.words)
    ids = {name: label for label, name in enumerate(dataset.classes, start=1)}
    rest = ids.get(dataset.background or "", VOID)
    truth: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    classes: list[np.ndarray] = []
    words: list[tuple[str, ...]] = []
    stamps: list[float] = []
    count = len(dataset) if limit is None else min(limit, len(dataset))
    for index in tqdm(range(count), disable=not progress, unit="frame", desc=dataset.name):
        sample = dataset[index]
        if discover_every and index % discover_every == 0:
            run.discover(sample.image, stamp=index / fps, seed=seed + index)
            words.append(run.vocabulary.snapshot().names)
            stamps.append(index / fps)
        used = run.vocabulary.snapshot() if discover_every else fixed
        mask = run.segmenter.segment(sample.image[None], used).labels[0]
        lookup = np.full(65_536, rest, np.uint16)
        for category in used.categories:
            name = category.name
            match = name if name in ids else mapper.match(name).category
            lookup[category.id] = ids.get(match or "", rest)
        truth.append(sample.labels)
        labels.append(mask)
        classes.append(lookup[mask])
    return {
        "vc8": number(video_consistency(truth, classes, window=8, void={VOID})),
        "vc16": number(video_consistency(truth, classes, window=16, void={VOID})),
        "label_churn": number(label_churn(truth, labels, void={VOID})),
        "vocabulary_jaccard": number(vocabulary_jaccard(words)),
        "vocabulary_stable_after_s": number(time_to_stable(words, stamps)) if words else None,
        "frames": count,
        "discover_every": discover_every,
        "fps": fps,
    }
