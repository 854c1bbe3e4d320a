"""What ships with the package: the small weights and what a language model wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.evaluation.datasets import open_dataset
from ovseg_ros.models.weights import ASSETS
from ovseg_ros.presets import load_preset
from ovseg_ros.robot_cell.objects import CATALOGUE
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.segmenters.lmseg.attributes import read_attributes
from ovseg_ros.types import Vocabulary


def test_the_attributes_say_who_wrote_them():
    model, names = read_attributes(Path("robot_cell"))
    assert model == "SmolLM2-135M-Instruct"
    words = [word for kind in CATALOGUE for word in (kind.name, *kind.synonyms)]
    assert [word for word in words if word not in names] == ["r2d2"]  # it gave no readable answer
    with pytest.raises(FileNotFoundError, match="with the package come robot_cell"):
        read_attributes(Path("ade150"))


@pytest.mark.parametrize("asset", ["lmseg", "sam"])
def test_weights_come_with_a_card_of_what_they_reach(asset):
    card = json.loads((ASSETS / asset / "card.json").read_text())
    assert card["recipe"] == asset
    assert 0 < card["metrics"]["test"]["miou"] < 1
    assert sum(file.stat().st_size for file in (ASSETS / asset).iterdir()) < 15e6


def test_the_preset_knows_the_recorded_cell():
    data = open_dataset("robot_cell", split="sequence")
    segmenter = build_segmenter(
        load_preset("robot_cell/lmseg").segmenter, device="cpu", dtype="float32"
    )
    sample = data[0]
    found = segmenter.segment(sample.image[None], Vocabulary.of(*data.classes))
    known = sample.labels > 0
    assert (found.labels[0][known] == sample.labels[known]).mean() > 0.5  # chance: a twentieth
    assert len(np.unique(found.labels)) > 3
    assert found.left_out == ()
