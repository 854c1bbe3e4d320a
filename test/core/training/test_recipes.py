"""Each recipe from data to weights in a few steps, and the weights where they are used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from transformers import BlipForConditionalGeneration, BlipProcessor

from ovseg_ros.discovery import captioner_recipe as blip
from ovseg_ros.discovery.captioner import load_captioner
from ovseg_ros.discovery.captioner_recipe import vision_state
from ovseg_ros.discovery.config import CaptionerConfig
from ovseg_ros.models.pyramid import PyramidTower, load_pyramid
from ovseg_ros.robot_cell.dataset import RobotCell
from ovseg_ros.segmenters.pnp_ovss import recipe as blip_itm
from ovseg_ros.segmenters.pnp_ovss.config import (
    FilterConfig,
    MaskConfig,
    PnpOvssConfig,
    SaliencyConfig,
)
from ovseg_ros.segmenters.pnp_ovss.segmenter import PnpOvssSegmenter
from ovseg_ros.segmenters.simzss import recipe as simzss
from ovseg_ros.segmenters.simzss.config import SimZSSConfig
from ovseg_ros.segmenters.simzss.model import load_simzss
from ovseg_ros.segmenters.simzss.segmenter import SimZSSSegmenter
from ovseg_ros.training import pyramid
from ovseg_ros.training.frames import Frames
from ovseg_ros.training.loop import LoopConfig
from ovseg_ros.training.tower import encode_patches, load_tower
from ovseg_ros.types import Vocabulary


def train_all(cell: Path, out: Path) -> Path:
    """Run the recipes and return the folder of their results."""
    places = {"data": str(cell), "tower": str(out / "pyramid"), "height": 64}
    pyramid.train(
        pyramid.PyramidConfig(
            data=str(cell),
            out=str(out / "pyramid"),
            backbone="resnet10t",
            channels=(16, 16, 32, 32),
            height=64,
            window=64,
            loop=LoopConfig(steps=3, batch=2),
        )
    )
    simzss.train(
        simzss.SimZSSRecipe(
            **places,
            out=str(out / "simzss"),
            views=2,
            window=48,
            width=64,
            layers=1,
            vocab_size=300,
            loop=LoopConfig(steps=2, batch=4),
        )
    )
    blip.train(
        blip.BlipRecipe(
            **places,
            out=str(out / "blip"),
            sizes=(64, 96),
            depth=1,
            width=64,
            layers=1,
            regions=2,
            patches=20,
            whole=0.5,
            loop=LoopConfig(steps=4, batch=2),
        )
    )
    blip_itm.train(
        blip_itm.BlipItmRecipe(
            **places,
            out=str(out / "blip_itm"),
            size=64,
            width=64,
            layers=2,
            heads=2,
            views=5,
            loop=LoopConfig(steps=4, batch=2),
        )
    )
    return out


@pytest.fixture(scope="module")
def out(cell: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the results of all recipes."""
    return train_all(cell, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def again(cell: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same once more, after other random numbers were drawn."""
    torch.rand(3)
    return train_all(cell, tmp_path_factory.mktemp("again"))


@pytest.fixture(scope="module")
def tower(out: Path) -> PyramidTower:
    """The trained tower."""
    return load_pyramid(out / "pyramid")


@pytest.fixture
def image(cell: Path) -> np.ndarray:
    return RobotCell(cell, "train")[2].image


@pytest.mark.parametrize("recipe", ["simzss", "blip", "blip_itm"])
def test_results_come_with_card_log_and_curves(out: Path, recipe: str):
    card = json.loads((out / recipe / "card.json").read_text())
    assert card["command"].startswith(f"ovseg train {recipe} --set height=64")
    assert card["data"] == "robot cell, split train, 4 frames 85x64"
    assert str(out) not in json.dumps(card)
    assert (out / recipe / "log.csv").read_text().startswith("step,loss,")
    assert (out / recipe / "curves.png").is_file()


def test_the_tower_is_small_and_finite(out: Path, tower: PyramidTower):
    _, weights = load_tower(out / "pyramid")
    assert {value.dtype for value in weights.values()} <= {torch.float16, torch.int64}
    assert all(parameter.isfinite().all() for parameter in tower.parameters())


def test_simzss_keeps_the_tower_and_segments(
    out: Path, image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path))
    model, tokenizer = load_simzss(out / "simzss")
    for key, value in load_tower(out / "pyramid")[1].items():
        assert torch.equal(value.float(), model.visual.state_dict()[key].float())
    assert model.config.image_hw == (64, 85)
    assert tokenizer(["a red mug"]).max() == tokenizer.vocab_size - 1
    config = SimZSSConfig(weights=str(out / "simzss"))
    segmenter = SimZSSSegmenter(config, device="cpu", dtype="float32")
    result = segmenter.segment(image[None], Vocabulary.of("mug", "yellow duck", "wall"))
    assert result.labels.shape == (1, 48, 64)
    assert result.labels.min() >= 1


def test_the_matcher_segments_through_the_tower(out: Path, tower: PyramidTower, image: np.ndarray):
    config = PnpOvssConfig(
        weights=str(out / "blip_itm"),
        tower=str(out / "simzss"),
        image_size=64,
        filter=FilterConfig(threshold=0.0),
        saliency=SaliencyConfig(opening="a picture of", layer=1, head=2, passes=2, dropped=3),
        masks=MaskConfig(crf=False, background="never"),
    )
    segmenter = PnpOvssSegmenter(config, device="cpu", dtype="float32")
    matcher = segmenter.matcher
    assert matcher.tokenizer.convert_ids_to_tokens(matcher.first_token) == "[ENC]"
    square = np.repeat(np.repeat(image[:32, :32], 2, 0), 2, 1)  # needs no resizing
    pixels = (torch.from_numpy(square.copy()).permute(2, 0, 1)[None] / 255 - matcher._mean) / (
        matcher._std
    )
    with torch.no_grad():
        expected = tower.draw(pixels)
    torch.testing.assert_close(matcher.prepare(square[None]), expected, rtol=1e-3, atol=1e-3)
    result = segmenter.segment(image[None], Vocabulary.of("mug", "yellow duck", "wall"))
    assert result.labels.shape == (1, 48, 64)


def test_blip_opens_in_transformers(out: Path, image: np.ndarray):
    processor = BlipProcessor.from_pretrained(out / "blip")
    model = BlipForConditionalGeneration.from_pretrained(out / "blip", dtype=torch.float32).eval()
    inputs = processor(images=image, return_tensors="pt")
    assert inputs.pixel_values.shape == (1, 3, 64, 64)
    tokens = model.generate(**inputs, max_length=8)
    text = processor.decode(tokens[0], skip_special_tokens=True)
    assert "[" not in text
    stored = BlipForConditionalGeneration.from_pretrained(out / "blip")
    assert stored.dtype == torch.float16


@torch.inference_mode()
@pytest.mark.parametrize("size", [64, 96])
def test_the_captioner_sees_as_it_was_trained(
    out: Path, tower: PyramidTower, frames: Frames, image: np.ndarray, size: int
):
    config = CaptionerConfig(
        weights=str(out / "blip"), tower=str(out / "simzss"), passes=2, max_length=8
    )
    captioner = load_captioner(config, device="cpu", dtype="float32")
    square = np.repeat(np.repeat(image[:32, :32], size // 32, 0), size // 32, 1)  # no resizing
    pixels = frames.normalise(torch.from_numpy(square.copy()).permute(2, 0, 1)[None] / 255)
    vit = VisionTransformer(
        img_size=64, patch_size=16, embed_dim=64, depth=1, num_heads=1, num_classes=0,
        global_pool="", dynamic_img_size=True,
    ).eval()  # fmt: skip
    vit.load_state_dict(unvision(captioner.model.vision_model.state_dict(), vit))
    encoding = captioner.encode(square, size)
    assert encoding.grid == (size // 16, size // 16)
    # Other sizes resize the positions, which transformers does without antialiasing.
    close = {"rtol": 0, "atol": 1e-4 if size == 64 else 0.1}
    drawn = tower.draw(pixels)
    torch.testing.assert_close(encoding.features, vit.forward_features(drawn)[0], **close)
    part = torch.tensor([3, 7, 8, 12])
    (found,) = captioner.encode_parts(encoding, [part])
    torch.testing.assert_close(found, encode_patches(vit, drawn, part[None])[0], **close)
    captions = captioner.caption([found, encoding.features], seed=1)
    assert [len(lines) for lines in captions] == [2, 2]


def unvision(blip: dict[str, torch.Tensor], vit: VisionTransformer) -> dict[str, torch.Tensor]:
    """Return timm's state dict for that of BLIP's vision model."""
    names = vision_state({key: key for key in vit.state_dict()})
    return {timms: blip[blips] for blips, timms in names.items()}


@pytest.mark.parametrize(
    ("recipe", "file"),
    [
        ("pyramid", "tower.safetensors"),
        ("simzss", "model.safetensors"),
        ("simzss", "tokenizer.json"),
        ("blip", "model.safetensors"),
        ("blip_itm", "model.safetensors"),
    ],
)
def test_the_same_seed_gives_the_same_weights(out: Path, again: Path, recipe: str, file: str):
    assert (out / recipe / file).read_bytes() == (again / recipe / file).read_bytes()


def test_a_recipe_without_its_tower_says_what_to_do(cell: Path, tmp_path: Path):
    recipe = simzss.SimZSSRecipe(data=str(cell), tower=str(tmp_path), out=str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="ovseg train pyramid"):
        simzss.train(recipe)
    assert not (tmp_path / "out").exists()
