"""Tiny models of the classes that the published ones have, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from ovseg_ros.models.tokenizer import train_tokenizer
from ovseg_ros.segmenters.fisa import clip, generator
from ovseg_ros.segmenters.fisa.checkpoint import build_fisa, save_fisa
from ovseg_ros.segmenters.fisa.config import Adaptation
from ovseg_ros.segmenters.fisa.segmenter import FisaConfig, FisaSegmenter

PYRAMID = {"backbone": "resnet18", "channels": [8, 8, 16, 16], "embed_dim": 16}
NAMES = ["mug", "duck", "floor", "robot arm"]


def make_clip(**vision: Any) -> torch.nn.Module:
    """open_clip's CLIP: two layers of width 32, patches of 8 pixels on a grid of 4 x 4."""
    torch.manual_seed(0)
    shapes = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
    text = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    model = open_clip.CLIP(24, {**shapes, **vision}, text, quick_gelu=True)
    return model.eval().requires_grad_(False)


def make_mask2former(**options: Any) -> Any:
    """transformers' Mask2Former with a small Swin and five queries."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    torch.manual_seed(0)
    backbone = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    sizes = ("hidden_dim", "feature_size", "mask_feature_size")
    config = Mask2FormerConfig(
        backbone_config=backbone,
        **dict.fromkeys(sizes, 32),
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=3,
        num_attention_heads=2,
        num_queries=5,
        num_labels=3,
        **options,
    )
    return Mask2FormerForUniversalSegmentation(config).eval()


@pytest.fixture()
def tiny_clip() -> Any:
    """Make a CLIP; see :func:`make_clip`."""
    return make_clip


@pytest.fixture()
def tiny_mask2former() -> Any:
    """Make a Mask2Former; see :func:`make_mask2former`."""
    return make_mask2former


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a small generator, a small CLIP on the same pyramid, and an adaptation."""
    root = tmp_path_factory.mktemp("fisa")
    places = {name: root / name for name in ("generator", "clip", "weights")}
    torch.manual_seed(0)
    settings = {
        **dict.fromkeys(("hidden_dim", "feature_size", "mask_feature_size"), 32),
        "encoder_feedforward_dim": 32,
        "dim_feedforward": 32,
        "encoder_layers": 1,
        "decoder_layers": 3,
        "num_attention_heads": 2,
        "num_queries": 6,
        "num_labels": 1,
    }
    masks = generator.build_small(settings, PYRAMID)
    generator.save_small(masks, PYRAMID, places["generator"])
    tokenizer = train_tokenizer([f"a {n}" for n in NAMES], vocab_size=300, context_length=12)
    vision = {"image_size": 64, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16}
    text = {
        "context_length": 12,
        "vocab_size": tokenizer.vocab_size,
        "width": 32,
        "heads": 2,
        "layers": 1,
    }
    shapes = {
        "model_cfg": {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text},
        "pyramid": PYRAMID,
    }
    names = clip.build_small(shapes)
    pyramid = masks.model.pixel_level_module.encoder.pyramid
    names.visual.conv1.pyramid.load_state_dict(pyramid.state_dict())  # type: ignore[union-attr]
    clip.save_small(names, shapes, tokenizer, places["clip"])
    found = {name: str(path) for name, path in places.items()}
    model, _ = build_fisa(found["generator"], found["clip"], Adaptation(seve_width=8))
    save_fisa(model, places["weights"], generator=found["generator"], clip=found["clip"])
    return found


@pytest.fixture()
def build(folders: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Build a segmenter of the folders, options as given."""
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path / "cache"))

    def make(dtype: str = "float32", **options: Any) -> FisaSegmenter:
        config = FisaConfig(**{**folders, "short_side": 96, **options})
        return FisaSegmenter(config, device="cpu", dtype=dtype)

    return make
