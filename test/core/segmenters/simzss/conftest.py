"""A tiny SimZSS with random weights, saved and loaded like a real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ovseg_ros.models.tokenizer import Tokenizer
from ovseg_ros.segmenters.simzss.config import SimZSSConfig
from ovseg_ros.segmenters.simzss.model import Architecture, SimZSS, save_simzss
from ovseg_ros.segmenters.simzss.segmenter import SimZSSSegmenter


@pytest.fixture(scope="session")
def make_model(tokenizer: Tokenizer) -> Callable[..., SimZSS]:
    """Builds a model of 4-pixel patches, trained at 16x24 pixels as far as it knows."""

    def make(*, seed: int = 0, denoiser: int = 0, **visual: object) -> SimZSS:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            model = SimZSS(
                Architecture(
                    visual={
                        "img_size": 24,
                        "patch_size": 4,
                        "embed_dim": 16,
                        "depth": 2,
                        "num_heads": 2,
                        **visual,
                    },
                    text={
                        "context_length": tokenizer.context_length,
                        "vocab_size": tokenizer.vocab_size,
                        "width": 16,
                        "heads": 2,
                        "layers": 2,
                    },
                    denoiser=denoiser,
                    image_hw=(16, 24),
                )
            )
            for parameter in model.parameters():  # norms and biases too: nothing is trivial
                parameter.data += 0.2 * torch.randn_like(parameter)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def weights(
    make_model: Callable[..., SimZSS],
    tokenizer: Tokenizer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A saved model."""
    folder = tmp_path_factory.mktemp("simzss") / "weights"
    save_simzss(make_model(), tokenizer, folder)
    return folder


@pytest.fixture(autouse=True)
def _own_text_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps embeddings out of the user's cache and away from other tests."""
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make_segmenter(weights: Path) -> Callable[..., SimZSSSegmenter]:
    """Builds a segmenter from the saved model and options."""

    def make(*, dtype: str = "float32", **options: object) -> SimZSSSegmenter:
        config = SimZSSConfig(**{"weights": str(weights), "templates": "photo", **options})
        return SimZSSSegmenter(config, device="cpu", dtype=dtype)

    return make
