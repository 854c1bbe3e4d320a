"""FISA: a frozen mask generator and a finely adapted CLIP that names masks (arXiv 2409.16278)."""

from ovseg_ros.segmenters.systems import Install, Part, System

SYSTEM = System(
    config="config:FisaConfig",
    segmenter="segmenter:FisaSegmenter",
    recipes={
        "fisa": Part("FISA's adaptation of a CLIP, on panoptic ground truth", "recipe:train"),
        "fisa_coco": Part("the same on COCO panoptic, as published", "recipe:train_coco"),
        "fisa_masks": Part("a small Mask2Former, FISA's generator", "masks_recipe:train"),
        "fisa_clip": Part("a small CLIP, FISA's classifier, from captions", "clip_recipe:train"),
    },
    installs={
        "fisa": Install("fisa", "robot_cell/fisa", "segmenter.fisa.weights"),
        "fisa_masks": Install("fisa_masks"),
        "fisa_clip": Install("fisa_clip"),
    },
    tables={"fisa": Part("FISA's ablations: what is added, what is trained", "table:table")},
    benches={
        "fisa": Part(
            "full-size generator and classifier, and growth with names",
            "bench:bench",
            "robot_cell/fisa",
        )
    },
)
