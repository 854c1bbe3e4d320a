"""Options of X-Decoder; nothing here needs a model's library."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.prompts import template_names


@dataclass(frozen=True, kw_only=True)
class XDecoderConfig(Config):
    """Options of the X-Decoder segmenter."""

    weights: str = option(
        "robot_cell/xdecoder",
        "an authors' checkpoint (path, or OWNER/REPOSITORY/FILE.pt), a directory of the recipe's "
        "weights, or robot_cell/NAME",
        kind="weights",
    )
    templates: str = option(
        "xdecoder",
        "prompt templates of the class text",
        choices=template_names(),
    )
    short_side: int = option(
        500,
        "short side the image is resized to; 0 for its own (published: AutoSeg 500, COCO and VOC "
        "800, ADE 640, Cityscapes 1024)",
        low=0,
        high=4096,
    )
    long_side: int = option(
        1500,
        "long side at most (published: AutoSeg 1500, COCO and VOC 1333, ADE 2560, Cityscapes 2048)",
        low=32,
        high=8192,
    )
    background: bool = option(
        False, "pixels that the background text wins stay unlabelled (published: no)"
    )
    as_released: bool = option(
        False,
        "as AutoSeg's code drives the model: background is no text, and the last name of the "
        "vocabulary takes its place and labels nothing (docs/as_released.md)",
    )
    upsample: str = option(
        "masks",
        "what is brought to image size: every query's mask (published), or the winners' scores",
        choices=("masks", "winners"),
    )

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        if self.as_released and self.background:
            raise ValueError("background: expected false, as_released has no background")
