"""Options of TIPSv2; nothing here needs a model's library."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.prompts import template_names


@dataclass(frozen=True, kw_only=True)
class Tipsv2Config(Config):
    """Options of the TIPSv2 segmenter."""

    weights: str = option(
        "google/tipsv2-l14", "folder or public name of a TIPSv2 for transformers", kind="weights"
    )
    templates: str = option(
        "tipsv2", "prompt templates of the class text", choices=template_names()
    )
    short_side: int = option(
        448, "short side in pixels that the image is resized to (published: 448)", low=1, high=4096
    )
    long_side: int = option(
        0,
        "longest side after that, keeping the aspect; 0: slivers are squeezed to four short sides",
        low=0,
        high=16384,
    )
    window: int = option(
        0,
        "side of the sliding window (published: 448); 0: the whole image at once",
        low=0,
        high=4096,
    )
    stride: int = option(336, "stride of the sliding window (published: 336)", low=1, high=4096)
    background: float = option(
        0.0, "constant similarity of an unlabelled channel; 0 for none", low=0.0, high=1.0
    )
    temperature: float = option(
        0.0,
        "temperature of the confidence (cosine similarity units); 0: the model's own, 0.005",
        low=0.0,
        high=10.0,
    )
    keep_text: bool = option(
        False,
        "leave the text tower on the device between new words: they come quicker, and it keeps "
        "its memory",
    )
