"""The public recipe from pairs to weights: three objectives, its bank, and going on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from ovseg_ros.segmenters.simzss import pairs_recipe as simzss_pairs
from ovseg_ros.segmenters.simzss.model import load_simzss
from ovseg_ros.segmenters.simzss.pairs_recipe import PairsRecipe, pretrained_tower, train
from ovseg_ros.training.loop import LoopConfig
from ovseg_ros.training.tower import load_tower, save_tower

from ...small_pairs import write_coco

VISUAL = {
    "img_size": 28,
    "patch_size": 14,
    "embed_dim": 64,
    "depth": 1,
    "num_heads": 1,
    "reg_tokens": 2,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with captions, and a tower."""
    root = tmp_path_factory.mktemp("pairs")
    write_coco(root)
    torch.manual_seed(0)
    vit = VisionTransformer(num_classes=0, global_pool="", dynamic_img_size=True, **VISUAL)
    (root / "tower").mkdir()
    save_tower(root / "tower", vit, VISUAL)
    return root


def recipe(root: Path, out: Path, **options: object) -> PairsRecipe:
    defaults = {
        "data": str(root / "pictures"),
        "captions": str(root / "captions.json"),
        "out": str(out),
        "tower": str(root / "tower"),
        "width": 64,
        "layers": 1,
        "size": 28,
        "bank_minimum": 2,
        "workers": 0,
        "loop": LoopConfig(steps=3, batch=2, save_every=1, device="cpu"),
    }
    return PairsRecipe(**{**defaults, **options})


def test_the_defaults_are_the_papers():
    config = PairsRecipe()
    assert config.loop.batch * 16 * config.loop.steps == pytest.approx(10 * 400_000, rel=0.01)
    assert (config.lr_per_256, config.loop.warmup, config.loop.weight_decay) == (3e-5, 0.1, 0.2)
    assert (config.loop.beta2, config.loop.clip) == (0.98, 0.0)
    assert (config.concept_weight, config.query_temperature) == (0.05, 0.1)
    assert (config.width, config.layers, config.size, config.scale) == (512, 12, 224, (0.9, 1.0))


@pytest.mark.parametrize("objective", ["clip", "lit", "simzss"])
def test_the_tower_learns_for_clip_only(objective: str, root: Path, tmp_path: Path):
    train(recipe(root, tmp_path, objective=objective))
    model, tokenizer = load_simzss(tmp_path)
    _, weights = load_tower(root / "tower")
    same = all(
        torch.equal(value, weights[key].float())
        for key, value in model.visual.vit.model.state_dict().items()
    )
    assert same == (objective != "clip")
    assert tokenizer.vocab_size == 49408
    columns = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    assert columns == ["step", "loss", "caption", *["concept"] * (objective == "simzss")]
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["data"] == "5 pictures with captions"
    assert card["options"]["loop.lr"] == pytest.approx(3e-5 * 2 / 256)
    assert (tmp_path / "concepts.txt").read_text().split() == ["mug", "table"]
    assert (tmp_path / "curves.png").is_file()


def test_a_killed_run_ends_like_one_that_was_not(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    train(recipe(root, tmp_path / "whole"))
    real, calls = simzss_pairs.objective_losses, []

    def killed(*args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(simzss_pairs, "objective_losses", killed)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(root, tmp_path / "parts"))
    train(recipe(root, tmp_path / "parts"))
    assert len(calls) == 4
    whole, parts = (load_simzss(tmp_path / name)[0].state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[key]) for key, value in whole.items())


def test_a_bank_from_a_file_and_the_authors_targets(root: Path, tmp_path: Path):
    (tmp_path / "bank.txt").write_text("Table\n\nteddy  bear\ntable\n")
    config = recipe(root, tmp_path / "out", bank=str(tmp_path / "bank.txt"), targets="nearest")
    train(config)
    assert (tmp_path / "out" / "concepts.txt").read_text() == "table\nteddy bear\n"


def test_what_cannot_be_is_said(root: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="bank: no noun is named 99 times"):
        train(recipe(root, tmp_path, bank_minimum=99))
    with pytest.raises(ValueError, match="tower: expected a directory or a pretrained ViT of timm"):
        pretrained_tower("vit_enormous")
    with pytest.raises(FileNotFoundError, match="denoiser: nowhere is not there"):
        train(recipe(root, tmp_path, denoiser="nowhere"))
    with pytest.raises(ValueError, match="scale: expected two shares"):
        recipe(root, tmp_path, scale=(1.0, 0.5))


def test_a_denoiser_is_put_on_the_tower(root: Path, tmp_path: Path):
    config = recipe(root, tmp_path)
    width = VISUAL["embed_dim"]
    block = {
        "norm1": (width,), "norm2": (width,), "attn.qkv": (3 * width, width),
        "attn.proj": (width, width), "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width),
    }  # fmt: skip
    state = {"pos_embed": torch.randn(1, 9, width)}
    for name, shape in block.items():
        state |= {f"denoiser.{name}.weight": torch.randn(shape)}
        state |= {f"denoiser.{name}.bias": torch.randn(shape[0])}
    torch.save({"denoiser": {**state, "vit.model.cls_token": torch.ones(1)}}, tmp_path / "dvt.pth")
    with_it = dataclasses.replace(config, denoiser=str(tmp_path / "dvt.pth"))
    model, _ = simzss_pairs.build(with_it)
    assert model.config.denoiser == 3
    for key, value in state.items():
        assert torch.equal(model.visual.state_dict()[key], value)
    state.pop("pos_embed")
    torch.save({"denoiser": {**state, "pos_embed": torch.ones(1, 9, width), "x": torch.ones(1)}},
               tmp_path / "dvt.pth")  # fmt: skip
    with pytest.raises(ValueError, match="denoiser: expected exactly"):
        simzss_pairs.build(with_it)
