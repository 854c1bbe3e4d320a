"""Models that need no weights: colours are words. Injected by tests, unknown to the product."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from ovseg_ros.pipeline import Pipeline, PipelineConfig
from ovseg_ros.types import Discovery, Proposal, Segmentation, Vocabulary
from ovseg_ros.vocabulary.living import LivingVocabulary

COLOURS = {"red block": (255, 0, 0), "green block": (0, 255, 0), "blue block": (0, 0, 255)}


def picture(*names: str, size_hw: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Return an RGB image with one vertical stripe for each name, (H, W, 3) uint8."""
    stripes = np.array_split(np.arange(size_hw[1]), len(names))
    image = np.zeros((*size_hw, 3), np.uint8)
    for name, columns in zip(names, stripes, strict=True):
        image[:, columns] = COLOURS[name]
    return image


class ColourSegmenter:
    """Gives every pixel the word of its colour; a slow one if ``delay_s`` is given."""

    cadence = "frame"
    dtype = "float32"
    name = "colours"
    device = "cpu"

    def __init__(self, delay_s: float = 0.0) -> None:
        """Remember the sizes of the batches in ``batches``."""
        self.delay_s, self.batches = delay_s, []

    def segment(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Segment a batch (B, H, W, 3) uint8 RGB."""
        time.sleep(self.delay_s)
        self.batches.append(len(images))
        labels = np.zeros(
            images.shape[:3], np.uint8 if max(vocabulary.ids, default=0) < 255 else np.uint16
        )
        for category in vocabulary.categories:
            if category.name in COLOURS:
                labels[(images == COLOURS[category.name]).all(-1)] = category.id
        confidence = np.where(labels > 0, 200, 0).astype(np.uint8)
        return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)


class KeyFrameSegmenter(ColourSegmenter):
    """The same, meant for key frames."""

    cadence = "keyframe"
    dtype = "float32"


class ForgetfulSegmenter(ColourSegmenter):
    """Compares every image with the first two words only, and says so."""

    def segment(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Segment a batch (B, H, W, 3) uint8 RGB."""
        found = super().segment(images, vocabulary)
        missing = tuple(int(value) for value in vocabulary.ids[2:])
        labels = np.where(np.isin(found.labels, missing), 0, found.labels).astype(np.uint8)
        return replace(found, labels=labels, left_out_of=(missing,) * len(images))


class ColourDiscoverer:
    """Finds the words of the colours in an image."""

    name = "colours"
    device = "cpu"

    def discover(self, image: np.ndarray, *, seed: int = 0) -> Discovery:
        """Discover one image (H, W, 3) uint8 RGB."""
        shares = {name: float((image == rgb).all(-1).mean()) for name, rgb in COLOURS.items()}
        ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
        return Discovery(
            proposals=tuple(Proposal(name=name, score=s) for name, s in ordered if s > 0)
        )


def build_fake_pipeline(config: PipelineConfig) -> Pipeline:
    """Build a pipeline that needs no weights."""
    return Pipeline(ColourSegmenter(), None, LivingVocabulary(config.vocabulary))


def build_fake_discoverer(config: PipelineConfig) -> ColourDiscoverer:
    """Build a discoverer that needs no weights."""
    return ColourDiscoverer()


if __name__ == "__main__":  # the program of both nodes, as ovseg_node is
    from ovseg_ros.nodes.discovery_node import DiscoveryNode
    from ovseg_ros.nodes.segmentation_node import SegmentationNode
    from ovseg_ros.nodes.spin import spin

    raise SystemExit(
        spin(
            lambda: SegmentationNode(build_fake_pipeline),
            lambda: DiscoveryNode(build_fake_discoverer),
        )
    )
