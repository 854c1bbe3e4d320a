"""A tower as a backbone sees what the tower was trained to see."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ovseg_ros.models.files import read_tensors
from ovseg_ros.models.pyramid import PyramidTower
from ovseg_ros.models.tokenizer import load_tokenizer
from ovseg_ros.models.tower import load_photo_tower
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.segmenters.xdecoder.checkpoint import load_xdecoder, save_xdecoder
from ovseg_ros.segmenters.xdecoder.model import XDecoder
from ovseg_ros.segmenters.xdecoder.tower_backbone import TowerBackbone
from ovseg_ros.training.tower import load_tower

from .conftest import TINY

SHAPE = {"backbone": "resnet18", "channels": [8, 8, 16, 16], "embed_dim": 24}


@torch.no_grad()
def test_maps_are_the_towers():
    torch.manual_seed(0)
    tower = PyramidTower(**SHAPE).eval()
    backbone = TowerBackbone(SHAPE).eval()
    backbone.tower.load_state_dict(tower.state_dict())  # the same keys
    model = XDecoder(TINY)
    images = 255 * torch.rand(2, 3, 64, 96)
    maps = backbone(model.normalise(images))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (8, 16, 24),
        (24, 8, 12),
        (16, 4, 6),
        (16, 2, 3),
    ]
    assert backbone.channels == (8, 24, 16, 16)
    mean, std = (torch.tensor(v)[:, None, None] for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    seen = (images / 255 - mean) / std
    torch.testing.assert_close(maps[1].permute(0, 2, 3, 1), tower(seen)[1], rtol=1e-3, atol=1e-4)
    for found, wanted in zip(maps[2:], tower.backbone(seen)[1:], strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_loaded_models_are_fused_and_say_the_same(weights: Path, tmp_path: Path):
    torch.manual_seed(0)
    model = XDecoder(dataclasses.replace(TINY, pyramid=SHAPE)).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    for value in (*model.parameters(), *model.buffers()):
        if value.is_floating_point():
            value.copy_(value.half())  # what is written
    save_xdecoder(model, load_tokenizer(weights, ids=49_408, length=77), tmp_path / "weights")
    loaded, _ = load_xdecoder(tmp_path / "weights")
    assert loaded.config == model.config
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in loaded.modules())
    images = model.normalise(255 * torch.rand(1, 3, 64, 64))
    for found, wanted in zip(loaded.backbone(images), model.backbone(images), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_tower_with_a_name_is_not_stored_again(weights: Path, tmp_path: Path):
    torch.manual_seed(0)
    shape, _ = load_tower(Path("robot_cell/tower"))
    model = XDecoder(dataclasses.replace(TINY, pyramid=shape)).eval()
    images = model.normalise(255 * torch.rand(1, 3, 64, 96))
    maps = model.backbone(images)
    assert [tuple(x.shape[1:]) for x in maps] == [
        (24, 16, 24), (192, 8, 12), (112, 4, 6), (320, 2, 3)
    ]  # fmt: skip
    mean, std = (torch.tensor(v)[:, None, None] for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    seen = (model.mean + model.std * images) / 255
    patches = load_photo_tower(Path(resolve_weights("robot_cell/tower")))((seen - mean) / std)[1]
    torch.testing.assert_close(maps[1].permute(0, 2, 3, 1), patches, rtol=1e-3, atol=1e-3)
    save_xdecoder(model, load_tokenizer(weights, ids=49_408, length=77), tmp_path / "weights")
    stored = read_tensors(tmp_path / "weights" / "model.safetensors", option="weights")
    assert stored
    assert not any(key.startswith("backbone.") for key in stored)
    loaded, _ = load_xdecoder(tmp_path / "weights")
    for found, wanted in zip(loaded.backbone(images), maps, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)
    config = tmp_path / "weights" / "config.json"
    config.write_text(config.read_text().replace(shape["digest"], "0123"))
    with pytest.raises(ValueError, match="tower: expected robot_cell/tower with digest 0123"):
        load_xdecoder(tmp_path / "weights")
