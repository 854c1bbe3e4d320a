"""The tower of photographs: what it keeps of ImageNet, and how other weights name it."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import nn

from ovseg_ros.models.pyramid import load_pyramid
from ovseg_ros.models.tower import (
    CHANNELS,
    Neck,
    PhotoTower,
    check_tower,
    load_photo_tower,
    named_tower,
    note_tower,
    tower_digest,
)
from ovseg_ros.models.weights import ASSETS

FOLDER = ASSETS / "tower"


@pytest.fixture(scope="module")
def tower() -> PhotoTower:
    return load_photo_tower(FOLDER)


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), [(64, 64), (72, 104), (8, 200)])
def test_every_eight_pixels_are_a_patch(tower: PhotoTower, height: int, width: int):
    found = tower.features(torch.randn(2, 3, height, width))
    assert found.first.shape == (2, 192)
    assert found.patches.shape == (2, height // 8, width // 8, 192)
    assert found.last.shape == (2, 1280, -(-height // 32), -(-width // 32))


@torch.inference_mode()
def test_other_sizes_are_padded_so_that_strides_lie_on_each_other(tower: PhotoTower):
    images = torch.randn(1, 3, 64, 96)
    images[..., 40:, :] = images[..., 39:40, :]  # what repeating the border makes of 40 x 72
    images[..., 72:] = images[..., 71:72]
    whole, part = tower.features(images), tower.features(images[..., :40, :72])
    torch.testing.assert_close(part.patches, whole.patches[:, :5, :9])


@torch.inference_mode()
def test_fusing_keeps_relu6(tower: PhotoTower):
    fused = copy.deepcopy(tower).fuse()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    assert sum(isinstance(module, nn.ReLU6) for module in fused.modules()) > 30
    generator = torch.Generator().manual_seed(0)
    images = 20 * torch.randn(2, 3, 64, 96, generator=generator)  # strong enough to reach 6
    before = tower.features(images)
    with torch.no_grad():
        stem = tower.trunk.bn1(tower.trunk.conv_stem(images))  # type: ignore[operator]
    assert float(stem.max()) == 6.0
    for found, expected in zip(fused.features(images), before, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_the_neck_sees_the_whole_image():
    torch.manual_seed(0)
    neck = Neck(16).eval()
    maps = [torch.randn(1, width, 64 >> n, 64 >> n) for n, width in enumerate(CHANNELS)]
    before = neck(*maps)
    other = [value.clone() for value in maps]
    other[3][..., -1, -1] += 5  # the coarsest map's last corner
    assert neck(*other)[..., :8, :8].equal(before[..., :8, :8])  # zero at first, near sight only
    for convolution in neck.surroundings:
        nn.init.normal_(convolution.weight)
    assert not neck(*other)[..., :8, :8].allclose(neck(*maps)[..., :8, :8])


@torch.inference_mode()
def test_lite0_gets_its_own_normalisation(tower: PhotoTower):
    pixels = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(v)[:, None, None] for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    expected = tower.trunk.forward_features((pixels - 0.5) / 0.5)  # type: ignore[operator]
    torch.testing.assert_close(tower.last((pixels - mean) / std), expected, atol=1e-3, rtol=1e-3)


def test_classes_stay_apart_in_the_basis(tower: PhotoTower):
    prototypes = tower.prototypes()
    similarity = prototypes @ prototypes.T
    assert (similarity.argmax(1) == torch.arange(1000)).all()


def test_another_tower_is_refused(tmp_path: Path):
    named_tower("robot_cell/tower", tower_digest(FOLDER))
    with pytest.raises(ValueError, match="tower: expected robot_cell/tower with digest 0123"):
        named_tower("robot_cell/tower", "0123")
    note_tower(tmp_path, "robot_cell/tower")
    assert json.loads((tmp_path / "stands_on.json").read_text())["digest"] == tower_digest(FOLDER)
    check_tower(tmp_path, "robot_cell/tower")
    with pytest.raises(ValueError, match="train it again on this tower"):
        check_tower(tmp_path, str(tmp_path))
    other = tmp_path / "other"
    shutil.copytree(FOLDER, other)
    with (other / "tower.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ValueError, match="train it again on this tower"):
        check_tower(tmp_path, str(other))


def test_it_is_loaded_where_a_pyramid_is():
    assert isinstance(load_pyramid(FOLDER), PhotoTower)


def test_assets_are_small():
    for path in ASSETS.rglob("*"):
        assert path.stat().st_size <= 15_000_000, path
