"""Weights go into the package with what they reach on their card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovseg_ros.models.weights import ASSETS
from ovseg_ros.segmenters.systems import Install
from ovseg_ros.training import install as installing
from ovseg_ros.training.recipes import SHARED_INSTALLS, find_install, recipes

WHAT = Install("mine", "robot_cell", "segmenter.simzss.weights")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run, with measuring replaced by what it was asked."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "card.json").write_text(json.dumps({"command": "ovseg train simzss"}))
    for name in ("model.safetensors", "config.json", "curves.png", "checkpoint.pt", "log.csv"):
        (out / name).write_text(name)
    monkeypatch.setattr(
        installing, "measure", lambda out, what, **asked: {"preset": what.preset, **asked}
    )
    return out


def test_the_asset_is_replaced_and_its_card_measured(run, tmp_path):
    old = tmp_path / "assets" / "mine"
    old.mkdir(parents=True)
    (old / "left_over.bin").write_text("old")
    target = installing.install(run, WHAT, splits=("val",), limit=3, assets=tmp_path / "assets")
    assert target == old
    names = {path.name for path in target.iterdir()}
    assert names == {"card.json", "model.safetensors", "config.json", "curves.png"}
    card = json.loads((target / "card.json").read_text())
    assert card["command"] == "ovseg train simzss"
    assert card["metrics"] == {
        "preset": "robot_cell", "root": None, "splits": ["val"], "limit": 3
    }  # fmt: skip
    assert not list((tmp_path / "assets").glob("*.new"))


def test_what_its_recipe_measured_is_copied_as_it_is(run, tmp_path):
    before = (run / "card.json").read_bytes()
    target = installing.install(run, Install("mine"), assets=tmp_path / "assets")
    assert (target / "card.json").read_bytes() == before


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="finished run"):
        installing.install(tmp_path, WHAT)


def test_recipes_that_ship_are_known():
    for name in ("simzss", "xdecoder", "blip_itm", *SHARED_INSTALLS):
        assert name in recipes()
        assert find_install(name).asset
    with pytest.raises(ValueError, match=r"expected one of .*simzss.* got 'simzss_pairs'"):
        find_install("simzss_pairs")


def test_measuring_says_what_the_preset_reaches(cell: Path):
    what = Install("simzss", "robot_cell", "segmenter.simzss.weights")
    measured = installing.measure(
        ASSETS / "simzss", what, root=cell, splits=("train",), limit=2
    )  # fmt: skip
    assert measured["dtype"] == "float32"  # as ovseg eval
    found = measured["train"]
    assert found["images"] == 2
    assert 0 < found["miou"] <= 1
    assert 0 <= found["pq"] <= 1
