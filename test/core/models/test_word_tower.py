"""The tower as text meets it: two halves side by side, and no head start for what was rare."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from ovseg_ros.models.tower import CELL_FILE, tower_digest
from ovseg_ros.models.weights import ASSETS
from ovseg_ros.models.word_tower import WordTower, named_word_tower

FOLDER = ASSETS / "tower"
CELL = json.loads((FOLDER / "config.json").read_text())["categories"]


@pytest.fixture(scope="module")
def words() -> WordTower:
    return named_word_tower("robot_cell/tower", tower_digest(FOLDER), taught=CELL).eval()


@torch.inference_mode()
def test_other_sizes_are_padded_so_that_strides_lie_on_each_other(words: WordTower):
    images = torch.randn(1, 3, 64, 96)
    images[..., 40:, :] = images[..., 39:40, :]  # what repeating the border makes of 40 x 72
    images[..., 72:] = images[..., 71:72]
    torch.testing.assert_close(words(images[..., :40, :72])[1], words(images)[1][:, :5, :9])


@torch.inference_mode()
def test_names_that_cover_no_class_are_compared_by_the_cosine(words: WordTower):
    images, text = torch.randn(2, 3, 64, 96), F.normalize(torch.randn(200, words.embed_dim), dim=1)
    less = torch.randn(200)
    found, among = words.match(images, text, [()] * 200, less)
    assert among is None
    tokens = words(images)[1].double()
    expected = (tokens @ text.double().T - less).permute(0, 3, 1, 2)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_words_see_neck_and_trunk_side_by_side_and_never_the_unknown(words: WordTower):
    first, patches = words(torch.randn(1, 3, 64, 96))
    assert first.shape == (1, 385)
    assert patches.shape == (1, 8, 12, 385)
    torch.testing.assert_close(patches.norm(dim=-1), torch.ones(1, 8, 12))
    assert not patches[..., -1].any()


@torch.inference_mode()
def test_what_is_near_a_rare_category_had_a_head_start(words: WordTower):
    noted = load_file(FOLDER / CELL_FILE)
    rarity = noted["rarity"]
    text = F.pad(noted["category_means"], (0, words.embed_dim - noted["category_means"].shape[1]))
    found = words.head_start(text)
    # A category's own direction is nearly sure; a cosine has half of a token, sqrt(1 / 2).
    torch.testing.assert_close(found, 0.5**0.5 * rarity.log() / noted["scale"], atol=5e-3, rtol=0)
    trunk = F.pad(torch.eye(words.embed_dim)[-3:-1], (0, 0))
    torch.testing.assert_close(words.head_start(trunk), torch.zeros(2))


@torch.inference_mode()
def test_a_tower_without_notes_has_nothing_to_take_back(tmp_path: Path):
    shutil.copytree(FOLDER, tmp_path / "tower")
    noted = load_file(FOLDER / CELL_FILE)
    save_file({key: noted[key] for key in ("mean", "precision")}, tmp_path / "tower" / CELL_FILE)
    older = named_word_tower(str(tmp_path / "tower"), tower_digest(FOLDER), taught=CELL)
    assert not older.head_start(torch.randn(5, older.embed_dim)).any()


@torch.inference_mode()
def test_names_that_the_tower_was_not_taught_had_no_head_start():
    streets = named_word_tower("robot_cell/tower", tower_digest(FOLDER), taught=["road", "sky"])
    assert not streets.head_start(torch.randn(5, streets.embed_dim)).any()


@torch.inference_mode()
@pytest.mark.parametrize("floor", [-1.0, 0.0, 0.1, 2.0])
def test_texts_that_stay_under_the_floor_may_be_left_out_and_no_others(
    words: WordTower, floor: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ovseg_ros.models.word_tower.pays", lambda texts, device: True)
    images, text = torch.randn(2, 3, 64, 96), F.normalize(torch.randn(300, words.embed_dim), dim=1)
    covered = [(5,) if number % 50 == 3 else () for number in range(300)]
    less = 0.05 * torch.randn(300)
    every, _ = words.match(images, text, covered, less)
    found, among = words.match(images, text, covered, less, floor=floor)
    assert among is not None
    torch.testing.assert_close(found, every[:, among], atol=1e-6, rtol=0)
    above = (every.amax((0, 2, 3)) > floor).nonzero()[:, 0]
    assert set(above.tolist()) <= set(among.tolist())
    assert len(among) >= 6  # what a dictionary knows is always there
    if floor == 0.1:
        assert len(above) <= len(among) < 250
    if floor == 2.0:
        assert len(among) == 6


@torch.inference_mode()
def test_the_best_class_that_a_name_covers_counts(words: WordTower):
    images, text = torch.randn(2, 3, 64, 96), torch.zeros(3, words.embed_dim)
    found, _ = words.match(images, text, [(3, 500, 7), (), (42,)], torch.zeros(3))
    coarse = words.tower.features(images).last.permute(0, 2, 3, 1) @ words.tower.basis
    length = coarse.norm(dim=-1)
    strong = torch.stack([rows.quantile(0.95) for rows in length.flatten(1)])[:, None, None]
    cosines = F.normalize(coarse, dim=-1) @ words.tower.prototypes().T * 0.5**0.5
    for name, classes in ((0, [3, 500, 7]), (2, [42])):
        weighed = cosines[..., classes].amax(-1) * (length / strong).clamp(max=1)
        expected = F.interpolate(weighed[:, None], scale_factor=4, mode="bilinear")[:, 0]
        torch.testing.assert_close(found[:, name], expected, atol=1e-5, rtol=1e-4)
    assert not found[:, 1].any()
