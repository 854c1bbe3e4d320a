"""A chat model that sees is asked and answers: tiny random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ovseg_ros.image_chat import load_image_chat
from ovseg_ros.segmenters.pnp_ovss.filters import ChatFilter

TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)
WORDS = "mug duck table which of the following can be seen in this image answer"


@pytest.fixture(scope="module")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA of one thin layer that says the same word whatever it sees."""
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
    pieces = ["<pad>", "<unk>", "<s>", "</s>", "<image>", *WORDS.split()]
    words = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", bos_token="<s>",
        eos_token="</s>", additional_special_tokens=["<image>"],
    )  # fmt: skip
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**shape, image_size=32, patch_size=16),
        text_config=LlamaConfig(**shape, vocab_size=len(pieces), num_key_value_heads=2),
        image_token_index=pieces.index("<image>"),
        vision_feature_layer=-1,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = None
    model.generation_config.suppress_tokens = [i for i, p in enumerate(pieces) if p != "duck"]
    model.save_pretrained(folder)
    LlavaProcessor(
        CLIPImageProcessor(size={"height": 32, "width": 32}, crop_size=32), tokenizer,
        patch_size=16, vision_feature_select_strategy="default", chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_a_model_is_asked_and_understood(llava_folder: Path, images: np.ndarray):
    ask = load_image_chat(str(llava_folder), max_tokens=3, device="cpu", dtype="float32").ask
    assert ask(images[0], "which of the following can be seen ?").split() == ["duck"] * 3
    assert ChatFilter(ask).keep(images, ["mug", "duck", "table"]) == [[1], [1]]
