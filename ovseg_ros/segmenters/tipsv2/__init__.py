"""TIPSv2: one ViT pass whose patches meet cached text (code: github.com/google-deepmind/tips)."""

from ovseg_ros.segmenters.systems import Part, System

SYSTEM = System(
    config="config:Tipsv2Config",
    segmenter="segmenter:Tipsv2Segmenter",
    benches={
        "tipsv2": Part(
            "the whole image against published windows, and what the text tower takes",
            "bench:bench",
            "tipsv2",
        )
    },
    templates={"tipsv2": "prompts:TEMPLATES"},
)
