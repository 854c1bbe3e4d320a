"""The sample for Nav2's costmap and our half of it fit each other."""

from pathlib import Path

import yaml

from ovseg_ros.config import describe, flatten, from_mapping
from ovseg_ros.nodes.config import SegmentationNodeConfig
from ovseg_ros.vocabulary.config import parse_groups
from ovseg_ros.vocabulary.groups import UNKNOWN

FOLDER = Path(__file__).parents[2] / "nav2"


def layer():
    sections = yaml.safe_load((FOLDER / "local_costmap.yaml").read_text())
    parameters = sections["local_costmap"]["local_costmap"]["ros__parameters"]
    assert "semantic_layer" in parameters["plugins"]
    return parameters["semantic_layer"]


def ours():
    sections = yaml.safe_load((FOLDER / "ovseg.yaml").read_text())
    options = {}
    for section in sections.values():
        options |= flatten_nested(section["ros__parameters"])
    return from_mapping(SegmentationNodeConfig, {"depth_topic": "/depth", **options})


def flatten_nested(options, prefix=""):
    flat = {}
    for name, value in options.items():
        nested = isinstance(value, dict)
        flat |= flatten_nested(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return flat


def test_every_group_has_a_cost_and_the_unknown_one_too():
    source = layer()["camera"]
    costs = [name for kind in source["class_types"] for name in source[kind]["classes"]]
    groups = set(parse_groups(ours().vocabulary.groups).values())
    assert sorted(costs) == sorted({UNKNOWN, *groups})


def test_the_points_have_the_masks_size():
    config = ours()
    assert config.cloud_layout == "organized"
    assert config.mask_size == "image"


def test_topics_are_of_the_segmentation_node():
    source = layer()["camera"]
    topics = {name: value for name, value in source.items() if name.endswith("_topic")}
    assert topics == {
        "segmentation_topic": "/segmentation_node/groups/label_mask",
        "confidence_topic": "/segmentation_node/confidence",
        "labels_topic": "/segmentation_node/groups/label_info",
        "pointcloud_topic": "/segmentation_node/points",
    }


def test_our_half_names_options_that_there_are():
    known = {leaf.name for leaf in describe(SegmentationNodeConfig())}
    sections = yaml.safe_load((FOLDER / "ovseg.yaml").read_text())
    for section in sections.values():
        assert set(flatten_nested(section["ros__parameters"])) <= known
    assert flatten(ours())["cloud_layout"] == "organized"
