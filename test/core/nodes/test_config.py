"""Parameters of the nodes: which preset is below them, which are nobody's."""

from __future__ import annotations

import pytest

from ovseg_ros.config import describe
from ovseg_ros.nodes.config import (
    NODES,
    DiscoveryNodeConfig,
    SegmentationNodeConfig,
    check_known,
    preset_below,
)
from ovseg_ros.presets import DEFAULT, node_options


@pytest.mark.parametrize(
    ("given", "preset"),
    [
        ({}, DEFAULT),
        ({"segmenter.simzss.templates": "photo"}, DEFAULT),
        ({"preset": "autoseg"}, "autoseg"),
        ({"preset": "autoseg", "segmenter.name": "simzss"}, "autoseg"),
        ({"extends": "simzss", "segmenter.name": "simzss"}, "simzss"),
    ],
)
def test_the_preset_below(given: dict, preset: str):
    assert preset_below(given, "discovery_node") == node_options(preset, "discovery_node")


@pytest.mark.parametrize("given", [{"preset": ""}, {"segmenter.name": "simzss"}])
def test_no_preset_below(given: dict):
    assert preset_below(given, "segmentation_node") == {}


def test_parameters_of_other_nodes_and_of_ros_pass():
    check_known(["seed", "use_sim_time", "qos_overrides./image.depth", "keyframe_period_s"], ())


def test_nobodys_parameters_are_refused_with_the_closest():
    with pytest.raises(ValueError, match=r"tempaltes: no node has .* did you mean .*templates"):
        check_known(["segmenter.simzss.tempaltes"], ())
    with pytest.raises(ValueError, match=r"xyzzy: no node has such a parameter$"):
        check_known(["xyzzy"], ())


def test_a_node_has_the_options_it_uses_and_no_others():
    mine = {leaf.name for leaf in describe(SegmentationNodeConfig(), used=True)}
    assert {"segmenter.name", "segmenter.simzss.weights", "vocabulary.mode"} <= mine
    assert not [name for name in mine if name.startswith(("discovery.", "segmenter.xdecoder"))]
    theirs = {leaf.name for leaf in describe(DiscoveryNodeConfig(), used=True)}
    assert {"discovery.name", "discovery.bboost.k_max", "seed"} <= theirs
    assert not [name for name in theirs if name.startswith(("segmenter.", "discovery.vlm"))]


def test_every_program_has_its_parameters():
    assert set(NODES) == {"segmentation_node", "discovery_node", "camera_node", "evaluation_node"}
