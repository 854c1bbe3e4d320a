"""One photograph segmented, and what `ovseg segment` writes about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ovseg_ros.commands.results import PICTURES, file_digest
from ovseg_ros.drawing import overlay, with_legend
from ovseg_ros.photographs import read_image, shrink
from ovseg_ros.pipeline import Pipeline
from ovseg_ros.types import Vocabulary
from ovseg_ros.whole_files import write_json, write_whole


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmented:
    """A segmented photograph.

    Attributes:
        path: Where the photograph came from.
        image: RGB, (H, W, 3) uint8.
        labels: Ids as in ``categories``, (H, W) uint8 or uint16; 0 is unlabelled.
        categories: What the mask shows, most pixels first: id, name, score, pixels, share of the
            image, mean confidence.
        captions: Captions the names came from; empty for given names.
    """

    path: Path
    image: np.ndarray
    labels: np.ndarray
    categories: tuple[dict[str, Any], ...]
    captions: tuple[str, ...]

    def write(self, folder: Path, stem: str, settings: str) -> None:
        """Write STEM.overlay.png, STEM.labels.png and, last, STEM.json into a folder.

        Args:
            folder: Where to.
            stem: The files' name.
            settings: What :func:`ovseg_ros.commands.results.settings_digest` says.
        """
        legend = {entry["id"]: entry["name"] for entry in self.categories}
        picture = with_legend(overlay(self.image, self.labels), legend)
        for suffix, pixels in zip(PICTURES, (picture, self.labels), strict=True):
            save = partial(Image.fromarray(pixels).save, format="PNG")
            write_whole(folder / f"{stem}{suffix}", save)
        data = {
            "image": str(self.path),
            "width": self.image.shape[1],
            "height": self.image.shape[0],
            "categories": list(self.categories),
            "captions": list(self.captions),
            "sha256": file_digest(self.path),
            "settings": settings,
        }
        write_json(folder / f"{stem}.json", data)


def segment_photograph(
    pipeline: Pipeline, path: Path, names: Sequence[str], *, seed: int, max_side: int
) -> Segmented:
    """Segment one photograph with given names, or with those discovered in it.

    Args:
        pipeline: The pipeline; its living vocabulary is not used.
        path: The photograph.
        names: Names; none means discover.
        seed: Seed of the discovery.
        max_side: The longer side at which a larger image is segmented.

    Raises:
        ValueError: if the file is no image, or a name is wrong.
    """
    image = read_image(path)
    captions: tuple[str, ...] = ()
    scores = dict.fromkeys(names, 1.0)
    if not names:
        assert pipeline.discoverer is not None
        found = pipeline.discoverer.discover(image, seed=seed)
        captions = found.captions
        scores = {proposal.name: proposal.score for proposal in found.proposals}
    vocabulary = Vocabulary.of(*scores)
    result = pipeline.segmenter.segment(shrink(image, max_side)[None], vocabulary)
    labels, confidence = result.labels[0], result.confidence[0]
    if labels.shape != image.shape[:2]:
        size = image.shape[1::-1]
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        confidence = cv2.resize(confidence, size, interpolation=cv2.INTER_LINEAR)
    categories: list[dict[str, Any]] = []
    counts = np.bincount(labels.ravel(), minlength=len(scores) + 1)
    sums = np.bincount(labels.ravel(), confidence.ravel(), minlength=len(scores) + 1)
    for category, score in zip(vocabulary.categories, scores.values(), strict=True):
        if pixels := int(counts[category.id]):
            entry = {"id": category.id, "name": category.name, "score": round(score, 4)}
            entry |= {"pixels": pixels, "share": round(pixels / labels.size, 6)}
            entry |= {"confidence": round(float(sums[category.id]) / pixels / 255, 4)}
            categories.append(entry)
    categories.sort(key=lambda entry: -entry["pixels"])
    return Segmented(
        path=path, image=image, labels=labels, categories=tuple(categories), captions=captions
    )
