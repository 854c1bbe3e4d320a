"""What the published evaluation of SimZSS does differently from a robot (arXiv 2406.16085)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovseg_ros.models.files import read_object
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.segmenters.simzss.config import SimZSSConfig
from ovseg_ros.segmenters.systems import Rules

_PUBLIC = (
    *("voc20", "voc21", "voc20b", "pc59", "pc60", "pc459", "ade150", "ade847", "cityscapes"),
    *("coco_stuff", "coco_object"),
)


def for_dataset(dataset: str, config: SimZSSConfig | None = None) -> Rules | None:
    """Return the published protocol for the public data sets, by name (``voc20/val``).

    Not for weights on a tower of photographs: they compare words in their own way, patch by patch,
    and are measured as robots use them.
    """
    if dataset.partition("/")[0] not in _PUBLIC:
        return None
    if config is not None and "tower" in architecture(config.weights).get("visual", {}):
        return None
    return Rules(
        options={"segmenter.simzss.dense": "pixels"},
        protocol={},
        about="sizes and windows pixel by pixel, as published (dense=patches is the robot's way)",
    )


def architecture(weights: str) -> dict[str, Any]:
    """Return what the file beside weights says about the model; FileNotFoundError if none."""
    return read_object(Path(resolve_weights(weights)) / "config.json")
