"""What every segmenter promises, and what some can do besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from ovseg_ros.types import Segmentation, Vocabulary

Cadence = Literal["frame", "keyframe"]
"""``frame`` if a segmenter is meant for every frame, ``keyframe`` if for some."""


class Segmenter(Protocol):
    """Labels every pixel with one of the vocabulary's names.

    Attributes:
        name: The system's name.
        device: Where it runs.
        dtype: Numbers in its vision model.
        cadence: For which frames it is meant.
    """

    name: str
    device: str
    dtype: str
    cadence: Cadence

    def segment(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Segment a batch.

        Args:
            images: RGB, (B, H, W, 3) uint8.
            vocabulary: Names in force; an empty one gives all-unlabelled masks.

        Returns:
            Label masks at the size of the images.

        Raises:
            ValueError: if ``images`` is not such a batch.
        """
        ...


@runtime_checkable
class TextEmbedding(Protocol):
    """A segmenter whose names have vectors that can be made, and compared, without an image."""

    def embed(self, names: Sequence[str]) -> np.ndarray:
        """Return class text of K >= 1 names, (K, D) float32, each of unit length."""
        ...


@runtime_checkable
class ImageClassifier(Protocol):
    """A segmenter that compares whole images with names."""

    def classify(self, images: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Return similarities of images (B, H, W, 3) uint8 RGB and K names, (B, K) float32."""
        ...
