"""The whole flow: image -> discover (sometimes) -> vocabulary -> segment -> result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ovseg_ros.config import Config, option
from ovseg_ros.discovery.base import Discoverer
from ovseg_ros.discovery.build import build_discoverer
from ovseg_ros.discovery.config import DiscoveryConfig
from ovseg_ros.segmenters.base import Segmenter, TextEmbedding
from ovseg_ros.segmenters.build import SegmenterConfig, build_segmenter
from ovseg_ros.types import (
    Discovery,
    Segmentation,
    Vocabulary,
    box_xywh,
    check_images,
    label_dtype,
)
from ovseg_ros.vocabulary.config import VocabularyConfig, distinct
from ovseg_ros.vocabulary.living import LivingVocabulary


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(Config):
    """Everything a preset says about models and words (what nodes add is in ``nodes/``)."""

    device: str = option("auto", "auto (CUDA, else CPU), cpu, cuda or cuda:N")
    dtype: str = option(
        "auto", "numbers in the models", choices=("auto", "float32", "bfloat16", "float16")
    )
    segmenter: SegmenterConfig = SegmenterConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    vocabulary: VocabularyConfig = VocabularyConfig()


@dataclass(frozen=True, kw_only=True)
class QueryAnswer:
    """What a query found for one of its names.

    Attributes:
        name: The normalised name that was asked for.
        label: Its value in the label mask.
        present: Whether any pixel won it.
        score: Mean confidence over its pixels in [0, 1]; 0 where absent.
        pixels: How many pixels won it.
        box_xywh: Bounding box in pixels (x, y, width, height); zeros where absent.
    """

    name: str
    label: int
    present: bool
    score: float
    pixels: int
    box_xywh: tuple[int, int, int, int]


class Pipeline:
    """Discovers words now and then, and segments every frame with the words in force."""

    def __init__(
        self, segmenter: Segmenter, discoverer: Discoverer | None, vocabulary: LivingVocabulary
    ) -> None:
        """Combine the parts; without a discoverer the vocabulary is the operator's alone."""
        self.segmenter = segmenter
        self.discoverer = discoverer
        self.vocabulary = vocabulary

    def discover(self, image: np.ndarray, *, stamp: float = 0.0, seed: int = 0) -> Discovery:
        """Find the words of one image (H, W, 3) uint8 RGB and let the vocabulary learn them.

        Args:
            image: RGB, (H, W, 3) uint8.
            stamp: Time of the image in seconds.
            seed: Seed of the discovery.
        """
        if self.discoverer is None:
            raise ValueError("discovery.name: expected a discoverer, this pipeline has none")
        check_images(np.asarray(image)[None])
        found = self.discoverer.discover(image, seed=seed)
        self.vocabulary.observe(found.proposals, stamp=stamp)
        return found

    def prepare(self, names: Sequence[str]) -> None:
        """Encode the text of names that may come into force, so that no frame waits for it.

        Safe to call while another thread segments.
        """
        if names and isinstance(self.segmenter, TextEmbedding):
            self.segmenter.embed(names)

    def segment(self, images: np.ndarray) -> Segmentation:
        """Segment a batch (B, H, W, 3) uint8 RGB with the vocabulary in force."""
        return self.segmenter.segment(check_images(images), self.vocabulary.snapshot())

    def query(
        self, image: np.ndarray, names: Sequence[str]
    ) -> tuple[Segmentation, tuple[QueryAnswer, ...]]:
        """Segment one image (H, W, 3) with a query's own names beside the words in force.

        The words in force compete for the pixels, so that "is there a mug" has the answer "no"
        where every pixel is better called something else. The vocabulary itself stays untouched.
        Labels 1..K of the returned mask are the names of the query in their order; everything
        else is 0.

        Args:
            image: RGB, (H, W, 3) uint8.
            names: What to look for.

        Raises:
            ValueError: if there is no name, a bad one or a repeat, or ``image`` is no such image.
        """
        asked = distinct(names)
        if not asked:
            raise ValueError("names: expected at least one name, got none")
        wider = _wider(asked)
        rivals = [
            category.name
            for category in self.vocabulary.snapshot().categories
            if wider.isdisjoint((category.name, *category.synonyms))
        ]
        images = check_images(np.asarray(image)[None])
        result = self.segmenter.segment(images, Vocabulary.of(*asked, *rivals))
        words = Vocabulary.of(*asked)
        labels = np.where(result.labels <= len(asked), result.labels, 0)
        labels = labels.astype(label_dtype(words.ids))
        found = Segmentation(
            labels=labels,
            confidence=np.where(labels > 0, result.confidence, 0).astype(np.uint8),
            vocabulary=words,
            left_out_of=tuple(
                tuple(label for label in own if label <= len(asked)) for own in result.left_out_of
            ),
        )
        return found, _answers(asked, labels[0], found.confidence[0])


def _wider(asked: Sequence[str]) -> set[str]:
    """Return the words that mean what is asked, or more: a red mug is a mug as well."""
    found = set(asked)
    for name in asked:
        words = name.split(" ")
        found.update(" ".join(words[first:]) for first in range(1, len(words)))
    return found


def _answers(
    asked: Sequence[str], labels: np.ndarray, confidence: np.ndarray
) -> tuple[QueryAnswer, ...]:
    """Return the answer for every name; the cost is that of the mask and of the names, not both.

    Args:
        asked: Names of the labels 1, 2, ...
        labels: (H, W) uint8 or uint16, 0 for none of them.
        confidence: (H, W) uint8.
    """
    from scipy.ndimage import find_objects  # takes a fifth of a second of a start

    size, flat = len(asked) + 1, labels.ravel()
    pixels = np.bincount(flat, minlength=size)
    sums = np.bincount(flat, confidence.ravel(), minlength=size)
    boxes = find_objects(labels, max_label=len(asked))
    answers = []
    for label, (name, box) in enumerate(zip(asked, boxes, strict=True), start=1):
        count, xywh, score = int(pixels[label]), (0, 0, 0, 0), 0.0
        if box is not None:
            xywh = box_xywh(box)
            score = float(sums[label]) / count / 255
        answers.append(
            QueryAnswer(
                name=name,
                label=label,
                present=count > 0,
                score=score,
                pixels=count,
                box_xywh=xywh,
            )
        )
    return tuple(answers)


def build_vocabulary(config: VocabularyConfig, segmenter: Segmenter) -> LivingVocabulary:
    """Return a vocabulary that compares names by the segmenter's text embeddings, if it has any.

    Raises:
        ValueError: if the configuration needs them and there are none.
    """
    embed = segmenter.embed if isinstance(segmenter, TextEmbedding) else None
    try:
        return LivingVocabulary(config, embed=embed)
    except ValueError as error:
        raise ValueError(f"vocabulary.{error}") from None


def build_pipeline(config: PipelineConfig) -> Pipeline:
    """Load the models a configuration names and combine them.

    Raises:
        ValueError: if an option is wrong.
        FileNotFoundError: if weights are missing; never random weights instead.
    """
    segmenter = build_segmenter(config.segmenter, device=config.device, dtype=config.dtype)
    return Pipeline(
        segmenter,
        build_discoverer(config.discovery, device=config.device, dtype=config.dtype),
        build_vocabulary(config.vocabulary, segmenter),
    )
