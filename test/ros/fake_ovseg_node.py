"""The ovseg_node program with models that need no weights: stripes for masks, fixed words."""

from __future__ import annotations

import sys
import time

import numpy as np

from ovseg_ros.nodes.discovery_node import DiscoveryNode
from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.nodes.spin import spin
from ovseg_ros.pipeline import Pipeline, PipelineConfig
from ovseg_ros.types import Discovery, Proposal, Segmentation, Vocabulary
from ovseg_ros.vocabulary.living import LivingVocabulary


class Stripes:
    """Gives every category an equal stripe of the image."""

    cadence = "frame"
    dtype = "float32"
    name, device = "stripes", "cpu"

    def segment(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        time.sleep(0.05)
        labels = np.zeros(images.shape[:3], np.uint8)
        stripes = np.array_split(np.arange(images.shape[2]), max(len(vocabulary), 1))
        for category, columns in zip(vocabulary.categories, stripes, strict=False):
            labels[:, :, columns] = category.id
        confidence = np.full_like(labels, 200)
        return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)


class Words:
    """Finds the same words everywhere; one of them is nonsense."""

    name, device = "words", "cpu"

    def discover(self, image: np.ndarray, *, seed: int = 0) -> Discovery:
        time.sleep(1.0)
        names = ("floor", "table", "wall", "zeppelin")
        return Discovery(proposals=tuple(Proposal(name=name, score=0.5) for name in names))


def build(config: PipelineConfig) -> Pipeline:
    return Pipeline(Stripes(), None, LivingVocabulary(config.vocabulary))


if __name__ == "__main__":
    sys.exit(spin(lambda: SegmentationNode(build), lambda: DiscoveryNode(lambda config: Words())))
