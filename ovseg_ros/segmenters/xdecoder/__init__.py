"""X-Decoder, which AutoSeg drives: queries decode masks, names meet them (arXiv 2212.11270)."""

from ovseg_ros.segmenters.systems import Install, Part, System

SYSTEM = System(
    config="config:XDecoderConfig",
    segmenter="segmenter:XDecoderSegmenter",
    recipes={"xdecoder": Part("a small X-Decoder, with the simulator's masks", "recipe:train")},
    installs={"xdecoder": Install("xdecoder", "robot_cell/autoseg", "segmenter.xdecoder.weights")},
    templates={"xdecoder": "text_tower:prompt_templates"},
)
