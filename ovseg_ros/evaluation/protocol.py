"""What was measured and how: everything a number needs so that somebody else gets it too."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ovseg_ros.config import Config, flatten, option, weights_of
from ovseg_ros.evaluation.datasets.base import Dataset
from ovseg_ros.evaluation.mapping.base import MapperConfig
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.segmenters.systems import spellers


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Config):
    """How an evaluation goes."""

    vocabulary: str = option(
        "gt",
        "gt: the data set's class names; auto: each image's discovered names, mapped afterwards",
        choices=("gt", "auto"),
    )
    segmentation: str = option(
        "segmenter",
        "segmenter, or clusters: discovery's own clusters with their names (embeddings only)",
        choices=("segmenter", "clusters"),
    )
    averaging: str = option(
        "detectron2",
        "classes that mIoU averages: in the ground truth (detectron2), or non-zero union (mmseg)",
        choices=("detectron2", "mmseg"),
    )
    visible_share: float = option(
        0.001, "a name is right if its class covers this share of the image", low=0.0, high=1.0
    )
    asked_share: float = option(
        0.005, "a class must be found if it covers this share of the image", low=0.0, high=1.0
    )
    boundary_px: int = option(
        0,
        "also score without so many pixels on either side of the true borders; 0 does not",
        low=0,
        high=100,
    )
    background_word: bool = option(
        True, "with gt: give the segmenter the word background where that is a class"
    )
    spelling: str = option(
        "dataset",
        "with gt: how classes are written: as the data set does, or as the authors of a system",
        choices=("dataset", *spellers()),
    )
    seed: int = option(0, "image i is discovered with seed + i", low=0)
    mapper: MapperConfig = MapperConfig()

    def __post_init__(self) -> None:
        """Validate the options against each other."""
        super().__post_init__()
        if self.segmentation == "clusters" and self.vocabulary != "auto":
            raise ValueError("segmentation: clusters have discovered names, so vocabulary is auto")


def describe(
    config: EvaluationConfig, *, dataset: Dataset, mapping: str, options: Config | None
) -> dict[str, Any]:
    """Return the protocol of an evaluation, as it stands in its report.

    Args:
        config: How the evaluation goes.
        dataset: The data set.
        mapping: Rule of the mapper in one line.
        options: The options of the pipeline, or None where it was not made from options.
    """
    flat = flatten(options) if options is not None else {}
    return {
        "dataset": dataset.name,
        "classes": list(dataset.classes),
        "background": dataset.background,
        "things": sorted(dataset.things),
        **{key: value for key, value in flatten(config).items() if not key.startswith("mapper.")},
        "scored_at": "original size",
        "ground_truth_void": "excluded; unlabelled or unmapped predictions are wrong",
        "mapping": mapping if config.vocabulary == "auto" else "names are the classes",
        "mapper": {
            key.removeprefix("mapper."): value
            for key, value in flatten(config).items()
            if key.startswith(("mapper.name", f"mapper.{config.mapper.name}."))
            and config.vocabulary == "auto"
        },
        "vocabulary_rule": (
            "precision: discovered names whose class covers at least visible_share of the image; "
            "recall: classes covering at least asked_share that a discovered name maps to; "
            "counted over all images, *_per_image averaged over images"
        ),
        "c_miou_rule": (
            "per image and true label the best IoU over predicted segments of any name, "
            "averaged over labels, then images; unlabelled pixels are no segment"
        ),
        "pq_rule": (
            "match at IoU > 0.5; predicted things are the segmenter's own segments, where it tells "
            "none apart the connected components of the mask; stuff is one segment per class; void "
            "and crowds as in COCO's evaluation"
        ),
        "options": flat,
        "weights": used_weights(options) if options else {},
        "versions": versions(),
    }


def used_weights(options: Config) -> dict[str, str]:
    """Return the fingerprints of the weights that options use."""
    return {option: fingerprint(name) for option, name in weights_of(options)}


def digest(protocol: Mapping[str, Any]) -> str:
    """Return a short name for a protocol: equal protocols, and only they, have equal names."""
    text = json.dumps(protocol, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def fingerprint(weights: str) -> str:
    """Return what tells weights apart: their name, and for local files a hash of their contents.

    Weights that are missing keep their name alone; loading them says what is wrong.
    """
    try:
        path = Path(resolve_weights(weights))
    except (ValueError, FileNotFoundError):
        return weights
    if not path.exists():
        return weights  # a public name
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return f"{weights} sha256:{total.hexdigest()[:16]}"


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of what computes the numbers; of more packages if they are named."""
    found = {"python": platform.python_version()}
    for package in ("ovseg_ros", "torch", "transformers", "numpy", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
