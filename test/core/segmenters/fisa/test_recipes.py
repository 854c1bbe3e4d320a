"""The three recipes end to end on a mini cell, and FISA's on COCO panoptic as it is published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from ovseg_ros.config import override
from ovseg_ros.models.pyramid import PyramidTower
from ovseg_ros.segmenters.fisa import clip_recipe, masks_recipe, recipe
from ovseg_ros.segmenters.fisa.checkpoint import load_fisa
from ovseg_ros.segmenters.fisa.config import Adaptation
from ovseg_ros.segmenters.fisa.segmenter import FisaConfig, FisaSegmenter
from ovseg_ros.segmenters.fisa.table import ROWS
from ovseg_ros.training.tower import save_tower
from ovseg_ros.types import Vocabulary

TOWER = {"backbone": "resnet18", "channels": [8, 8, 16, 16], "embed_dim": 16}


@pytest.fixture()
def tower(tmp_path: Path) -> Path:
    """Folder of a small pyramid."""
    torch.manual_seed(0)
    folder = tmp_path / "tower"
    folder.mkdir()
    save_tower(folder, PyramidTower(**TOWER), TOWER)
    return folder


def options(config: Any, out: Path, **more: Any) -> Any:
    """A recipe's options with little to do."""
    fixed = {"out": str(out), "loop.steps": 2, "loop.batch": 2, "loop.device": "cpu"}
    if isinstance(config, recipe.FisaRecipe):
        fixed["views"] = 0
    return override(config, [], {**fixed, **more})


@pytest.mark.filterwarnings("ignore:You'd better set embed_dim")
def test_from_tower_to_segments(cell: Path, tower: Path, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path / "cache"))
    data = {"data": str(cell), "tower": str(tower), "height": 64}
    small = {"width": 32, "queries": 6, "decoder_layers": 3, "points": 64, "window": [64, 64]}
    masks_recipe.train(
        options(masks_recipe.MasksRecipe(), tmp_path / "masks", **data, **small, least=4)
    )
    clip_recipe.train(
        options(
            clip_recipe.ClipRecipe(), tmp_path / "clip", **data, width=64, layers=1,
            text_layers=1, vocab_size=300, squares=[1, 2], views=2,
        )
    )  # fmt: skip
    config = options(
        recipe.FisaRecipe(), tmp_path / "fisa", data=str(cell), crop=[64, 64], points=64,
        generator=str(tmp_path / "masks"), clip=str(tmp_path / "clip"), views=3,
    )  # fmt: skip
    recipe.train(config)
    card = json.loads((tmp_path / "fisa" / "card.json").read_text())
    assert card["recipe"] == "fisa"
    assert card["trained"] > 1000
    assert (tmp_path / "fisa" / "curves.png").is_file()
    places = {name: str(tmp_path / name) for name in ("fisa", "masks", "clip")}
    segmenter = FisaSegmenter(
        FisaConfig(
            weights=places["fisa"], generator=places["masks"], clip=places["clip"],
            short_side=64, score=0.0,
        ),
        device="cpu",
        dtype="float32",
    )  # fmt: skip
    image = np.full((1, 48, 64, 3), 90, np.uint8)
    found = segmenter.segment(image, Vocabulary.of("mug", "wall", stuff=["wall"]))
    assert found.labels.all()


def recipe_of(folders: dict[str, str], cell: Path, out: Path, **more: Any) -> recipe.FisaRecipe:
    config = options(
        recipe.FisaRecipe(), out, data=str(cell), crop=[64, 64], points=64,
        generator=folders["generator"], clip=folders["clip"], **more,
    )  # fmt: skip
    assert isinstance(config, recipe.FisaRecipe)
    return config


@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_the_table_trains_what_it_says(
    name: str, folders: dict[str, str], cell: Path, tmp_path: Path
):
    adaptation = replace(ROWS[name][1], seve_width=8)
    config = recipe_of(folders, cell, tmp_path / name, views=2)
    recipe.train(recipe.with_adaptation(config, adaptation, tmp_path / name))
    model, _ = load_fisa(str(tmp_path / name), folders["generator"], folders["clip"])
    before, _ = load_fisa("", folders["generator"], folders["clip"])
    moved = {
        key
        for key, value in model.state_dict().items()
        if key in (old := before.state_dict()) and not torch.equal(value, old[key])
    }
    places = {"clip": "clip.visual", "text": "clip.", "generator": "generator."}
    kinds = {next(part for part, place in places.items() if place in key) for key in moved}
    assert kinds == set(adaptation.tuned)
    assert bool(model.trained()) == (name != "baseline")
    assert model.state_dict().keys() >= before.state_dict().keys()


def test_a_tuned_generator_learns_at_a_tenth(folders: dict[str, str], cell: Path, tmp_path: Path):
    adaptation = Adaptation(seve_width=8, tuned=("generator",))
    config = recipe_of(folders, cell, tmp_path / "row")
    recipe.train(recipe.with_adaptation(config, adaptation, tmp_path / "row"))
    model, _ = load_fisa(str(tmp_path / "row"), folders["generator"], folders["clip"])
    before, _ = load_fisa("", folders["generator"], folders["clip"])
    pairs = zip(model.generator.parameters(), before.generator.parameters(), strict=True)
    steps = [float((a - b).detach().abs().max()) for a, b in pairs if not torch.equal(a, b)]
    assert steps
    assert max(steps) < 5e-4  # of lr 1e-3, two steps, a tenth of it, in float16
    with pytest.raises(ValueError, match="views: expected 0"):
        replace(config, adaptation=adaptation, views=2)


def test_a_killed_run_goes_on(folders: dict[str, str], cell: Path, tmp_path: Path):
    whole = recipe_of(folders, cell, tmp_path / "whole", **{"loop.steps": 4})
    recipe.train(whole)
    parts = recipe_of(folders, cell, tmp_path / "parts", **{"loop.steps": 4, "loop.save_every": 2})
    step = recipe.Trainer.step

    def dies(self: Any, number: int, generator: Any) -> Any:
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number, generator)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(recipe.Trainer, "step", dies)
        recipe.train(parts)
    recipe.train(parts)
    first, other = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")
    )
    assert first == other


def write_coco(root: Path) -> None:
    """Two images of COCO panoptic as its archives unpack: a person twice, on grass."""
    base = root / "coco"
    for folder in ("train2017", "panoptic_train2017", "annotations"):
        (base / folder).mkdir(parents=True)
    annotations = []
    for number in (1, 2):
        name = f"{number:012d}"
        ids = np.full((48, 64), 70_000, np.int64)
        ids[8:24, 8:20], ids[8:24, 30:44] = 5, 300
        colours = np.stack([ids % 256, ids // 256 % 256, ids // 65_536], -1).astype(np.uint8)
        cv2.imwrite(str(base / "panoptic_train2017" / f"{name}.png"), colours[..., ::-1])
        picture = np.where(ids == 70_000, 60, 180).astype(np.uint8)
        cv2.imwrite(str(base / "train2017" / f"{name}.jpg"), picture)
        segments = [{"id": 5, "category_id": 1}, {"id": 300, "category_id": 1}]
        segments.append({"id": 70_000, "category_id": 193})
        annotations.append(
            {"file_name": f"{name}.png", "segments_info": [{**s, "iscrowd": 0} for s in segments]}
        )
    categories = [
        {"id": 1, "name": "person", "isthing": 1},
        {"id": 193, "name": "grass-merged", "isthing": 0},
    ]
    data = {"annotations": annotations, "categories": categories}
    (base / "annotations" / "panoptic_train2017.json").write_text(json.dumps(data))


def test_coco_panoptic_from_its_published_layout(folders: dict[str, str], tmp_path: Path):
    write_coco(tmp_path)
    config = options(
        recipe.FisaCocoRecipe(), tmp_path / "out", data=f"coco_panoptic:{tmp_path}",
        crop=[64, 64], points=64,
        generator=folders["generator"], clip=folders["clip"], clip_side=64,
    )  # fmt: skip
    assert config.scale == (0.1, 2.0)
    recipe.train_coco(config)
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["recipe"] == "fisa_coco"
    assert card["data"].startswith("coco_panoptic/train, 2 images")


def test_the_published_recipe_is_the_default():
    config = recipe.FisaCocoRecipe()
    loop = config.loop
    assert (loop.steps, loop.batch, loop.lr, loop.weight_decay) == (25_000, 16, 1e-4, 0.05)
    assert (config.crop, config.scale, config.clip_side) == ((1024, 1024), (0.1, 2.0), 896)
    assert config.points == 12_544
    assert config.adaptation == Adaptation()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (100, 64)}, "crop: expected two multiples of 32"),
        ({"scale": (2.0, 0.5)}, "scale: expected the least and the largest"),
        ({"adaptation": Adaptation(tuned=("generator",)), "views": 3}, "views: expected 0"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        recipe.FisaRecipe(**options)
