"""TIPSv2's towers against a literal restatement: every head, every token, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.models.class_text import Prompt
from ovseg_ros.segmenters.tipsv2.model import (
    TextTower,
    load_tipsv2,
    values,
    whole_patches,
)

HEADS = 4


def norm(state: dict[str, Tensor], key: str, x: Tensor, eps: float) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    spread = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (spread + eps).sqrt() * state[f"{key}.weight"] + state[f"{key}.bias"]


def linear(state: dict[str, Tensor], key: str, x: Tensor) -> Tensor:
    return x @ state[f"{key}.weight"].T + state[f"{key}.bias"]


def attend(state: dict[str, Tensor], key: str, x: Tensor, out: str) -> Tensor:
    """Self-attention of tokens (N, D), head by head."""
    q, k, v = (linear(state, f"{key}.{part}_proj", x) for part in "qkv")
    size = x.shape[1] // HEADS
    heads = []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        heads.append(scores.softmax(-1) @ v[:, part])
    return linear(state, f"{key}.{out}", torch.cat(heads, 1))


def swiglu(state: dict[str, Tensor], key: str, x: Tensor) -> Tensor:
    gate = F.silu(linear(state, f"{key}.gate_proj", x))
    return linear(state, f"{key}.down_proj", gate * linear(state, f"{key}.up_proj", x))


def slow_values(state: dict[str, Tensor], image: Tensor) -> Tensor:
    """The published features of an image (3, H, W) in 0..1, (h, w, D)."""
    kernel, bias = (
        state[f"embeddings.patch_embeddings.projection.{k}"] for k in ("weight", "bias")
    )
    high, wide = (side // 14 for side in image.shape[1:])
    table = state["embeddings.position_embeddings"][0]
    grid = table[1:].T.reshape(1, -1, 4, 4)
    grid = F.interpolate(grid, size=(high, wide), mode="bilinear", antialias=True)[0]
    tokens = [state["embeddings.cls_token"][0, 0] + table[0]]
    tokens += list(state["embeddings.register_tokens"][0])
    for row in range(high):
        for column in range(wide):
            patch = image[:, 14 * row : 14 * row + 14, 14 * column : 14 * column + 14]
            tokens.append((kernel * patch).sum((1, 2, 3)) + bias + grid[:, row, column])
    x = torch.stack(tokens)
    count = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("encoder.layer."))
    for number in range(count):
        layer = f"encoder.layer.{number}"
        inner = norm(state, f"{layer}.norm1", x, 1e-6)
        if number < count - 1:
            mixed = attend(state, f"{layer}.attention", inner, "o_proj")
        else:  # no token sees another one
            mixed = linear(state, f"{layer}.attention.v_proj", inner)
            mixed = linear(state, f"{layer}.attention.o_proj", mixed)
        x = x + state[f"{layer}.layer_scale1.lambda1"] * mixed
        inner = norm(state, f"{layer}.norm2", x, 1e-6)
        if f"{layer}.mlp.fc1.weight" in state:
            inner = linear(
                state, f"{layer}.mlp.fc2", F.gelu(linear(state, f"{layer}.mlp.fc1", inner))
            )
        else:
            inner = swiglu(state, f"{layer}.mlp", inner)
        x = x + state[f"{layer}.layer_scale2.lambda1"] * inner
    x = norm(state, "layernorm", x, 1e-6)
    return x[-high * wide :].view(high, wide, -1)


@pytest.mark.parametrize(
    "vision", [{}, {"use_swiglu_ffn": True}, {"num_register_tokens": 3, "mlp_ratio": 1.5}]
)
@pytest.mark.parametrize("size", [(56, 56), (42, 70), (14, 28)])
@torch.inference_mode()
def test_values_are_those_of_the_protocol(
    save_model: Callable[..., None],
    vision: dict[str, object],
    size: tuple[int, int],
    tmp_path: Path,
):
    save_model(tmp_path, **vision)
    _, model = load_tipsv2(str(tmp_path))
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    found = values(model.vision_model, images)
    expected = [slow_values(model.vision_model.state_dict(), image) for image in images]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-4)
    usual = model.get_image_features(images).last_hidden_state[:, -found[0, ..., 0].numel() :]
    assert (usual - found.flatten(1, 2)).abs().max() > 0.01  # and not those of attention


@torch.inference_mode()
def slow_sentence(state: dict[str, Tensor], ids: list[int]) -> Tensor:
    """Mean of a sentence's tokens, nothing padded."""
    width = state["embeddings.token_embedding.weight"].shape[1]
    rows = []
    for place, token in enumerate(ids):
        angles = [place / 10000 ** (i / (width // 2 - 1)) for i in range(width // 2)]
        code = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        word = state["embeddings.token_embedding.weight"][token] * math.sqrt(width)
        rows.append(word + torch.tensor(code))
    x = torch.stack(rows)
    for number in range(2):
        layer = f"encoder.layers.{number}"
        inner = norm(state, f"{layer}.layer_norm1", x, 1e-5)
        x = x + attend(state, f"{layer}.self_attn", inner, "out_proj")
        inner = norm(state, f"{layer}.layer_norm2", x, 1e-5)
        x = x + linear(state, f"{layer}.mlp.fc2", linear(state, f"{layer}.mlp.fc1", inner).relu())
    return norm(state, "final_layer_norm", x, 1e-5).mean(0)


def test_sentences_are_the_mean_of_their_tokens(weights: Path):
    tokenizer, model = load_tipsv2(str(weights))
    tower = TextTower(model.text_model, tokenizer, torch.device("cpu"), keep=False)
    names = ["Mug", "wooden table", "x" * 100]  # one is longer than 64 tokens
    found = tower.encode([Prompt("a photo of {}s.", name) for name in names])
    for name, vector in zip(names, found, strict=True):
        letters = f"a photo of {name.lower()}s.".replace(" ", "\u2581")
        ids = tokenizer.convert_tokens_to_ids(list(f"\u2581{letters}"))[:64]
        expected = slow_sentence(model.text_model.state_dict(), ids)
        np.testing.assert_allclose(vector, expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("keep", "device", "moves"),
    [(False, "cuda", ["cuda", "cpu"]), (True, "cuda", ["cuda"]), (False, "cpu", ["cpu"])],
)
def test_the_text_tower_leaves_the_gpu_when_idle(
    weights: Path, keep: bool, device: str, moves: list[str]
):
    tokenizer, model = load_tipsv2(str(weights))
    tower = TextTower(model.text_model, tokenizer, torch.device("cpu"), keep=keep)
    tower._device = torch.device(device)
    went: list[str] = []
    prompts = [Prompt("{}", f"thing {number}") for number in range(300)]  # more than one chunk
    with (
        mock.patch.object(tower._text, "to", side_effect=lambda place: went.append(str(place))),
        mock.patch.object(tower._text, "cpu", side_effect=lambda: went.append("cpu")),
        mock.patch.object(tower, "_read", side_effect=lambda part: torch.zeros(len(part), 4)),
        mock.patch("torch.cuda.empty_cache"),
    ):
        assert tower.encode(prompts).shape == (300, 4)
        assert went == moves
        went.clear()
        tower._read.side_effect = RuntimeError("out of memory")
        with pytest.raises(RuntimeError):
            tower.encode(prompts)
        assert went == moves


@pytest.mark.parametrize(
    ("size", "whole"), [((28, 42), (28, 42)), ((29, 42), (42, 42)), ((1, 1), (14, 14))]
)
def test_sides_become_whole_patches(size: tuple[int, int], whole: tuple[int, int]):
    assert whole_patches(torch.rand(1, 3, *size), 14).shape == (1, 3, *whole)


def test_an_old_transformers_is_named(weights: Path):
    with (
        mock.patch.dict("sys.modules", {"transformers": mock.Mock(spec=[], __version__="4.0")}),
        pytest.raises(ValueError, match="needs a transformers that has Tipsv2Model"),
    ):
        load_tipsv2(str(weights))
