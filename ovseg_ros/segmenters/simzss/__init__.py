"""SimZSS: a frozen vision tower whose patches meet text (Stegmüller et al., arXiv 2406.16085)."""

from ovseg_ros.segmenters.systems import Install, Part, System

SYSTEM = System(
    config="config:SimZSSConfig",
    segmenter="segmenter:SimZSSSegmenter",
    recipes={
        "simzss": Part("a small SimZSS on such a tower", "recipe:train"),
        "simzss_pairs": Part(
            "SimZSS, LiT or CLIP on image-caption pairs of your own", "pairs_recipe:train"
        ),
    },
    installs={"simzss": Install("simzss", "robot_cell", "segmenter.simzss.weights")},
    protocol="protocol:for_dataset",
    tables={"simzss": Part("CLIP, LiT and SimZSS, trained alike on the robot cell", "table:table")},
    benches={"simzss-train": Part("a training step of CLIP, LiT and SimZSS", "bench:bench")},
    converters={"simzss": Part("the authors' file for ViT-S, -B or -L", "convert:convert_file")},
)
