"""The presets are the paper's, and `ovseg pull` knows all they need."""

from __future__ import annotations

import pytest

from ovseg_ros.config import override, weights_of
from ovseg_ros.presets import load_preset

CLIP = "openai/clip-vit-large-patch14-336"


@pytest.mark.parametrize(
    ("preset", "weights", "place"),
    [
        ("pnp_ovss", "Salesforce/blip-itm-large-flickr", (8, 10)),
        ("pnp_ovss_bridgetower", "BridgeTower/bridgetower-large-itm-mlm", (2, 8)),
    ],
)
def test_the_papers_settings(preset: str, weights: str, place: tuple[int, int]):
    config = load_preset(preset)
    own = config.segmenter.pnp_ovss
    assert config.segmenter.name == "pnp_ovss"
    assert (own.weights, own.image_size) == (weights, 336)
    assert (own.saliency.layer, own.saliency.head) == place
    assert (own.saliency.passes, own.saliency.dropped, own.saliency.gradcam) == (4, 10, True)
    assert (own.masks.threshold, own.masks.sigma, own.masks.crf) == (0.15, 0.05, True)
    kernels = own.masks.kernels
    assert (kernels.smooth_px, kernels.smooth_weight, kernels.iterations) == (3.0, 7.0, 10)
    assert (kernels.colour_px, kernels.colour, kernels.colour_weight) == (50.0, 5.0, 10.0)
    pulled = dict(weights_of(config))
    assert pulled["segmenter.pnp_ovss.weights"] == weights
    assert pulled["segmenter.pnp_ovss.filter.weights"] == CLIP
    assert not any("simzss" in key for key in pulled)


def test_the_robot_cell_needs_no_download():
    config = load_preset("robot_cell/pnp_ovss")
    assert all(weights.startswith("robot_cell/") for _, weights in weights_of(config))


def test_sam_is_pulled_where_it_cuts_the_masks():
    sets = ["discovery.name=sam_blip", "discovery.sam_blip.sam.weights=someone/sam/vit_b.pth"]
    pulled = dict(weights_of(override(load_preset("simzss"), sets)))
    assert pulled["discovery.sam_blip.sam.weights"] == "someone/sam/vit_b.pth"
