"""ImageNet's classes by WordNet: names, kinds, the level people use."""

from __future__ import annotations

import pytest

from ovseg_ros.language import things, wordnet


def test_every_class_has_a_plain_name():
    names = things.class_names()
    assert len(names) == len(things.classes()) == 1000
    assert names[281] == "tabby cat"
    assert not any(c in name for name in names for c in "()/")


@pytest.mark.parametrize(
    ("name", "basic"),
    [
        ("alaskan malamute", "dog"),
        ("egyptian mau", "cat"),
        ("bald eagle", "eagle"),
        ("pickup truck", "truck"),
        ("moped", "motorcycle"),
        ("espresso", "coffee"),
        ("tandem bicycle", "bicycle"),
        ("tripod", "tripod"),
    ],
)
def test_classes_are_called_as_people_do(name: str, basic: str):
    assert things.basic_name(things.class_names().index(name)) == basic


def test_a_word_covers_the_classes_below_it():
    dog = next(s for s in wordnet.synsets("dog") if s in things.kinds())
    covered = {things.class_names()[number] for number in things.kinds()[dog]}
    assert len(covered) == 118
    assert "borzoi" in covered and "tabby cat" not in covered
    assert all(len(found) <= things.LARGEST for found in things.kinds().values())
