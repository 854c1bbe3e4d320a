"""What the published evaluation of SimZSS does differently from a robot (arXiv 2406.16085)."""

from __future__ import annotations

from ovseg_ros.segmenters.systems import Rules

_PUBLIC = (
    *("voc20", "voc21", "voc20b", "pc59", "pc60", "pc459", "ade150", "ade847", "cityscapes"),
    *("coco_stuff", "coco_object"),
)


def for_dataset(dataset: str) -> Rules | None:
    """Return the published protocol for the public data sets, by name (``voc20/val``)."""
    if dataset.partition("/")[0] not in _PUBLIC:
        return None
    return Rules(
        options={"segmenter.simzss.dense": "pixels"},
        protocol={},
        about="sizes and windows pixel by pixel, as published (dense=patches is the robot's way)",
    )
