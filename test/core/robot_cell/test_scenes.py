"""Scenes: reproducible, collision-free, and honest about what only the novel split shows."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from ovseg_ros.robot_cell.colors import COLORS, PROTOTYPES, sample_rgb
from ovseg_ros.robot_cell.objects import BY_NAME, CATALOGUE, HELD_OUT_PAIRS, category_id
from ovseg_ros.robot_cell.scenes import SPLITS, sample_scene

COUNT = 400
CATEGORIES_OF_TEST_7 = ["bowl", "jenga block", "bottle", "race car", "mug", "soccer ball"]
EYE_OF_TEST_7 = (-0.347056, 0.689145, 0.4496)


@pytest.mark.parametrize("split", ["train", "val", "test", "sequence", "wild"])
def test_no_novel_object_and_no_held_out_pair_outside_novel(split: str) -> None:
    for index in range(COUNT):
        for item in sample_scene(split, index).objects:
            assert not BY_NAME[item.category].novel
            assert (item.color, item.category) not in HELD_OUT_PAIRS


def test_train_shows_every_known_object_and_every_held_out_word_elsewhere() -> None:
    items = [item for k in range(COUNT) for item in sample_scene("train", k).objects]
    shown = Counter(item.category for item in items)
    for kind in CATALOGUE:
        if kind.movable and not kind.novel:
            assert shown[kind.name] > 0.2 * COUNT, kind.name
    pairs = {(item.color, item.category) for item in items}
    for color, name in HELD_OUT_PAIRS:
        assert any(c == color and n != name for c, n in pairs)
        assert any(c != color and n == name for c, n in pairs)


def test_most_novel_scenes_hold_both_kinds_of_novelty() -> None:
    both = 0
    for index in range(100):
        items = sample_scene("novel", index).objects
        new = any(BY_NAME[item.category].novel for item in items)
        both += new and any((item.color, item.category) in HELD_OUT_PAIRS for item in items)
    assert both >= 90


def test_same_arguments_same_scene_and_other_seed_or_split_another() -> None:
    scene = sample_scene("train", 5)
    assert sample_scene("train", 5) == scene
    for other in (
        sample_scene("train", 6),
        sample_scene("val", 5),
        sample_scene("train", 5, seed=1),
    ):
        assert other.objects != scene.objects


def test_only_train_and_wild_are_wide() -> None:
    worn = {split: [sample_scene(split, k).worn for k in range(6)] for split in SPLITS}
    assert worn.pop("wild") == [True] * 6
    assert worn.pop("train") == [False, True, True] * 2
    assert not any(flag for flags in worn.values() for flag in flags)


def test_only_wide_scenes_of_train_hold_other_makes() -> None:
    for split in SPLITS:
        scenes = [sample_scene(split, index) for index in range(30)]
        remade = [any(item.make for item in scene.objects) for scene in scenes]
        rounded = [bool(scene.table_corners or scene.tray_corners) for scene in scenes]
        if split == "train":
            assert remade == [index % 3 > 0 for index in range(30)]
            assert sum(rounded) > 8 and not any(rounded[::3])
        else:
            assert not any(remade) and not any(rounded)


def test_other_makes_keep_their_words() -> None:
    things = [item for k in range(COUNT) for item in sample_scene("train", k).objects if item.make]
    assert not any(item.textured for item in things)
    wooden = [item for item in things if item.material]
    assert wooden and {item.category for item in wooden} == {"jenga block"}
    yellow = [item for item in things if (item.category, item.color) == ("duck", "yellow")]
    assert yellow and all(item.rgb[0] > item.rgb[2] + 0.3 for item in yellow)


def test_the_benchmark_keeps_its_scenes() -> None:
    scene = sample_scene("test", 7)
    assert [item.category for item in scene.objects] == CATEGORIES_OF_TEST_7
    assert scene.views[1].eye == pytest.approx(EYE_OF_TEST_7)


def test_objects_neither_overlap_nor_leave_the_table() -> None:
    for index in range(100):
        scene = sample_scene("test", index)
        for k, a in enumerate(scene.objects):
            assert abs(a.xy_m[0]) < scene.table_m[0] / 2 and abs(a.xy_m[1]) < scene.table_m[1] / 2
            for b in scene.objects[:k]:
                apart = math.dist(a.xy_m, b.xy_m)
                assert apart >= 0.5 * 0.85 * (a.size_m + b.size_m) - 1e-9


def test_cameras_stay_in_the_room_and_above_the_table() -> None:
    for index in range(100):
        scene = sample_scene("train", index)
        for view in scene.views:
            assert view.eye[2] > 0.1
            if scene.wall is None:
                continue
            assert -scene.walls_m[0] < view.eye[0] < scene.walls_m[1]
            assert -scene.walls_m[2] < view.eye[1] < scene.walls_m[3]


@pytest.mark.parametrize("color", COLORS)
def test_jittered_paint_is_nearest_to_its_own_word(color: str) -> None:
    rng = np.random.default_rng(0)
    words, values = list(PROTOTYPES), np.array(list(PROTOTYPES.values()))
    for _ in range(200):
        rgb = np.array(sample_rgb(color, rng))
        assert words[int(np.argmin(np.linalg.norm(values - rgb, axis=1)))] == color


def test_unknown_words_are_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="split must be one of"):
        sample_scene("trian", 0)
    with pytest.raises(ValueError, match="color must be one of"):
        sample_rgb("teal", rng)
    with pytest.raises(ValueError, match="name must be one of"):
        category_id("spoon")
