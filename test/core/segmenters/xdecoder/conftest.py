"""A tiny X-Decoder with random weights, saved and loaded like a real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ovseg_ros.models.tokenizer import Tokenizer, train_tokenizer
from ovseg_ros.segmenters.xdecoder.architecture import Architecture
from ovseg_ros.segmenters.xdecoder.checkpoint import save_xdecoder
from ovseg_ros.segmenters.xdecoder.config import XDecoderConfig
from ovseg_ros.segmenters.xdecoder.model import XDecoder
from ovseg_ros.segmenters.xdecoder.segmenter import XDecoderSegmenter

TINY = Architecture(
    dim=8,
    depths=(1, 2, 1, 1),
    focal_levels=2,
    queries=7,
    width=32,
    heads=8,
    feedforward=24,
    encoder_layers=2,
    decoder_layers=4,
    groups=32,  # published
    text_width=16,
    text_layers=2,
    text_heads=8,
    context_length=40,
    vocab_size=300,
)
TINY_T = replace(TINY, depthwise=True, stem_padding=3)


@torch.no_grad()
def make_model(config: Architecture, seed: int = 0) -> XDecoder:
    """Return a model whose parameters are all random: no norm, bias or scale is trivial."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = XDecoder(config)
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        model.text.token_embedding.weight.normal_()  # words differ clearly
        model.logit_scale.fill_(3.0)
    return model.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def model() -> XDecoder:
    return make_model(TINY)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a saved model, its weights being float16 numbers."""
    folder = tmp_path_factory.mktemp("xdecoder") / "weights"
    save_xdecoder(make_model(TINY), _tokenizer(), folder)
    return folder


def _tokenizer() -> Tokenizer:
    captions = ["a red mug and a yellow duck on a wooden table", "a robot arm above a tray"]
    return train_tokenizer(captions, vocab_size=300, context_length=TINY.context_length)


@pytest.fixture(autouse=True)
def _own_text_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps embeddings out of the user's cache and away from other tests."""
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make_segmenter(weights: Path) -> Callable[..., XDecoderSegmenter]:
    """Builds a segmenter from the saved model and options."""

    def make(*, dtype: str = "float32", **options: object) -> XDecoderSegmenter:
        config = XDecoderConfig(**{"weights": str(weights), "templates": "photo", **options})
        return XDecoderSegmenter(config, device="cpu", dtype=dtype)

    return make
