"""LMSeg: enriched prompts, CLIP and SAM fused, refined cost maps (arXiv 2412.00364)."""

from ovseg_ros.segmenters.systems import System

SYSTEM = System(
    config="config:LmsegConfig",
    segmenter="segmenter:LmsegSegmenter",
    recipes={
        "lmseg": ("LMSeg's fusion, aggregation and decoder on frozen towers", "recipe:train"),
        "sam": ("a small segment-anything, from instance masks", "sam_recipe:train"),
    },
    table=("what prompts, features and aggregation bring", "table:table"),
    benches={
        "lmseg": (
            "full-size towers by stage, and growth with names",
            "bench:bench",
            "",
        )
    },
)
