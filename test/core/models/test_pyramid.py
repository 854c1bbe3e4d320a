"""The pyramid: its patches are the image's, and as an image they come back patch by patch."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ovseg_ros.models.pyramid import PyramidTower, load_pyramid

SHAPE = {"backbone": "resnet10t", "channels": (16, 16, 32, 32)}


@pytest.fixture(scope="module")
def tower() -> PyramidTower:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return PyramidTower(**SHAPE).eval()


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), [(64, 64), (72, 104), (8, 200)])
def test_every_eight_pixels_are_a_patch(tower: PyramidTower, height: int, width: int):
    first, patches = tower(torch.randn(2, 3, height, width))
    assert first.shape == (2, 192)
    assert patches.shape == (2, height // 8, width // 8, 192)


@torch.inference_mode()
def test_fusing_changes_nothing_but_the_number_of_layers(tower: PyramidTower):
    trained = copy.deepcopy(tower).train()
    for _ in range(3):
        trained(torch.rand(4, 3, 64, 64))  # statistics that are not 0 and 1
    fused = copy.deepcopy(trained).fuse()
    left = [name for name, module in fused.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert left == ["backbone.bn1"]  # behind the three convolutions of this backbone's stem
    images = torch.rand(2, 3, 64, 96)
    for found, expected in zip(fused(images), trained.eval()(images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@torch.inference_mode()
def test_the_drawing_holds_every_patch_in_its_place(tower: PyramidTower):
    images = torch.randn(2, 3, 48, 64)
    drawing = tower.draw(images)
    assert drawing.shape == images.shape
    _, patches = tower(images)
    expected = F.normalize(patches, dim=-1) * 192**0.5
    square = drawing[:, :, 16:24, 40:48].flatten(1)  # row 2, column 5
    torch.testing.assert_close(square, expected[:, 2, 5])


def test_only_a_full_width_can_be_drawn():
    with pytest.raises(ValueError, match="tower: expected embed_dim 192, got 64"):
        PyramidTower(**SHAPE, embed_dim=64).draw(torch.zeros(1, 3, 32, 32))


def test_no_simzss_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"tower: expected .*tower\.json; make it with"):
        load_pyramid(tmp_path)
    (tmp_path / "config.json").write_text('{"visual": {"img_size": 32}}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ValueError, match="expected a SimZSS on a pyramid"):
        load_pyramid(tmp_path)
