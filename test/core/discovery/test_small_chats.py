"""Tiny random models of the classes that the chat presets name, through their real processors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ovseg_ros.config import weights_of
from ovseg_ros.discovery.config import VlmConfig
from ovseg_ros.discovery.vlm import load_vlm
from ovseg_ros.language.nouns import NounConfig
from ovseg_ros.presets import load_preset

WORDS = ["mug", "duck", "table", "robot", "arm", ",", "a", "red"]


def build_tokenizer(specials: list[str]) -> PreTrainedTokenizerFast:
    vocabulary = {w: i for i, w in enumerate(["<pad>", "<unk>", "</s>", *specials, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
        additional_special_tokens=specials,
    )


def template(image: str) -> str:
    """A chat template with a mark for the image, which notes whether thinking is off."""
    return (
        "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}"
        f"{image}"
        "{% else %} {{ c['text'] }} {% endif %}{% endfor %}{% endfor %}"
        "{% if enable_thinking is defined and not enable_thinking %} red {% endif %}"
    )


def save_qwen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3_5Config,
        Qwen3_5ForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = build_tokenizer(marks)
    start, end, picture, video = tokenizer.convert_tokens_to_ids(marks)
    config = Qwen3_5Config(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "layer_types": ["linear_attention", "full_attention"],
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
            "initializer_range": 0.5,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.5,
                "mrope_section": [2, 1, 1],
                "mrope_interleaved": True,
            },
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 16,
            "initializer_range": 0.3,
        },
        image_token_id=picture,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    Qwen3_5ForConditionalGeneration(config).save_pretrained(folder)
    images = Qwen2VLImageProcessor(
        patch_size=16, size={"shortest_edge": 32 * 32, "longest_edge": 128 * 128}
    )
    Qwen3VLProcessor(
        images,
        tokenizer,
        Qwen3VLVideoProcessor(),
        chat_template=template("<|vision_start|> <|image_pad|> <|vision_end|>"),
    ).save_pretrained(folder)


def save_smolvlm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )
    from transformers.models.smolvlm import processing_smolvlm

    # It spells the number of a video's frames; still images need none, but it asks for it.
    monkeypatch.setattr(processing_smolvlm, "num2words", str)
    marks = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"]
    tokenizer = build_tokenizer([*marks, "<row_1_col_1>"])
    config = SmolVLMConfig(
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "initializer_range": 0.5,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "initializer_range": 0.3,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    SmolVLMForConditionalGeneration(config).save_pretrained(folder)
    SmolVLMProcessor(
        SmolVLMImageProcessor(
            size={"longest_edge": 32}, max_image_size={"longest_edge": 32}, do_image_splitting=False
        ),
        tokenizer,
        SmolVLMVideoProcessor(size={"longest_edge": 32}, max_image_size={"longest_edge": 32}),
        image_seq_len=4,
        chat_template=template("<image>"),
    ).save_pretrained(folder)


@pytest.mark.parametrize(
    ("save", "class_name"),
    [
        (save_qwen, "Qwen3_5ForConditionalGeneration"),
        (save_smolvlm, "SmolVLMForConditionalGeneration"),
    ],
)
def test_it_answers_about_images(
    save: Callable[[Path, pytest.MonkeyPatch], None],
    class_name: str,
    tmp_path: Path,
    image: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        save(tmp_path, monkeypatch)
    config = VlmConfig(weights=str(tmp_path), max_tokens=6, tiles=2, question="a red mug ,")
    vlm = load_vlm(config, NounConfig(), device="cpu", dtype="float32")
    assert type(vlm.chat.model).__name__ == class_name
    seen: list[dict[str, Any]] = []
    generate = vlm.chat.model.generate
    monkeypatch.setattr(
        vlm.chat.model, "generate", lambda **inputs: (seen.append(inputs), generate(**inputs))[1]
    )
    prompts: list[str] = []
    fill = vlm.chat.processor.apply_chat_template
    monkeypatch.setattr(
        vlm.chat.processor,
        "apply_chat_template",
        lambda *turns, **options: prompts.append(fill(*turns, **options)) or prompts[-1],
    )
    found = vlm.discover(image)
    assert found.captions == vlm.discover(image).captions
    assert len(found.captions) == 5
    assert any(found.captions)
    pixels = [inputs["pixel_values"] for inputs in seen[:5]]
    assert all(p.dtype == torch.float32 and p.abs().max() > 0 for p in pixels)
    assert not torch.equal(pixels[1], pixels[4])
    assert prompts[0].endswith(" red ")  # the template was told not to think


@pytest.mark.parametrize(
    ("preset", "weights"),
    [
        ("vlm", "Qwen/Qwen3.5-0.8B"),
        ("vlm_smol", "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"),
    ],
)
def test_presets(preset: str, weights: str):
    config = load_preset(preset)
    assert (config.segmenter.name, config.discovery.name) == ("tipsv2", "vlm")
    assert config.discovery.vlm.tiles == 2
    assert dict(weights_of(config)) == {
        "segmenter.tipsv2.weights": "google/tipsv2-l14",
        "discovery.vlm.weights": weights,
    }
