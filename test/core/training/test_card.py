"""The card tells how weights were made, and nothing about the machine."""

from __future__ import annotations

import json
from pathlib import Path

from ovseg_ros.training.card import write_card
from ovseg_ros.training.tower import TowerConfig


def test_a_card_lists_the_options_without_paths(tmp_path: Path):
    config = TowerConfig(data="/secret/data", out="/secret/out", width=64)
    write_card(tmp_path, recipe="tower", config=config, seconds=12.6, data="four frames", why="x")
    text = (tmp_path / "card.json").read_text()
    card = json.loads(text)
    assert "secret" not in text
    assert card["command"] == "ovseg train tower"
    assert (card["seconds"], card["data"], card["why"]) == (13, "four frames", "x")
    assert card["options"]["width"] == 64
    assert card["options"]["loop.steps"] == config.loop.steps
