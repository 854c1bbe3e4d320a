"""The card tells how weights were made, and nothing about the machine."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from ovseg_ros.config import override
from ovseg_ros.discovery.captioner_recipe import BlipRecipe
from ovseg_ros.training.card import write_card
from ovseg_ros.training.loop import LoopConfig
from ovseg_ros.training.pyramid import PyramidConfig


def test_a_card_lists_the_options_without_paths(tmp_path: Path):
    config = PyramidConfig(data="/secret/data", out="/secret/out", width=64)
    write_card(tmp_path, recipe="pyramid", config=config, seconds=12.6, data="four frames", why="x")
    text = (tmp_path / "card.json").read_text()
    card = json.loads(text)
    assert "secret" not in text
    assert card["command"] == "ovseg train pyramid --set width=64"
    assert (card["seconds"], card["data"], card["why"]) == (13, "four frames", "x")
    assert card["options"]["width"] == 64
    assert card["options"]["loop.steps"] == config.loop.steps


def test_a_tower_is_a_path_only_where_it_is_a_folder(tmp_path: Path):
    for tower, listed in ((str(tmp_path), False), ("vit_small_patch14", True), ("", True)):
        config = BlipRecipe(tower=tower)
        write_card(tmp_path, recipe="blip", config=config, seconds=1, data="")
        card = json.loads((tmp_path / "card.json").read_text())
        assert ("tower" in card["options"]) == listed
        words = shlex.split(card["command"])[3:]
        if listed:
            assert override(BlipRecipe(), words[1::2]) == config


def test_the_command_of_a_card_gives_the_options_again(tmp_path: Path):
    loop = LoopConfig(steps=7, lr=1e-5, muon_lr=0.0)
    config = BlipRecipe(sizes=(160, 240), whole=0.5, loop=loop)
    write_card(tmp_path, recipe="blip", config=config, seconds=1, data="")
    words = shlex.split(json.loads((tmp_path / "card.json").read_text())["command"])
    assert words[:3] == ["ovseg", "train", "blip"]
    assert words[3::2] == ["--set"] * (len(words[3:]) // 2)
    assert override(BlipRecipe(), words[4::2]) == config
