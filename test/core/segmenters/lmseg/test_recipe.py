"""Both recipes learn from a mini robot cell and leave what the segmenter loads."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.models.sam import load_sam_model
from ovseg_ros.segmenters.lmseg import recipe, sam_recipe
from ovseg_ros.segmenters.lmseg.config import LmsegConfig
from ovseg_ros.segmenters.lmseg.recipe import LmsegRecipe
from ovseg_ros.segmenters.lmseg.sam_recipe import SamRecipe, SamShape
from ovseg_ros.segmenters.lmseg.segmenter import LmsegSegmenter
from ovseg_ros.types import Vocabulary

from .conftest import SAM, SHAPE


def losses(folder: Path) -> list[float]:
    with (folder / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def config(cell: Path, out: Path, clip: Path, sam: Path, **more: object) -> LmsegRecipe:
    base = LmsegRecipe(
        data=str(cell), out=str(out), clip=str(clip), sam=str(sam), shape=SHAPE, crop=48, views=6
    )
    loop = replace(base.loop, steps=12, batch=2, lr=3e-3, device="cpu", precision="float32")
    enrichment = replace(base.enrichment, file="")
    return replace(base, loop=loop, enrichment=enrichment, **more)


@pytest.mark.parametrize("views", [0, 6])
def test_lmseg_learns(cell, clip_folder, sam_folder, tmp_path, views):
    recipe.train(config(cell, tmp_path, clip_folder, sam_folder, views=views))
    found = losses(tmp_path)
    assert found[-1] < found[0]
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["recipe"] == "lmseg"
    assert 0.8 < card["mix"] < 0.95
    segmenter = LmsegSegmenter(
        LmsegConfig(weights=str(tmp_path), canvas=0, window=48), device="cpu", dtype="float32"
    )
    masks = segmenter.segment(np.zeros((1, 48, 64, 3), np.uint8), Vocabulary.of("mug", "wall"))
    assert masks.labels.shape == (1, 48, 64)


def test_names_of_a_step_are_those_in_view_first(cell, clip_folder, sam_folder, tmp_path):
    import torch

    own = config(cell, tmp_path, clip_folder, sam_folder, names=3)
    from ovseg_ros.evaluation.datasets import open_dataset
    from ovseg_ros.segmenters.lmseg.checkpoint import build_lmseg

    parts = build_lmseg(own.clip, own.sam, own.shape)
    trainer = recipe.Trainer(parts, open_dataset("robot_cell", split="train", root=cell), own)
    labels = torch.tensor([[[5, -1], [2, 5]]])
    mapped, chosen = trainer.choose(labels, torch.Generator().manual_seed(0))
    assert len(chosen) == 3
    assert {2, 5} <= set(chosen)
    assert mapped[0, 0, 1] == -1
    assert [chosen[i] for i in (mapped[0, 0, 0], mapped[0, 1, 0])] == [5, 2]


def test_sam_learns_and_loads(cell, tmp_path):
    shape = SamShape(**SAM)
    base = SamRecipe(data=str(cell), out=str(tmp_path), shape=shape, points=2, least=4)
    loop = replace(base.loop, steps=15, batch=2, lr=2e-3, device="cpu", precision="float32")
    sam_recipe.train(replace(base, loop=loop))
    found = losses(tmp_path)
    assert found[-1] < found[0]
    assert load_sam_model(str(tmp_path), device="cpu").image_encoder.img_size == 64
