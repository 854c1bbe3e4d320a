"""LMSeg: enriched prompts, CLIP and SAM fused, refined cost maps (arXiv 2412.00364)."""

from ovseg_ros.segmenters.systems import Install, Part, System

SYSTEM = System(
    config="config:LmsegConfig",
    segmenter="segmenter:LmsegSegmenter",
    recipes={
        "lmseg": Part("LMSeg's fusion, aggregation and decoder on frozen towers", "recipe:train"),
        "lmseg_coco": Part("the same at the published size, on COCO-Stuff", "recipe:train_coco"),
        "sam": Part("a small segment-anything, from instance masks", "sam_recipe:train"),
    },
    installs={
        "lmseg": Install("lmseg", "robot_cell/lmseg", "segmenter.lmseg.weights"),
        "sam": Install("sam", "robot_cell/lmseg", "segmenter.lmseg.sam"),
    },
    tables={"lmseg": Part("what prompts, features and aggregation bring", "table:table")},
    benches={"lmseg": Part("full-size towers by stage, and growth with names", "bench:bench")},
)
