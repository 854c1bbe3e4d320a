"""A tiny BLIP with random weights, saved and loaded like a real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ovseg_ros.discovery.captioner import Captioner, load_captioner
from ovseg_ros.discovery.config import CaptionerConfig

WORDS = (
    "a picture of red mug and yellow duck on the wooden table robot arm teddy bear soccer ball "
    "lego brick domino toy race car tray floor small blue next to behind two ducks with"
)


@pytest.fixture(scope="session")
def blip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a BLIP of two thin layers with a word-level vocabulary."""
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    folder = tmp_path_factory.mktemp("blip")
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*specials, *dict.fromkeys(WORDS.split()), "[DEC]"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), additional_special_tokens=["[DEC]"])
    config = BlipConfig(
        text_config={
            "vocab_size": len(vocabulary),
            "hidden_size": 32,
            "encoder_hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 32,
            "bos_token_id": vocabulary.index("[DEC]"),
            "sep_token_id": vocabulary.index("[SEP]"),
            "eos_token_id": vocabulary.index("[SEP]"),
            "pad_token_id": 0,
            "initializer_range": 0.5,
        },
        vision_config={
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 64,
            "patch_size": 16,
            "initializer_range": 0.3,
        },
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = BlipForConditionalGeneration(config)
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def captioner(blip_folder: Path) -> Captioner:
    """The tiny BLIP on the CPU in float32, sampling twice."""
    config = CaptionerConfig(weights=str(blip_folder), passes=2, max_length=12)
    return load_captioner(config, device="cpu", dtype="float32")


@pytest.fixture
def image() -> np.ndarray:
    """A noisy picture of four coloured quarters, (60, 90, 3) uint8."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 40, (60, 90, 3), dtype=np.uint8)
    picture[:30, :45, 0] += 200
    picture[30:, 45:, 1] += 200
    picture[:30, 45:, 2] += 200
    return picture
