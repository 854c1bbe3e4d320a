"""Both recipes learn from a mini robot cell and leave what the segmenter loads."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ovseg_ros.config import flatten
from ovseg_ros.evaluation.datasets import open_dataset
from ovseg_ros.evaluation.table import Request
from ovseg_ros.models.sam import load_sam_model
from ovseg_ros.segmenters.lmseg import recipe, sam_recipe
from ovseg_ros.segmenters.lmseg import segmenter as segmenter_module
from ovseg_ros.segmenters.lmseg import table as table_module
from ovseg_ros.segmenters.lmseg.attributes import Attributes, write_attributes
from ovseg_ros.segmenters.lmseg.checkpoint import build_lmseg
from ovseg_ros.segmenters.lmseg.config import EnrichmentConfig, LmsegConfig
from ovseg_ros.segmenters.lmseg.recipe import LmsegRecipe
from ovseg_ros.segmenters.lmseg.sam_recipe import SamRecipe, SamShape
from ovseg_ros.segmenters.lmseg.segmenter import LmsegSegmenter
from ovseg_ros.segmenters.lmseg.table import table
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


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_killed_run_goes_on_as_if_it_had_not_been(
    cell, clip_folder, sam_folder, tmp_path, monkeypatch
):
    own = config(cell, tmp_path / "whole", clip_folder, sam_folder)
    own = replace(own, loop=replace(own.loop, steps=8, save_every=3))
    recipe.train(own)
    step = recipe.Trainer.step

    def killed(self, number, generator):
        if number == 5:
            raise KeyboardInterrupt
        return step(self, number, generator)

    again = replace(own, out=str(tmp_path / "again"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(recipe.Trainer, "step", killed)
        recipe.train(again)
    recipe.train(again)
    first, second = weights_of(tmp_path / "whole"), weights_of(tmp_path / "again")
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert (tmp_path / "again" / "curves.png").is_file()


def test_two_processes_learn_what_one_learns(cell, clip_folder, sam_folder, tmp_path):
    own = config(cell, tmp_path / "one", clip_folder, sam_folder, names=0)
    own = replace(own, prompts="plain", loop=replace(own.loop, steps=3, batch=4, lr=1e-3))
    recipe.train(own)
    sets = flatten(replace(own, out=str(tmp_path / "two"), loop=replace(own.loop, batch=2)))
    words = [
        f"{key}={','.join(map(str, v)) if isinstance(v, (tuple, list)) else v}"
        for key, v in sets.items()
    ]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = ["-m", "ovseg_ros.cli", "train", "lmseg"]
    done = subprocess.run(
        [*launch, *command, *(part for word in words for part in ("--set", word))],
        capture_output=True,
        text=True,
        timeout=170,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[4]),
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for key in one:
        torch.testing.assert_close(one[key].float(), two[key].float(), atol=2e-3, rtol=0.02)


def test_coco_stuff_is_learnt_from_its_published_layout(clip_folder, sam_folder, tmp_path):
    base = tmp_path / "coco_stuff164k"
    rng = np.random.default_rng(0)
    for folder in ("images", "annotations"):
        (base / folder / "train2017").mkdir(parents=True)
    for number in range(2):
        image = rng.integers(0, 256, (48, 64, 3), np.uint8)
        mask = np.full((48, 64), 255, np.uint8)  # void, person, banner
        mask[:24], mask[24:40] = 0, 91
        cv2.imwrite(str(base / "images" / "train2017" / f"{number:012}.jpg"), image)
        cv2.imwrite(str(base / "annotations" / "train2017" / f"{number:012}.png"), mask)
    own = recipe.LmsegCocoRecipe(
        data=f"coco_stuff:{tmp_path}", out=str(tmp_path / "out"), clip=str(clip_folder),
        sam=str(sam_folder),
        shape=SHAPE, crop=48, enrichment=EnrichmentConfig(), names=6,
    )  # fmt: skip
    assert (own.loop.steps, own.loop.batch, own.loop.lr) == (80_000, 4, 2e-4)
    recipe.train_coco(replace(own, loop=replace(own.loop, steps=2, batch=1, device="cpu")))
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["recipe"] == "lmseg_coco"
    assert card["data"].startswith("coco_stuff/train, 2 images")


def test_names_of_a_step_are_some_in_view_and_some_not(cell, clip_folder, sam_folder, tmp_path):
    own = config(cell, tmp_path, clip_folder, sam_folder, names=8)
    from ovseg_ros.evaluation.datasets import open_dataset
    from ovseg_ros.segmenters.lmseg.checkpoint import build_lmseg

    parts = build_lmseg(own.clip, own.sam, own.shape)
    trainer = recipe.Trainer(parts, open_dataset("robot_cell", split="train", root=cell), own)
    few = torch.tensor([[[5, -1], [2, 5]]])
    mapped, chosen = trainer.choose(few, torch.Generator().manual_seed(0))
    assert len(chosen) == 8 and {2, 5} <= set(chosen)
    assert mapped[0, 0, 1] == -1
    assert [chosen[i] for i in (mapped[0, 0, 0], mapped[0, 1, 0])] == [5, 2]

    many = torch.arange(12)[None, None]
    counts = torch.zeros(len(trainer.data.classes), dtype=torch.int64)
    for seed in range(40):
        mapped, chosen = trainer.choose(many, torch.Generator().manual_seed(seed))
        shown = [k for k in chosen if k < 12]
        assert len(chosen) == 8 and len(shown) == 5  # three of eight are not in view
        assert mapped[0, 0].tolist() == [chosen.index(k) if k in shown else 8 for k in range(12)]
        counts[chosen] += 1
    assert int(counts.min()) >= 5  # no class is left out for its place in the list


def test_w_is_learnt_at_its_own_rate(cell, clip_folder, sam_folder, tmp_path):
    own = config(cell, tmp_path / "fast", clip_folder, sam_folder)
    recipe.train(own)
    recipe.train(replace(own, out=str(tmp_path / "slow"), w_rate=0.0))
    cards = [json.loads((tmp_path / n / "card.json").read_text()) for n in ("fast", "slow")]
    assert cards[1]["mix"] == pytest.approx(0.9, abs=1e-3)
    assert abs(cards[0]["mix"] - cards[1]["mix"]) > 1e-3


def test_attributes_are_complete_before_the_first_step(
    cell, clip_folder, sam_folder, tmp_path, monkeypatch
):
    class Writer:
        name = "writer"

        def __init__(self) -> None:
            self.asked: list[str] = []

        def reply(self, question: str) -> str:
            self.asked.append(question)
            return '{"colour": "red", "shape": "round", "texture": "soft"}'

    writer = Writer()
    monkeypatch.setattr(segmenter_module, "build_writer", lambda config, **_: writer)
    own = config(cell, tmp_path, clip_folder, sam_folder)
    own = replace(own, enrichment=EnrichmentConfig(ask=True), synonyms=0.0)
    data = open_dataset("robot_cell", split="train", root=cell)
    trainer = recipe.Trainer(build_lmseg(own.clip, own.sam, own.shape), data, own)
    assert len(writer.asked) == len(data.classes)
    assert trainer.attributes == f"of {len(data.classes)} of {len(data.classes)} names, by writer"
    before = trainer.text.embed(list(data.classes))
    assert trainer.text.embed(list(data.classes)) is before

    def away(question: str) -> str:
        raise ConnectionError("nobody there")

    monkeypatch.setattr(writer, "reply", away)
    writer.name = "another"
    with pytest.raises(ConnectionError, match="nobody there"):
        recipe.Trainer(build_lmseg(own.clip, own.sam, own.shape), data, own)


def test_enriched_without_attributes_says_so(cell, clip_folder, sam_folder, tmp_path, caplog):
    recipe.train(config(cell, tmp_path, clip_folder, sam_folder))
    assert "not the paper's enrichment" in caplog.text
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["attributes"].startswith("none were written")
    request = Request(root=cell, out=tmp_path / "table", sets=["rows=lmseg", "enrichment.file="])
    with pytest.raises(ValueError, match=r"row lmseg is about enrichment; .*not the paper's"):
        table(request)


def test_rows_of_the_table_share_their_views(cell, clip_folder, sam_folder, tmp_path, monkeypatch):
    drawn: list[int] = []
    draw = recipe.Trainer.draw
    monkeypatch.setattr(recipe.Trainer, "draw", lambda self, g: drawn.append(1) or draw(self, g))
    shape = [f"shape.{key}={','.join(map(str, v)) if isinstance(v, (tuple, list)) else v}"
             for key, v in flatten(SHAPE).items()]  # fmt: skip
    attributes = tmp_path / "mine.json"
    write_attributes(attributes, "a model", {"mug": Attributes("red", "round", "soft")})
    sets = [
        *shape, f"clip={clip_folder}", f"sam={sam_folder}", "crop=48", "views=4", "loop.steps=2",
        f"enrichment.file={attributes}", "rows=lmseg,clip,none",
    ]  # fmt: skip
    monkeypatch.setattr(table_module, "SPLITS", ())
    request = Request(
        root=cell, out=tmp_path / "out", split="train", limit=1, device="cpu", sets=sets
    )
    found = table(request)
    assert len(drawn) == 4
    assert [row["method"] for row in found.rows][:3] == [
        table_module.ROWS[name][0] for name in ("lmseg", "clip", "none")
    ]
    assert found.rows[0]["w of CLIP"] is not None
    assert found.rows[1]["w of CLIP"] is None
    assert all(0 <= row["mIoU train"] <= 1 for row in found.rows[:3])
    assert "by a model" in found.notes["attributes"]
    assert [row.get("mIoU train") for row in table(request).rows] == [
        row.get("mIoU train") for row in found.rows
    ]
    assert len(drawn) == 4  # what is kept is not made again


def test_sam_learns_and_loads(cell, tmp_path):
    shape = SamShape(**SAM)
    base = SamRecipe(data=str(cell), out=str(tmp_path), shape=shape, points=2, least=4)
    loop = replace(base.loop, steps=15, batch=2, lr=2e-3, device="cpu", precision="float32")
    sam_recipe.train(replace(base, loop=loop))
    found = losses(tmp_path)
    assert found[-1] < found[0]
    assert load_sam_model(str(tmp_path), device="cpu").image_encoder.img_size == 64
