"""PnP-OVSS: masks out of a vision-language model's cross-attention (arXiv 2311.17095)."""

from ovseg_ros.segmenters.systems import Install, Part, System

CLIP = "openai/clip-vit-large-patch14-336"
"""Who rewards a search where the preset brings nobody: the paper's CLIP."""

SYSTEM = System(
    config="config:PnpOvssConfig",
    segmenter="segmenter:PnpOvssSegmenter",
    recipes={"blip_itm": Part("a small BLIP image-text matcher behind a pyramid", "recipe:train")},
    installs={"blip_itm": Install("blip_itm", "robot_cell/pnp_ovss", "segmenter.pnp_ovss.weights")},
    protocol="protocol:for_dataset",
    spelling="protocol:spell",
    tables={
        "pnp_ovss": Part(
            "what each step of PnP-OVSS brings, and tuning without masks", "table:table"
        )
    },
    benches={
        "pnp_ovss": Part(
            "maps in batches against name by name, pass by pass",
            "bench:bench",
            "robot_cell/pnp_ovss",
        )
    },
)
