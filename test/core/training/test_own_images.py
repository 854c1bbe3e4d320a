"""Every recipe trains on anybody's folder of images, masks and names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import timm
from safetensors.torch import save_file

from ovseg_ros.config import override
from ovseg_ros.discovery.config import TagsConfig
from ovseg_ros.discovery.tags import load_tags
from ovseg_ros.models.tower import load_photo_tower
from ovseg_ros.training.recipes import load_recipe, recipes
from ovseg_ros.training.tower import load_tower

SMALL: dict[str, dict[str, Any]] = {
    "pyramid": {"backbone": "resnet10t", "channels": [16, 16, 32, 32], "height": 96, "window": 64},
    "simzss": {
        **{"height": 96, "window": 64, "views": 1, "crops": 2, "crop": [2, 3], "token_size": 32},
        **{"width": 64, "layers": 1, "vocab_size": 300, "words": 0},
    },
    "blip": {
        **{"height": 96, "sizes": [64], "depth": 1, "width": 192, "layers": 1, "patches": 8},
        "regions": 2,
    },
    "blip_itm": {
        **{"height": 96, "width": 64, "heads": 2, "size": 64, "views": 1, "windows": [2, 4]},
        "pairs": 2,
    },
    "xdecoder": {
        **{"tower": "", "height": 96, "window": 64, "dim": 8, "depths": [1, 1, 1, 1], "levels": 1},
        **{"queries": 9, "width": 16, "text_width": 16, "text_layers": 1, "vocab_size": 300},
    },
    "fisa_masks": {
        **{"height": 96, "window": [64, 64], "width": 32, "queries": 6, "decoder_layers": 3},
        **{"points": 64, "least": 4},
    },
    "fisa_clip": {
        **{"height": 96, "width": 64, "layers": 3, "text_layers": 1, "vocab_size": 300},
        **{"squares": [1, 2], "views": 2},
    },
    "sam": {
        **{"shape.size": 64, "shape.width": 16, "shape.depth": 2, "shape.heads": 2},
        **{"shape.channels": 16, "shape.window": 2},
    },
    "fisa": {"crop": [64, 64], "points": 64, "views": 2},
    "lmseg": {
        **{"crop": 64, "views": 2, "shape.grid": 6, "shape.width": 16, "shape.guidance": 8},
        **{"shape.layers": 1, "shape.heads": 2, "shape.window": 4, "shape.decoder": [16, 8]},
        **{"shape.decoder_guidance": [4, 4], "enrichment.file": ""},
    },
}
"""Options that make each recipe small."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of a road with a car or a dog, one with captions of its own."""
    root = tmp_path_factory.mktemp("lab")
    for name in ("images", "masks"):
        (root / name).mkdir()
    (root / "classes.txt").write_text("0: road, street\n1: car\n2: dog\n")
    rng = np.random.default_rng(0)
    for number in range(4):
        mask = np.zeros((96, 128), np.uint8)
        mask[:30] = 255
        top, left = rng.integers(32, 60), rng.integers(0, 80)
        mask[top : top + 30, left : left + 40] = 1 + number % 2
        image = np.choose(mask % 3, [[90], [200], [30]])[..., None].repeat(3, 2).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{number}.png"), image)
        cv2.imwrite(str(root / "masks" / f"{number}.png"), mask)
    line = {"image": "1.png", "captions": ["a dog that nobody saw on the street"]}
    (root / "captions.jsonl").write_text(json.dumps(line))
    return root


def run(name: str, folder: Path, out: Path, **more: Any) -> dict[str, Any]:
    """Train for two steps; return the card."""
    config, train = load_recipe(name)
    fixed = {
        **{"data": str(folder), "out": str(out), "loop.steps": 2, "loop.batch": 2},
        **{"loop.device": "cpu", **SMALL[name], **more},
    }
    train(override(config, [], fixed))
    card: dict[str, Any] = json.loads((out / "card.json").read_text())
    return card


def run_on(tower: Path, name: str, folder: Path, out: Path) -> dict[str, Any]:
    """Train a recipe, on the tower if it stands on one."""
    towered = hasattr(load_recipe(name)[0], "tower") and "tower" not in SMALL[name]
    return run(name, folder, out, **({"tower": str(tower)} if towered else {}))


@pytest.fixture(scope="module")
def tower(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tower trained on the same folder."""
    out = tmp_path_factory.mktemp("tower") / "out"
    card = run("pyramid", folder, out)
    assert card["data"] == f"{folder.name}, split train, 4 frames 128x96"
    assert "val_miou" not in card  # there is no split to measure on
    return out


ON_PARTS = {"fisa": {"generator": "fisa_masks", "clip": "fisa_clip"}}
ON_PARTS["lmseg"] = {"sam": "sam", "clip": "fisa_clip"}
"""What stands on results of other recipes: option to recipe."""


@pytest.mark.parametrize("name", [n for n in SMALL if n != "pyramid" and n not in ON_PARTS])
def test_recipes_take_a_folder(name: str, folder: Path, tower: Path, tmp_path: Path):
    card = run_on(tower, name, folder, tmp_path / "out")
    assert card["data"].startswith(folder.name if name != "sam" else str(folder))
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.fixture(scope="module")
def parts(tower: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what the recipes of ON_PARTS stand on."""
    out = tmp_path_factory.mktemp("parts")
    for name in ("fisa_masks", "fisa_clip", "sam"):
        run_on(tower, name, folder, out / name)
    return out


@pytest.mark.filterwarnings("ignore:You'd better set embed_dim")
@pytest.mark.parametrize("name", ON_PARTS)
def test_recipes_on_parts_take_a_folder(
    name: str, folder: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path / "cache"))
    on = {option: str(parts / part) for option, part in ON_PARTS[name].items()}
    card = run(name, folder, tmp_path / "out", **on)
    assert card["data"].startswith(str(folder))
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_tower_is_trained_on_a_folder_too(folder: Path, tmp_path: Path):
    trunk = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    save_file(trunk.state_dict(), tmp_path / "trunk.safetensors")
    config, train = load_recipe("tower")
    fixed = {
        **{"data": str(folder), "out": str(tmp_path / "out"), "loop.steps": 2, "loop.batch": 2},
        **{"loop.device": "cpu", "start": str(tmp_path / "trunk.safetensors"), "width": 64},
        **{"height": 96, "window": 64},
    }
    train(override(config, [], fixed))
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["data"].startswith(folder.name)
    load_photo_tower(tmp_path / "out")
    assert load_tags(TagsConfig(tower=str(tmp_path / "out")), device="cpu") is not None


def test_the_tower_that_xdecoder_stands_on_ships():
    config, _ = load_recipe("xdecoder")
    assert {"backbone", "tower"} & set(load_tower(Path(config.tower))[0])


def test_recipes_on_masks_are_all_tried_here():
    """Pairs need no masks; fisa_coco and lmseg_coco are fisa and lmseg, by default on COCO."""
    assert set(recipes()) - {"tower", "simzss_pairs", "fisa_coco", "lmseg_coco"} == set(SMALL)
    assert all(hasattr(load_recipe(name)[0], "data") for name in recipes())
