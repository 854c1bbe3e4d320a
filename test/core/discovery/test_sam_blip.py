"""Crops around masks: segment-anything's own classes with random weights, and colour regions."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ovseg_ros.config import from_mapping
from ovseg_ros.discovery.build import build_discoverer
from ovseg_ros.discovery.captioner import Captioner
from ovseg_ros.discovery.config import ColorConfig, DiscoveryConfig, SamBlipConfig, SamConfig
from ovseg_ros.discovery.masks import ColorMasks, SamMasks, load_sam
from ovseg_ros.discovery.sam_blip import SamBlip, paint
from ovseg_ros.language.nouns import NounConfig
from ovseg_ros.models.sam import sam_size


@pytest.fixture(scope="module")
def sam() -> torch.nn.Module:
    """segment-anything with one thin layer, on images of 64 pixels."""
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return Sam(
            image_encoder=ImageEncoderViT(
                depth=1,
                embed_dim=32,
                img_size=64,
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
                num_heads=2,
                patch_size=16,
                out_chans=32,
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=32,
                image_embedding_size=(4, 4),
                input_image_size=(64, 64),
                mask_in_chans=4,
            ),
            mask_decoder=MaskDecoder(
                num_multimask_outputs=3,
                transformer=TwoWayTransformer(depth=1, embedding_dim=32, mlp_dim=32, num_heads=2),
                transformer_dim=32,
                iou_head_depth=2,
                iou_head_hidden_dim=16,
            ),
            pixel_mean=[123.675, 116.28, 103.53],
            pixel_std=[58.395, 57.12, 57.375],
        )


LOOSE = SamConfig(points_per_side=2, min_iou=0.0, min_stability=0.0, max_overlap=1.0)


def test_noise_gives_its_largest_regions_only():
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    sizes = [int(mask.sum()) for mask in ColorMasks(ColorConfig()).masks(noise)]
    assert len(sizes) == 256
    assert sizes == sorted(sizes, reverse=True)


def test_sam_cuts_and_blip_names(sam: torch.nn.Module, captioner: Captioner, image: np.ndarray):
    generator = SamMasks(sam, LOOSE)
    masks = generator.masks(image)
    assert masks
    assert all(mask.shape == image.shape[:2] and mask.dtype == bool for mask in masks)
    config = SamBlipConfig(size=64, max_masks=3, batch=2, min_share=0.0)
    found = SamBlip(generator, captioner, NounConfig(), config).discover(image, seed=3)
    assert found.clusters is not None
    assert found.clusters.shape == image.shape[:2]
    assert set(np.unique(found.clusters)) == set(range(len(found.cluster_names)))
    assert len(found.captions) == 2 * min(3, len(masks))
    assert set(found.cluster_names) <= {*found.names, ""}


def test_colour_regions_follow_the_colours(image: np.ndarray):
    flat = np.zeros_like(image)
    flat[:30, :45] = (200, 20, 20)
    flat[30:, 45:] = (20, 200, 20)
    masks = ColorMasks(ColorConfig()).masks(flat)
    assert sorted(int(mask.sum()) for mask in masks) == [30 * 45, 30 * 45, 30 * 45, 30 * 45]
    assert sum(mask.astype(int) for mask in masks).max() == 1
    noisy = ColorMasks(ColorConfig(tolerance=60.0)).masks(image)
    largest = sorted(noisy, key=lambda mask: -mask.sum())[:4]
    assert sum(mask.sum() for mask in largest) > 0.8 * image[..., 0].size


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 3), (700, 2, 3)])
def test_colour_regions_of_odd_images(shape: tuple[int, int, int]):
    masks = ColorMasks(ColorConfig()).masks(np.full(shape, 90, np.uint8))
    assert sum(int(mask.sum()) for mask in masks) == shape[0] * shape[1]


class Given:
    """A generator of known masks."""

    device = "cpu"

    def __init__(self, *masks: np.ndarray) -> None:
        self._masks = masks

    def masks(self, image: np.ndarray) -> list[np.ndarray]:
        return list(self._masks)


def test_crops_names_and_clusters_belong_together(
    captioner: Captioner, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    whole, corner, dot, nothing = (np.zeros(image.shape[:2], bool) for _ in range(4))
    whole[:, :80], corner[50:, 70:80], dot[0, 0] = True, True, True
    seen: list[tuple[int, ...]] = []
    encode = captioner.encode

    def spy(crop: np.ndarray, size: int):
        seen.append(crop.shape)
        return encode(crop, size)

    monkeypatch.setattr(captioner, "encode", spy)
    monkeypatch.setattr(
        captioner,
        "caption",
        lambda memories, seed: [["a mug", "a mug on a table"], ["a duck", ""]][: len(memories)],
    )
    config = SamBlipConfig(size=64, margin=0.1)
    generator = Given(dot, corner, nothing, whole)
    found = SamBlip(generator, captioner, NounConfig(), config).discover(image)
    assert seen == [(60, 88, 3), (11, 12, 3)]  # largest first, 10 % wider, cut at the border
    assert [(p.name, p.score) for p in found.proposals] == [
        ("mug", 1.0),
        ("duck", 0.5),
        ("table", 0.5),
    ]
    names = np.array(found.cluster_names)[found.clusters]
    assert names[0, 0] == "mug"
    assert names[55, 75] == "duck"  # the smaller mask lies on top
    assert (names[:, 80:] == "").all()


def test_no_mask_is_an_empty_vocabulary(captioner: Captioner, image: np.ndarray):
    found = SamBlip(Given(), captioner, NounConfig(), SamBlipConfig(size=64)).discover(image)
    assert (found.names, found.captions, found.cluster_names) == ((), (), ("",))
    assert (found.clusters == 0).all()


def test_a_mask_that_others_cover_is_no_cluster():
    below, above = np.zeros((2, 3), bool), np.ones((2, 3), bool)
    below[0, 0] = True
    clusters, order = paint([below, above], (2, 3))
    assert (clusters == 0).all()
    assert order == [1]


def test_same_seed_same_names(captioner: Captioner, image: np.ndarray):
    config = SamBlipConfig(size=64, masks="color")
    baseline = SamBlip(ColorMasks(ColorConfig()), captioner, NounConfig(), config)
    assert baseline.discover(image, seed=1).captions == baseline.discover(image, seed=1).captions


def test_checkpoints_are_checked(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"sam\.weights: expected the file of an official"):
        load_sam(SamConfig(), device="cpu")
    path = tmp_path / "sam.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 2, 2, 7)}, path)
    with pytest.raises(ValueError, match=r"sam\.weights: expected a segment-anything checkpoint"):
        load_sam(SamConfig(weights=str(path)), device="cpu")
    for width, size in ((768, "vit_b"), (1024, "vit_l"), (1280, "vit_h")):
        assert sam_size({"image_encoder.pos_embed": torch.zeros(1, 2, 2, width)}) == size


def test_build(blip_folder: Path, image: np.ndarray):
    options = {"captioner.weights": str(blip_folder), "name": "sam_blip", "sam_blip.size": 64}
    config = from_mapping(DiscoveryConfig, {**options, "sam_blip.masks": "color"})
    baseline = build_discoverer(config, device="cpu", dtype="float32")
    assert baseline is not None
    assert (baseline.name, baseline.device) == ("sam_blip", "cpu")
    with pytest.raises(FileNotFoundError, match=r"sam\.weights"):
        build_discoverer(from_mapping(DiscoveryConfig, options), device="cpu", dtype="float32")
    with pytest.raises(ValueError, match="size: expected a multiple of 16"):
        config = from_mapping(
            DiscoveryConfig, {**options, "sam_blip.masks": "color", "sam_blip.size": 65}
        )
        build_discoverer(config, device="cpu", dtype="float32")
