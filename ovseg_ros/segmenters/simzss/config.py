"""Options of SimZSS; nothing here needs a model's library."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.prompts import template_names


@dataclass(frozen=True, kw_only=True)
class SimZSSConfig(Config):
    """Options of the SimZSS segmenter."""

    weights: str = option(
        "robot_cell/simzss", "directory of the weights, or robot_cell/NAME", kind="weights"
    )
    templates: str = option("cell", "prompt templates of the class text", choices=template_names())
    class_text: str = option(
        "sentence",
        "what stands for a name: the prompt's sentence feature (published), or the mean of the "
        "name's own tokens, which the concept loss trains",
        choices=("sentence", "concept"),
    )
    short_side: int = option(
        0, "short side the image is resized to; 0 for the size of training", low=0, high=4096
    )
    long_side: int = option(
        0,
        "longest side after that, keeping the aspect; 0: slivers are squeezed to four short sides",
        low=0,
        high=16384,
    )
    dense: str = option(
        "patches",
        "how similarities become masks: patches (the robot's: whole patches, antialiased, overlaps "
        "averaged patch by patch) or pixels (published, as mmseg does; slow)",
        choices=("patches", "pixels"),
    )
    window: int = option(0, "side of the sliding window; 0 for the whole image", low=0, high=4096)
    stride: int = option(224, "stride of the sliding window", low=1, high=4096)
    background: float = option(
        0.0, "constant similarity of an unlabelled channel (published: 0.5); 0 for none", low=0.0
    )
    taught_background: float = option(
        0.0,
        "the same for names that the text tower writes, where a dictionary knows others and the "
        "tower is less sure of those (dense: patches); 0: as background",
        low=0.0,
    )
    logit_adjustment: float = option(
        1.0,
        "how much of what rarity in the tower's training added to a name is taken off again "
        "(arXiv 2007.07314; where text and a tower of `ovseg train tower` were taught the same "
        "names; dense: patches); 0 for nothing",
        low=0.0,
        high=10.0,
    )
    temperature: float = option(
        0.05, "temperature of the confidence (cosine similarity units)", low=1e-4, high=10.0
    )
