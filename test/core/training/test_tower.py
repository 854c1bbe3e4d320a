"""Towers: targets by counting, and partial views that are parts of the whole."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ovseg_ros.training.tower import (
    PATCH,
    cross_entropy,
    encode_patches,
    load_tower,
    patch_shares,
)


@pytest.fixture(scope="module")
def vit() -> VisionTransformer:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        vit = VisionTransformer(
            img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=0,
            global_pool="", dynamic_img_size=True,
        )  # fmt: skip
        for parameter in vit.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    return vit.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 32, 40, generator=torch.Generator().manual_seed(1))


class TestEncodePatches:
    @torch.inference_mode()
    @pytest.mark.parametrize("size", [(32, 32), (32, 40), (24, 16)])
    def test_all_patches_are_the_whole_forward(self, vit: VisionTransformer, size: tuple[int, int]):
        images = torch.randn(2, 3, *size)
        every = torch.arange(size[0] * size[1] // 64).expand(2, -1)
        expected = vit.forward_features(images)
        torch.testing.assert_close(encode_patches(vit, images, every), expected)
        seen = torch.ones_like(every, dtype=torch.bool)
        torch.testing.assert_close(encode_patches(vit, images, every, seen), expected)

    @torch.inference_mode()
    def test_patches_keep_their_own_positions(self, vit: VisionTransformer, images: Tensor):
        order = torch.stack([torch.randperm(20), torch.randperm(20)])
        whole = vit.forward_features(images)
        found = encode_patches(vit, images, order)
        torch.testing.assert_close(found[:, 0], whole[:, 0])
        for row in range(2):
            torch.testing.assert_close(found[row, 1:], whole[row, 1:][order[row]])

    @torch.inference_mode()
    def test_left_out_patches_are_out_of_sight(self, vit: VisionTransformer, images: Tensor):
        kept = torch.tensor([[0, 1, 7], [3, 8, 19]])
        found = encode_patches(vit, images, kept)
        changed = images.clone()
        for row in range(2):
            for patch in set(range(20)) - set(kept[row].tolist()):
                top, left = patch // 5 * 8, patch % 5 * 8
                changed[row, :, top : top + 8, left : left + 8] = 9.0
        torch.testing.assert_close(encode_patches(vit, changed, kept), found)
        assert not torch.allclose(vit.forward_features(changed)[:, 0], found[:, 0], atol=1e-3)

    @torch.inference_mode()
    def test_padding_counts_for_nothing(self, vit: VisionTransformer, images: Tensor):
        kept = torch.tensor([[4, 5, 6, 9], [2, 3, 0, 0]])
        seen = torch.tensor([[True] * 4, [True, True, False, False]])
        found = encode_patches(vit, images, kept, seen)
        torch.testing.assert_close(found[:1], encode_patches(vit, images[:1], kept[:1]))
        alone = encode_patches(vit, images[1:], kept[1:, :2])
        torch.testing.assert_close(found[1:, :3], alone)


class TestTargets:
    def test_shares_are_counted_over_every_third_pixel_of_a_patch(self):
        labels = torch.randint(0, 5, (2, 24, 36), generator=torch.Generator().manual_seed(0))
        shares = patch_shares(labels, 12, 5)
        assert shares.shape == (2, 6, 5)
        for image in range(2):
            for row in range(2):
                for column in range(3):
                    block = labels[image, 12 * row : 12 * row + 12, 12 * column : 12 * column + 12]
                    pixels = block.flatten().tolist()[::3]
                    expected = [pixels.count(label) / len(pixels) for label in range(5)]
                    found = shares[image, 3 * row + column]
                    torch.testing.assert_close(found, torch.tensor(expected))

    def test_shares_of_any_patch_sum_to_one(self):
        labels = torch.randint(0, 5, (2, 240, 320), generator=torch.Generator().manual_seed(0))
        for patch, count in ((PATCH, 300), ((240, 320), 1), (10, 768)):
            shares = patch_shares(labels, patch, 5)
            assert shares.shape == (2, count, 5)
            torch.testing.assert_close(shares.sum(-1), torch.ones(2, count))

    def test_one_label_has_all(self):
        shares = patch_shares(torch.full((1, 16, 16), 3), 8, 5)
        assert shares.tolist() == [[[0, 0, 0, 1, 0]] * 4]

    def test_cross_entropy_by_hand(self):
        logits = torch.tensor([[0.0, math.log(3.0)], [1.0, 1.0], [5.0, -5.0]])
        weights = torch.tensor([[1.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
        # -log 1/4 - log 3/4 at the first place, -2 log 1/2 at the second, nothing at the third.
        expected = (math.log(4) + math.log(4 / 3) + 2 * math.log(2)) / 4
        assert cross_entropy(logits, weights).item() == pytest.approx(expected, rel=1e-6)

    def test_cross_entropy_of_nothing_is_zero(self):
        logits = torch.randn(3, 2, requires_grad=True)
        loss = cross_entropy(logits, torch.zeros(3, 2))
        loss.backward()
        assert loss.item() == 0
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


def test_a_missing_tower_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="make it with `ovseg train pyramid`"):
        load_tower(tmp_path)
