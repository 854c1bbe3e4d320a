"""What several parts of the core are tested with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ovseg_ros.models.tokenizer import Tokenizer, train_tokenizer

from .small_cell import cell, frames  # noqa: F401  (fixtures)

CAPTIONS = (
    "a red mug and a yellow duck on a wooden table",
    "a photo of a robot arm above a tray, in front of the white wall",
    "there is a teddy bear in the scene.",
)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """Let torch draw the same in every run, whichever tests ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A trained tokenizer of 24 tokens."""
    return train_tokenizer(CAPTIONS, vocab_size=320, context_length=24)


@pytest.fixture(scope="session")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a LLaVA of thin layers with random weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("llava")
    words = ["mug", "duck", "table", "teddy", "bear", "robot", "arm", ",", "a", "red"]
    vocabulary = {w: i for i, w in enumerate(["<pad>", "<unk>", "<s>", "</s>", "<image>", *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )
    template = (
        "{% for m in messages %}USER: {% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }}{% endif %}{% endfor %} "
        "{% endfor %}ASSISTANT:"
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=16,
        ),
        text_config=LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=128,
            initializer_range=0.5,
            bos_token_id=2,
            eos_token_id=3,
            pad_token_id=0,
        ),
        image_token_index=4,
        vision_feature_layer=-2,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def two_processes() -> Callable[..., None]:
    """Run ``python FILE FOLDER NUMBER WORDS...`` as processes 0 and 1, both to a good end.

    They meet in a file of the folder: a port that was free may be taken by then.
    """

    def run(file: str, folder: Path, *words: str) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        running = [
            subprocess.Popen(
                [sys.executable, file, str(folder), str(number), *words],
                env=environment | {"OMP_NUM_THREADS": "1"},
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(2)
        ]
        ends = [process.communicate(timeout=170) for process in running]
        assert [process.returncode for process in running] == [0, 0], [said for _, said in ends]

    return run
