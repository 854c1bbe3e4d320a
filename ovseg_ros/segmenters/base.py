"""What every segmenter promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from ovseg_ros.types import Segmentation, Vocabulary


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a segmenter needs and what it costs, so that nodes can plan with it.

    Attributes:
        needs: What the vocabulary should say: ``names`` only, or ``things`` and stuff as well.
        cost: ``light`` (edge device), ``medium`` or ``heavy`` (data-centre GPU).
        cadence: ``frame`` if meant for every frame, ``keyframe`` if for some.
    """

    needs: Literal["names", "things"]
    cost: Literal["light", "medium", "heavy"]
    cadence: Literal["frame", "keyframe"]


class Segmenter(Protocol):
    """Labels every pixel with one of the vocabulary's names."""

    traits: Traits
    name: str
    device: str

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
