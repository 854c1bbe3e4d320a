"""Things and stuff by WordNet, against tables that people made."""

from __future__ import annotations

import pytest

from ovseg_ros.evaluation.datasets.classes import bundled_classes
from ovseg_ros.evaluation.datasets.robot_cell import STUFF
from ovseg_ros.language.countable import EXCEPTIONS, is_thing
from ovseg_ros.language.wordnet import synsets
from ovseg_ros.robot_cell.objects import CATALOGUE

THINGS = (
    "mug", "mice", "people", "robot arm", "red mug", "wooden table", "teddy bear", "scissors",
    "tree", "forklift", "traffic cone", "lego brick", "toilet", "wine glass", "cup of coffee",
    "window",
    "chair", "dog", "box", "screwdriver", "donut", "rock", "building", "pallet",
    "conveyor belt", "cardboard box", "water bottle", "gripper", "hose",
)  # fmt: skip
STUFF_WORDS = (
    "floor", "wall", "brick wall", "sky", "grass", "lawn", "field of grass", "road", "street",
    "sidewalk", "sand", "gravel", "concrete", "asphalt", "snow", "water", "river", "sea", "beach",
    "wood", "metal", "fabric", "paper", "ceiling", "corridor", "vegetation", "terrain", "fence",
    "smoke", "coffee", "carpet", "ceiling-other", "mountain", "ice", "countertop",
    "tile floor", "puddle of water", "rubble", "parking lot", "mud",
)  # fmt: skip


@pytest.mark.parametrize("name", THINGS)
def test_things(name: str):
    assert is_thing(name)


@pytest.mark.parametrize("name", STUFF_WORDS)
def test_stuff(name: str):
    assert not is_thing(name)


@pytest.mark.parametrize("name", ["xyzzy", "", "  ", "of", "机器人", "the other one"])
def test_unknown_words_are_things(name: str):
    assert is_thing(name)


def test_the_form_of_a_name_changes_nothing():
    for name in (*THINGS, *STUFF_WORDS):
        assert is_thing(name.upper()) == is_thing(name.replace(" ", "  ")) == is_thing(name)


def test_the_robot_cells_own_table():
    names = {kind.name for kind in CATALOGUE}
    assert {name for name in names if not is_thing(name)} == names & STUFF


def test_cocos_and_vocs_things():
    coco = bundled_classes("coco_stuff").names
    assert [name for name in coco[:80] if not is_thing(name)] == []
    assert [name for name in bundled_classes("voc").names if not is_thing(name)] == []


def test_most_of_cocos_stuff_is_stuff():
    """COCO counts buildings, plants, furniture and clothes as stuff; they are objects to us."""
    stuff = bundled_classes("coco_stuff").names[80:]
    assert sum(not is_thing(name) for name in stuff) > 44


def test_cityscapes():
    names = bundled_classes("cityscapes").names
    things = {name for name in names if is_thing(name)}
    assert things >= set(names[11:])  # persons and vehicles
    assert things & set(names[:11]) == {"building", "pole", "traffic light", "traffic sign"}


def test_exceptions_are_nouns():
    assert all(synsets(noun) for noun in EXCEPTIONS)
