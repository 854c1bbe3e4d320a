"""Captions: grammar, attributes, and that everything visible is named."""

from __future__ import annotations

import numpy as np
import pytest

from ovseg_ros.robot_cell.captions import frame_captions, join_phrases, noun_phrase, region_caption
from ovseg_ros.robot_cell.instances import Instance


def instance(
    category: str, color: str | None = None, pixels: int = 1000, **more: object
) -> Instance:
    """An instance with the fields that captions look at."""
    material = "wooden" if color == "wooden" else None
    return Instance(
        1,
        category,
        None if material else color,
        material,
        bool(more.get("in_tray")),
        pixels,
        (0, 0, 1, 1),
    )


@pytest.mark.parametrize(
    ("shown", "attribute", "count", "expected"),
    [
        (instance("mug", "red"), True, 1, "a red mug"),
        (instance("mug", "orange"), True, 1, "an orange mug"),
        (instance("mug", "orange"), False, 1, "a mug"),
        (instance("soccer ball"), True, 1, "a soccer ball"),
        (instance("table", "wooden"), True, 1, "a wooden table"),
        (instance("floor", "gray"), True, 1, "the gray floor"),
        (instance("cube", "blue"), True, 2, "two blue cubes"),
        (instance("duck", "pink"), False, 5, "several ducks"),
    ],
)
def test_noun_phrase(shown: Instance, attribute: bool, count: int, expected: str) -> None:
    assert noun_phrase(shown, attribute, count) == expected


@pytest.mark.parametrize(
    ("phrases", "expected"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_join_phrases(phrases: list[str], expected: str) -> None:
    assert join_phrases(phrases) == expected


def test_region_caption_names_the_largest_first_and_counts_alike_ones() -> None:
    region = [
        instance("cube", "blue", 10),
        instance("table", "white", 99),
        instance("cube", "blue"),
    ]
    assert region_caption(region) == "two blue cubes and a white table"
    with pytest.raises(ValueError, match="instances must hold at least one"):
        region_caption([])


def test_captions_of_a_frame_name_everything_worth_a_word_and_nothing_else() -> None:
    shown = [
        instance("floor", "gray", 20_000),
        instance("wall", "white", 20_000),
        instance("table", "wooden", 30_000),
        instance("robot arm", "orange", 4_000),
        instance("tray", "black", 3_000),
        instance("mug", "red", 700, in_tray=True),
        instance("duck", "yellow", 500),
        instance("banana", "yellow", 100),
    ]
    for seed in range(50):
        text = " | ".join(frame_captions(shown, 76_800, np.random.default_rng(seed)))
        for word in ("floor", "wall", "table", "robot arm", "tray", "mug", "duck"):
            assert word in text, text
        assert "banana" not in text  # below 0.3 % of the frame
        assert "  " not in text and " on  " not in text and "| ," not in text


def test_captions_are_reproducible_and_vary_with_the_seed() -> None:
    shown = [instance("table", "white", 9_000), instance("mug", "red"), instance("duck", "green")]
    first = frame_captions(shown, 76_800, np.random.default_rng(1), count=5)
    assert first == frame_captions(shown, 76_800, np.random.default_rng(1), count=5)
    assert len(first) == 5
    assert len({frame_captions(shown, 76_800, np.random.default_rng(k)) for k in range(20)}) > 10


def test_a_bare_wall_is_named_or_not_mentioned() -> None:
    said = {
        caption
        for seed in range(200)
        for caption in frame_captions([instance("wall")], 1000, np.random.default_rng(seed))
    }
    assert "" in said
    assert not any(caption.endswith(" ") for caption in said)


def test_a_frame_of_slivers_is_still_described() -> None:
    captions = frame_captions([instance("mug", "red", 5)], 76_800, np.random.default_rng(0))
    assert all("mug" in caption for caption in captions)
