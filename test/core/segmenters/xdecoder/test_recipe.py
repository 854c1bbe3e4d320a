"""The X-Decoder recipe: texts of a step, and from data to weights that segment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ovseg_ros.models.pyramid import PyramidTower
from ovseg_ros.robot_cell.dataset import RobotCell
from ovseg_ros.segmenters.xdecoder import recipe as xdecoder
from ovseg_ros.segmenters.xdecoder.checkpoint import load_xdecoder
from ovseg_ros.segmenters.xdecoder.config import XDecoderConfig
from ovseg_ros.segmenters.xdecoder.recipe import XDecoderRecipe, draw_prompts, draw_texts
from ovseg_ros.segmenters.xdecoder.segmenter import XDecoderSegmenter
from ovseg_ros.training.frames import Frames
from ovseg_ros.training.loop import LoopConfig
from ovseg_ros.training.tower import save_tower
from ovseg_ros.types import Vocabulary


def recipe(cell: Path, out: Path, **options: object) -> XDecoderRecipe:
    small = {
        "data": str(cell),
        "tower": "",
        "out": str(out),
        "height": 96,
        "window": 64,
        "dim": 8,
        "depths": (1, 1, 1, 1),
        "levels": 1,
        "queries": 9,
        "width": 16,
        "text_width": 16,
        "text_layers": 1,
        "vocab_size": 300,
        "painted": 0.5,
        "loop": LoopConfig(steps=4, batch=2, muon_lr=0.02),
    }
    return XDecoderRecipe(**{**small, **options})


@pytest.fixture(scope="module")
def out(cell: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a trained model."""
    folder = tmp_path_factory.mktemp("xdecoder") / "out"
    xdecoder.train(recipe(cell, folder))
    return folder


def test_results_are_weights_with_card_log_and_curves(out: Path):
    card = json.loads((out / "card.json").read_text())
    assert card["command"].startswith("ovseg train xdecoder --set tower= --set height=96")
    assert card["data"] == "robot cell, split train, 4 frames 128x96"
    head = (out / "log.csv").read_text().splitlines()[0]
    assert head == "step,loss,pixel,class,mask,dice,summed"
    assert (out / "curves.png").is_file()
    model, tokenizer = load_xdecoder(out)
    assert (model.config.queries, model.config.width) == (9, 16)
    ids = tokenizer(["there is a red mug in the scene.", "r2d2"])
    assert (ids.max(1).values == tokenizer.vocab_size - 1).all()  # nothing is cut


def test_the_model_segments(cell: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path))
    image = RobotCell(cell, "train")[2].image
    config = XDecoderConfig(weights=str(out), templates="cell", short_side=96)
    segmenter = XDecoderSegmenter(config, device="cpu", dtype="float32")
    result = segmenter.segment(image[None], Vocabulary.of("mug", "yellow duck", "wall"))
    assert result.labels.shape == (1, 48, 64)
    assert result.labels.min() >= 1


def test_the_same_seed_gives_the_same_weights(cell: Path, out: Path, tmp_path: Path):
    torch.rand(3)
    xdecoder.train(recipe(cell, tmp_path / "again"))
    again = (tmp_path / "again" / "model.safetensors").read_bytes()
    assert again == (out / "model.safetensors").read_bytes()


def test_it_learns(cell: Path, tmp_path: Path):
    loop = LoopConfig(steps=12, batch=2, lr=3e-3, muon_lr=0.02)
    xdecoder.train(recipe(cell, tmp_path, painted=0.0, synonyms=0.0, pixels_first=0.0, loop=loop))
    lines = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    assert float(lines[-1][1]) < 0.85 * float(lines[0][1])


def test_a_tower_is_kept_as_it_is(cell: Path, tmp_path: Path):
    torch.manual_seed(0)
    shape = {"backbone": "resnet18", "channels": [8, 8, 16, 16], "embed_dim": 24}
    tower = PyramidTower(**shape)
    (tmp_path / "tower").mkdir()
    save_tower(tmp_path / "tower", tower, shape)
    options = {"tower": str(tmp_path / "tower"), "loop": LoopConfig(steps=2, batch=2)}
    xdecoder.train(recipe(cell, tmp_path / "out", **options))
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["backbone"] == "the frozen tower"
    assert str(tmp_path) not in json.dumps(card)
    state = load_file(tmp_path / "out" / "model.safetensors")
    for key, value in load_file(tmp_path / "tower" / "tower.safetensors").items():
        assert torch.equal(state[f"backbone.tower.{key}"], value)


def test_plain_texts_are_all_categories_or_their_synonyms(frames: Frames):
    generator = torch.Generator().manual_seed(0)
    batch = frames.crop(torch.arange(4), (48, 64), generator, zoom=(1.0, 1.0))
    for share, expected in ((0.0, True), (1.0, False)):
        config = XDecoderRecipe(synonyms=share)
        phrases, groups, weights = draw_texts(
            frames, batch, frames.rarity(), False, config, generator
        )
        assert len(phrases) == len(weights) == len(frames.categories)
        assert (phrases == list(frames.categories)) is expected
        assert torch.equal(groups, batch.labels)
    mug = frames.categories.index("mug")
    assert phrases[mug] in ("cup", "coffee mug")


def test_painted_texts_say_what_is_there(frames: Frames):
    generator = torch.Generator().manual_seed(0)
    batch = frames.crop(torch.arange(4), (48, 64), generator, zoom=(1.0, 1.0))
    config = XDecoderRecipe(synonyms=0.0)
    rarity = torch.arange(len(frames.categories) + 1).float()
    phrases, groups, weights = draw_texts(frames, batch, rarity, True, config, generator)
    assert set(phrases) == {"white wall", "wooden table", "red mug", "yellow duck"}
    for number, phrase in enumerate(phrases, start=1):
        label = 1 + frames.categories.index(phrase.split()[1])
        assert torch.equal(groups == number, batch.labels == label)
        assert weights[number - 1] == label


def test_prompts_are_templates_of_the_phrases():
    found = draw_prompts(["mug"] * 200, torch.Generator().manual_seed(0))
    assert {"mug", "a mug.", "a photo of a mug."} <= set(found)
    assert all("mug" in prompt for prompt in found)
    assert np.isclose(found.count("mug") / 200, 0.2, atol=0.1)
