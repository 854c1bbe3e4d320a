"""SimZSS: a frozen vision tower whose patches meet text (Stegmüller et al., arXiv 2406.16085)."""

from ovseg_ros.segmenters.systems import Install, System

SYSTEM = System(
    config="config:SimZSSConfig",
    segmenter="segmenter:SimZSSSegmenter",
    recipes={
        "simzss": ("a small SimZSS on such a tower", "recipe:train"),
        "simzss_pairs": (
            "SimZSS, LiT or CLIP on image-caption pairs of your own",
            "pairs_recipe:train",
        ),
    },
    installs={"simzss": Install("simzss", "robot_cell", "segmenter.simzss.weights")},
    protocol="protocol:for_dataset",
    table=("CLIP, LiT and SimZSS, trained alike on the robot cell", "table:table"),
    benches={"simzss-train": ("a training step of CLIP, LiT and SimZSS", "bench:bench", "")},
    convert=("the authors' file for ViT-S, -B or -L", "convert:convert_file"),
)
