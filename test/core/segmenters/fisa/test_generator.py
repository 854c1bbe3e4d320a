"""The frozen generator says what transformers says; only masks are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ovseg_ros.segmenters.fisa.generator import MaskGenerator, load_generator


@pytest.fixture()
def images() -> torch.Tensor:
    """RGB in 0..255, (2, 3, 64, 96)."""
    return 255 * torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_mask2formers_masks_are_transformers_own(images: torch.Tensor, tiny_mask2former: Any):
    model = tiny_mask2former()
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    pixels = images / 255
    pixels = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    want = model(pixel_values=pixels).masks_queries_logits
    found = MaskGenerator(model)(images)
    assert found.shape == (2, 5, 16, 24)
    assert torch.allclose(found, want, atol=1e-5)
    masks, sure = MaskGenerator(model).propose(images)
    assert torch.equal(masks, found)
    classes = model(pixel_values=pixels).class_queries_logits.softmax(-1)
    assert torch.allclose(sure, classes[..., :-1].sum(-1), atol=1e-5)


@torch.no_grad()
def test_a_saved_generator_is_loaded_with_its_own_statistics(
    images: torch.Tensor, tiny_mask2former: Any, tmp_path: Path
):
    tiny_mask2former().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    found = load_generator(str(tmp_path))(images)
    own = MaskGenerator(tiny_mask2former(), mean=(0.5, 0.5, 0.5)).eval()
    assert torch.equal(found, own(images))


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (64, 32), (32, 128)])
def test_eomts_masks_are_transformers_own(size: tuple[int, int]):
    from transformers import EomtConfig, EomtForUniversalSegmentation

    torch.manual_seed(0)
    config = EomtConfig(
        image_size=64,
        patch_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_blocks=1,
        num_queries=4,
        num_upscale_blocks=2,
        num_register_tokens=0,
    )
    model = EomtForUniversalSegmentation(config).eval()
    images = 255 * torch.rand(1, 3, *size)
    generator = MaskGenerator(model, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    found, sure = generator.propose(images)
    assert torch.equal(generator(images), found)
    assert sure.shape == (1, 4)
    if size == (64, 64):
        want = model(pixel_values=images / 255)
        assert torch.allclose(found, want.masks_queries_logits, atol=1e-5)
        chances = want.class_queries_logits.softmax(-1)[..., :-1].sum(-1)
        assert torch.allclose(sure, chances, atol=1e-5)
    assert found.shape[2] * size[1] == found.shape[3] * size[0]  # the image's own aspect


@torch.no_grad()
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_finite_and_close(
    images: torch.Tensor, tiny_mask2former: Any, kind: torch.dtype
):
    full = MaskGenerator(tiny_mask2former())(images)
    half = MaskGenerator(tiny_mask2former()).lower(kind)(images)
    assert half.isfinite().all()
    assert half.dtype == torch.float32
    assert ((half > 0) == (full > 0)).float().mean() > 0.97


def test_other_models_are_refused_by_name(tmp_path: Path, folders: dict[str, str]):
    with pytest.raises(FileNotFoundError, match="not on this machine"):
        load_generator("nobody/nothing")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(FileNotFoundError, match=r"mask2former or eomt in .*, got 'bert'"):
        load_generator(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "mask2former"}')
    with pytest.raises(FileNotFoundError, match="could not load"):
        load_generator(str(tmp_path))


def test_a_small_one_comes_back_as_it_was_saved(folders: dict[str, str]):
    images = 255 * torch.rand(1, 3, 64, 64)
    first, again = (load_generator(folders["generator"]) for _ in range(2))
    with torch.no_grad():
        found = first(images)
        assert torch.equal(found, again(images))
    assert found.shape == (1, 6, 16, 16)
    assert not any(
        p.requires_grad for p in first.model.model.pixel_level_module.encoder.parameters()
    )
