"""One image through the parts of a pipeline, as an evaluation needs it: nothing is remembered."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ovseg_ros.evaluation.datasets import Dataset
from ovseg_ros.evaluation.mapping.base import Mapper, build_mapper
from ovseg_ros.evaluation.metrics.panoptic import Regions
from ovseg_ros.evaluation.protocol import EvaluationConfig
from ovseg_ros.segmenters.systems import spell
from ovseg_ros.types import UNLABELLED, Discovery, Segmentation, Vocabulary

if TYPE_CHECKING:
    from ovseg_ros.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a pipeline says about one image.

    Attributes:
        segments: Labels as segmented, (H, W) integer: 1..K as in ``names``, then nameless
            segments; 0 is unlabelled.
        classes: The same mapped to the data set's classes, (H, W) uint16; 0 where there is none.
        names: Names of the segments.
        instances: Instances cut out by the segmenter, classes by number of instance; None of
            segmenters that tell none apart.
        mapping: For every name its class, or None.
        seconds: Time of ``discover`` and ``segment``.
    """

    segments: np.ndarray
    classes: np.ndarray
    names: tuple[str, ...]
    mapping: dict[str, str | None] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    instances: Regions | None = None


class Predictor:
    """Predicts images of a data set under a protocol."""

    def __init__(
        self,
        pipeline: Pipeline,
        dataset: Dataset,
        config: EvaluationConfig,
        mapper: Mapper | None = None,
    ) -> None:
        """Check that the pipeline can do what the protocol asks.

        Args:
            pipeline: The pipeline.
            dataset: The data set.
            config: The protocol.
            mapper: Maps discovered names; made from the protocol by default.

        Raises:
            ValueError: if names are to be discovered by a pipeline without discoverer.
        """
        if config.vocabulary == "auto" and pipeline.discoverer is None:
            raise ValueError("vocabulary: expected gt, this pipeline has no discovery for auto")
        self._pipeline, self._config = pipeline, config
        words = [w for w in dataset.words if config.background_word or w != dataset.background]
        self._meant = {_spelled(config.spelling, dataset.name, word): word for word in words}
        stuff = [word for word, meant in self._meant.items() if meant not in dataset.things]
        self._words = Vocabulary.of(*self._meant, stuff=stuff)
        self._ids = {name: label for label, name in enumerate(dataset.classes, start=1)}
        self._things = frozenset(self._ids[name] for name in dataset.things if name in self._ids)
        self._rest = self._ids.get(dataset.background or "", UNLABELLED)
        self.mapper = mapper or build_mapper(
            config.mapper,
            dataset.classes,
            dataset.synonyms,
            dataset=dataset.name,
            device=pipeline.segmenter.device,
        )

    def predict(self, image: np.ndarray, index: int) -> Prediction:
        """Predict one image, RGB (H, W, 3) uint8; ``index`` chooses the seed."""
        start = time.perf_counter()
        if self._config.vocabulary == "gt":
            found = self._segment(image, self._words)
            return self._mapped(
                found.labels[0],
                self._words.names,
                {word: c if c in self._ids else None for word, c in self._meant.items()},
                {"segment": time.perf_counter() - start},
                found,
            )
        assert self._pipeline.discoverer is not None
        discovery = self._pipeline.discoverer.discover(image, seed=self._config.seed + index)
        seconds = {"discover": time.perf_counter() - start}
        if self._config.segmentation == "clusters":
            names, segments = clusters_as_segments(discovery, image.shape[:2])
            masks = None
        else:
            names = discovery.names
            start = time.perf_counter()
            masks = self._segment(image, Vocabulary.of(*names))
            segments = masks.labels[0]
            seconds["segment"] = time.perf_counter() - start
        mapping = {name: self.mapper.match(name).category for name in names}
        return self._mapped(segments, names, mapping, seconds, masks)

    def _mapped(
        self,
        segments: np.ndarray,
        names: tuple[str, ...],
        mapping: dict[str, str | None],
        seconds: dict[str, float],
        found: Segmentation | None,
    ) -> Prediction:
        """Bring segments to the data set's classes; what has no class is background, if it is."""
        lookup = np.full(max(int(segments.max()), len(names)) + 1, self._rest, np.uint16)
        for label, name in enumerate(names, start=1):
            lookup[label] = self._ids.get(mapping[name] or "", self._rest)
        return Prediction(
            segments=segments,
            classes=lookup[segments],
            names=names,
            mapping=mapping,
            seconds=seconds,
            instances=None if found is None else _instances(found, lookup, self._things),
        )

    def _segment(self, image: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        return self._pipeline.segmenter.segment(image[None], vocabulary)


def _spelled(spelling: str, dataset: str, word: str) -> str:
    return word if spelling == "dataset" else spell(spelling, dataset, word)


def _instances(found: Segmentation, lookup: np.ndarray, things: frozenset[int]) -> Regions | None:
    """Return an image's segments with the data set's classes; those without a class are left out.

    Stuff of one class is one region, whatever names and segments it was found under.
    """
    if found.segment_ids is None:
        return None
    target = np.zeros(int(found.segment_ids.max()) + 1, np.int32)
    labels: dict[int, int] = {}
    merged: dict[int, int] = {}
    for segment in found.segments[0]:
        label = int(lookup[segment.category_id])
        if label == UNLABELLED:
            continue
        number = segment.id
        if label not in things:
            number = merged.setdefault(label, segment.id)
        target[segment.id] = number
        labels[number] = label
    return Regions(ids=target[found.segment_ids[0]], labels=labels)


def clusters_as_segments(
    found: Discovery, size_hw: tuple[int, int]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return discovery's clusters as a segmentation: names, and labels (H, W) int64.

    Clusters of the same name become one segment (label 1.. in the order of the names); clusters
    without a name stay segments of their own behind them.

    Raises:
        ValueError: if the discoverer does not cluster.
    """
    if found.clusters is None:
        raise ValueError("segmentation: this discovery makes no clusters; choose bboost")
    names = tuple(dict.fromkeys(name for name in found.cluster_names if name))
    ids = {name: label for label, name in enumerate(names, start=1)}
    lookup = np.array(
        [
            ids.get(name, len(names) + 1 + cluster)
            for cluster, name in enumerate(found.cluster_names)
        ],
        dtype=np.int64,
    )
    small = lookup[found.clusters].astype(np.int32)
    large = cv2.resize(small, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_NEAREST_EXACT)
    return names, large.astype(np.int64)
