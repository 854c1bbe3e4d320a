"""A tiny TIPSv2 with random weights, saved in the published layout and loaded like a real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ovseg_ros.segmenters.tipsv2.config import Tipsv2Config
from ovseg_ros.segmenters.tipsv2.segmenter import Tipsv2Segmenter


def save_tiny(folder: Path, **vision: object) -> None:
    """Write a model of 14-pixel patches, trained at 56 pixels as far as it knows."""
    from transformers import Tipsv2Config as Shapes
    from transformers import Tipsv2Model, Tipsv2Tokenizer

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = Tipsv2Model(
            Shapes(
                vision_config={
                    "hidden_size": 32,
                    "num_hidden_layers": 3,
                    "num_attention_heads": 4,
                    "image_size": 56,
                    **vision,
                },
                text_config={
                    "hidden_size": 32,
                    "intermediate_size": 48,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 4,
                    "vocab_size": 128,
                },
            )
        )
        for name, parameter in model.named_parameters():  # norms, biases, registers: all matter
            if name != "temperature":
                parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("temperature")  # published files have none
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    pieces = ["<pad>", "<unk>", "\u2581", *map(chr, range(33, 127))]
    Tipsv2Tokenizer(vocab={piece: i for i, piece in enumerate(pieces)}).save_pretrained(folder)


@pytest.fixture(scope="session")
def save_model() -> Callable[..., None]:
    """Writes a tiny model to a folder, with options of its vision tower."""
    return save_tiny


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model."""
    folder = tmp_path_factory.mktemp("tipsv2") / "weights"
    save_tiny(folder)
    return folder


@pytest.fixture(autouse=True)
def _own_text_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps embeddings out of the user's cache and away from other tests."""
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make_segmenter(weights: Path) -> Callable[..., Tipsv2Segmenter]:
    """Builds a segmenter from the saved model and options."""

    def make(*, dtype: str = "float32", **options: object) -> Tipsv2Segmenter:
        config = Tipsv2Config(**{"weights": str(weights), "short_side": 56, **options})
        return Tipsv2Segmenter(config, device="cpu", dtype=dtype)

    return make
