"""Options of FISA; nothing here needs a model's library."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.prompts import template_names

TUNABLE = ("clip", "text", "generator")
"""Pretrained parts that an ablation may train as well."""


@dataclass(frozen=True, kw_only=True)
class Adaptation(Config):
    """What is added to CLIP, and what of the rest is trained: the paper's Table 3.

    The published FISA is the default; the baseline is ``seve=false query=none adapter=0``.
    """

    seve: bool = option(True, "mask tokens read the vocabulary's text before they read the image")
    seve_width: int = option(256, "width of the text attention (Eq. 3)", low=1)
    seve_shared: bool = option(True, "one text attention for all layers, or one for each")
    seve_residual: bool = option(False, "add the mask token to what it read (published: no)")
    query: str = option(
        "copy",
        "query projections of SIMO: a trained copy for mask tokens, the same trained for image "
        "tokens too, or CLIP's own, frozen",
        choices=("copy", "shared", "none"),
    )
    adapter: int = option(2, "convolutions of the distribution adapter", low=0, high=3)
    lora: int = option(0, "rank of LoRA on CLIP's attention projections; 0: none", low=0)
    tuned: tuple[str, ...] = option(
        (), f"pretrained parts that are trained as well: {', '.join(TUNABLE)}", choices=TUNABLE
    )


@dataclass(frozen=True, kw_only=True)
class FisaConfig(Config):
    """Options of the FISA segmenter."""

    weights: str = option(
        "robot_cell/fisa",
        "directory of the adaptation that `ovseg train fisa` writes, robot_cell/NAME or "
        "trained/NAME; empty: none, CLIP as it is (the paper's baseline)",
        kind="weights",
    )
    generator: str = option(
        "robot_cell/fisa_masks",
        "mask generator: a Mask2Former or EoMT of transformers, or robot_cell/NAME",
        kind="weights",
    )
    clip: str = option(
        "robot_cell/fisa_clip", "mask classifier: a CLIP of open_clip, or robot_cell/NAME",
        kind="weights",
    )  # fmt: skip
    templates: str = option(
        "none", "prompt templates of the class text (published: bare names)",
        choices=template_names(),
    )  # fmt: skip
    short_side: int = option(
        360, "short side the image is resized to for the generator (published: 800)",
        low=32, high=4096,
    )  # fmt: skip
    long_side: int = option(1333, "long side at most (published: 1333)", low=32, high=8192)
    clip_side: int = option(
        0, "side of the square CLIP sees (published: 896); 0: what the generator sees",
        low=0, high=4096,
    )  # fmt: skip
    other: bool = option(
        False, "what the word 'other' wins stays unlabelled (published: only while training)"
    )
    objectness: bool = option(
        False,
        "names count by the generator's belief that a proposal shows anything at all (published: "
        "no)",
    )
    labels: str = option(
        "semantic",
        "label mask: the sum over all proposals, or the panoptic segments alone",
        choices=("semantic", "panoptic"),
    )
    upsample: str = option(
        "masks",
        "what is brought to image size: every proposal's mask (published), or the winners' scores",
        choices=("masks", "winners"),
    )
    segments: bool = option(True, "tell single objects apart")
    score: float = option(0.3, "least probability of a segment's name", low=0.0, high=1.0)
    overlap: float = option(
        0.5, "least share of its mask that a segment must keep", low=0.0, high=1.0
    )
    mask: float = option(0.5, "least probability of a pixel of a mask", low=0.0, high=1.0)
