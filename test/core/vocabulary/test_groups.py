"""Open names to stable classes."""

import numpy as np
import pytest

from ovseg_ros.types import Category, Mode, Proposal, Vocabulary
from ovseg_ros.vocabulary.config import VocabularyConfig
from ovseg_ros.vocabulary.groups import UNKNOWN, GroupTable, normalise_group
from ovseg_ros.vocabulary.living import LivingVocabulary


def vocabulary(**groups: str) -> Vocabulary:
    categories = [
        Category(id=2 * i, name=name, group=group)
        for i, (name, group) in enumerate(groups.items(), start=1)
    ]
    return Vocabulary(version=1, mode=Mode.FIXED, categories=tuple(categories))


WORDS = vocabulary(floor="ground", mug="", rug="ground", person="living")


def test_masks_of_groups():
    table = GroupTable(["ground", "living", "ground"])
    labels = np.array([[0, 2, 4], [6, 8, 0]], np.uint8)
    np.testing.assert_array_equal(table.lookup(WORDS)[labels], [[0, 2, 1], [2, 3, 0]])
    assert table.lookup(WORDS).dtype == np.uint8
    assert table.ids == {UNKNOWN: 1, "ground": 2, "living": 3}
    assert table.members(WORDS) == {
        UNKNOWN: ("mug",),
        "ground": ("floor", "rug"),
        "living": ("person",),
    }
    np.testing.assert_array_equal(GroupTable().lookup(Vocabulary()), [0])


def test_ids_are_append_only():
    table = GroupTable(["living"])
    table.lookup(vocabulary(floor="ground"))
    table.lookup(vocabulary(mug="grasp", floor="ground"))
    assert table.ids == {UNKNOWN: 1, "living": 2, "ground": 3, "grasp": 4}
    assert table.members(vocabulary(mug="grasp"))["ground"] == ()


def test_an_operator_may_say_unknown():
    assert GroupTable().lookup(vocabulary(mug="unknown")).tolist() == [0, 1, 1]


def test_groups_that_no_8_bit_mask_holds_are_unknown():
    table = GroupTable(f"g{i}" for i in range(400))
    assert max(table.ids.values()) == 254
    assert table.lookup(vocabulary(mug="g252", cup="g253")).tolist() == [0, 1, 254, 1, 1]


@pytest.mark.parametrize("group", ["x" * 65, "bell\a"])
def test_a_bad_group_is_refused(group):
    with pytest.raises(ValueError, match="groups: expected at most 64 printable"):
        LivingVocabulary().set(["mug"], mode=Mode.FIXED, groups=[group])
    with pytest.raises(ValueError, match="groups: expected"):
        VocabularyConfig(groups=(f"{group}: mug",))
    assert normalise_group("  slippery \n ground ") == "slippery ground"


def embed(names):
    """Embed words as directions: ground, living, half-way between, and something else."""
    angles = {"floor": 0.0, "carpet": 10.0, "person": 90.0, "dog": 80.0, "mat": 46.0, "sky": 200.0}
    radians = np.radians([angles[name] for name in names])
    return np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        (0.0, {"carpet": "", "dog": "", "mat": "", "sky": ""}),
        (0.9, {"carpet": "ground", "dog": "living", "mat": "", "sky": ""}),
        (0.5, {"carpet": "ground", "dog": "living", "mat": "living", "sky": ""}),
    ],
)
def test_names_join_the_group_of_similar_text(similarity, expected):
    config = VocabularyConfig(
        groups=("ground: floor", "living: person"), group_similarity=similarity
    )
    words = LivingVocabulary(config, embed=embed)
    found = words.observe([Proposal(name=name, score=1.0) for name in expected])
    assert {c.name: c.group for c in found.categories} == expected
    found = words.set(["dog", "sky", "person"], mode=Mode.FIXED, groups=["pet", "", ""])
    groups = {c.name: c.group for c in found.categories}
    assert groups == {"dog": "pet", "sky": "", "person": "living"}


def test_similarity_needs_text_embeddings():
    with pytest.raises(ValueError, match="group_similarity: expected 0"):
        LivingVocabulary(VocabularyConfig(group_similarity=0.5))
