"""The authors' files: every key known, every parameter there, or nothing is loaded."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ovseg_ros.models.tokenizer import ClipTokenizer
from ovseg_ros.segmenters.xdecoder.architecture import FOCAL_L, FOCAL_T, Architecture
from ovseg_ros.segmenters.xdecoder.checkpoint import (
    convert,
    fit,
    load_official,
    load_xdecoder,
    read_architecture,
)
from ovseg_ros.segmenters.xdecoder.model import XDecoder

from .conftest import TINY, TINY_T, make_model


def official_shapes(c: Architecture) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an authors' file, written down from their modules' names."""
    found: dict[str, tuple[int, ...]] = {}

    def add(name: str, *shape: int) -> None:
        found[name] = shape

    def linear(name: str, inside: int, outside: int) -> None:
        add(f"{name}.weight", outside, inside)
        add(f"{name}.bias", outside)

    def norm(name: str, width: int) -> None:
        add(f"{name}.weight", width)
        add(f"{name}.bias", width)

    def conv(name: str, inside: int, outside: int, kernel: int) -> None:
        add(f"{name}.weight", outside, inside, kernel, kernel)
        add(f"{name}.bias", outside)

    def attention(name: str, width: int) -> None:
        add(f"{name}.in_proj_weight", 3 * width, width)
        add(f"{name}.in_proj_bias", 3 * width)
        linear(f"{name}.out_proj", width, width)

    conv("backbone.patch_embed.proj", 3, c.dim, 7)
    norm("backbone.patch_embed.norm", c.dim)
    for i, depth in enumerate(c.depths):
        dim = c.dim * 2**i
        for j in range(depth):
            block = f"backbone.layers.{i}.blocks.{j}"
            add(f"{block}.gamma_1", dim)
            add(f"{block}.gamma_2", dim)
            norm(f"{block}.norm1", dim)
            norm(f"{block}.norm2", dim)
            linear(f"{block}.modulation.f", dim, 2 * dim + c.focal_levels + 1)
            conv(f"{block}.modulation.h", dim, dim, 1)
            linear(f"{block}.modulation.proj", dim, dim)
            for k in range(c.focal_levels):
                side = c.focal_window + 2 * k
                add(f"{block}.modulation.focal_layers.{k}.0.weight", dim, 1, side, side)
            linear(f"{block}.mlp.fc1", dim, 4 * dim)
            linear(f"{block}.mlp.fc2", 4 * dim, dim)
            if c.depthwise:
                conv(f"{block}.dw1", 1, dim, 3)
                conv(f"{block}.dw2", 1, dim, 3)
        if i < 3:
            conv(f"backbone.layers.{i}.downsample.proj", dim, 2 * dim, 3)
            norm(f"backbone.layers.{i}.downsample.norm", 2 * dim)
        norm(f"backbone.norm{i}", dim)
    pixels = "sem_seg_head.pixel_decoder"
    conv(f"{pixels}.input_proj", 8 * c.dim, c.width, 1)
    for i in range(c.encoder_layers):
        layer = f"{pixels}.transformer.encoder.layers.{i}"
        attention(f"{layer}.self_attn", c.width)
        linear(f"{layer}.linear1", c.width, c.feedforward)
        linear(f"{layer}.linear2", c.feedforward, c.width)
        norm(f"{layer}.norm1", c.width)
        norm(f"{layer}.norm2", c.width)
    for i in range(1, 5):
        add(f"{pixels}.layer_{i}.weight", c.width, c.width, 3, 3)
        norm(f"{pixels}.layer_{i}.norm", c.width)
        if i < 4:
            add(f"{pixels}.adapter_{i}.weight", c.width, c.dim * 2 ** (i - 1), 1, 1)
            norm(f"{pixels}.adapter_{i}.norm", c.width)
    conv(f"{pixels}.mask_features", c.width, c.width, 3)
    head = "sem_seg_head.predictor"
    add(f"{head}.query_feat.weight", c.queries, c.width)
    add(f"{head}.query_embed.weight", c.queries, c.width)
    add(f"{head}.level_embed.weight", 3, c.width)
    norm(f"{head}.decoder_norm", c.width)
    add(f"{head}.class_embed", c.width, c.text_width)
    for i in range(3):
        linear(f"{head}.mask_embed.layers.{i}", c.width, c.width)
    for i in range(c.decoder_layers):
        attention(f"{head}.transformer_self_attention_layers.{i}.self_attn", c.width)
        norm(f"{head}.transformer_self_attention_layers.{i}.norm", c.width)
        attention(f"{head}.transformer_cross_attention_layers.{i}.multihead_attn", c.width)
        norm(f"{head}.transformer_cross_attention_layers.{i}.norm", c.width)
        linear(f"{head}.transformer_ffn_layers.{i}.linear1", c.width, c.feedforward)
        linear(f"{head}.transformer_ffn_layers.{i}.linear2", c.feedforward, c.width)
        norm(f"{head}.transformer_ffn_layers.{i}.norm", c.width)
    words = f"{head}.lang_encoder"
    add(f"{words}.lang_proj", c.text_width, c.text_width)
    add(f"{words}.logit_scale")
    add(f"{words}.lang_encoder.token_embedding.weight", c.vocab_size, c.text_width)
    add(f"{words}.lang_encoder.positional_embedding", c.context_length, c.text_width)
    for i in range(c.text_layers):
        block = f"{words}.lang_encoder.resblocks.{i}"
        attention(f"{block}.attn", c.text_width)
        norm(f"{block}.ln_1", c.text_width)
        norm(f"{block}.ln_2", c.text_width)
        linear(f"{block}.mlp.c_fc", c.text_width, 4 * c.text_width)
        linear(f"{block}.mlp.c_proj", 4 * c.text_width, c.text_width)
    norm(f"{words}.lang_encoder.ln_final", c.text_width)
    # What only captioning and retrieval use.
    add("backbone_proj", 8 * c.dim, c.text_width)
    add(f"{head}.caping_embed", c.width, c.text_width)
    add(f"{head}.pos_embed_caping.weight", c.context_length, c.width)
    both = c.queries + c.context_length
    add(f"{head}.self_attn_mask", 1, both, both)
    return found


def official(c: Architecture, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * 0.2
        for name, shape in official_shapes(c).items()
    }


@pytest.mark.parametrize(
    ("config", "tensors", "millions"), [(FOCAL_L, 929, 341.6), (FOCAL_T, 925 - 200, 164.5)]
)
def test_published_sizes_fit_key_by_key(config: Architecture, tensors: int, millions: float):
    with torch.device("meta"):
        file = {name: torch.empty(shape) for name, shape in official_shapes(config).items()}
        model = XDecoder(config)
    assert len(file) == tensors
    assert round(sum(value.numel() for value in file.values()) / 1e6, 1) == millions
    found = convert(file)
    assert read_architecture(found.state) == config
    report = fit(model, found)
    report.check("focal")
    assert len(report.loaded) == tensors - 4
    assert report.transposed == ("decoder.class_embed.weight", "text.projection.weight")
    assert report.ignored == (
        "backbone_proj",
        "sem_seg_head.predictor.caping_embed",
        "sem_seg_head.predictor.pos_embed_caping.weight",
        "sem_seg_head.predictor.self_attn_mask",
    )


@pytest.mark.parametrize("config", [TINY, TINY_T])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_load_tensor_by_tensor(config: Architecture, suffix: str, tmp_path: Path):
    file = official(config)
    file["criterion.empty_weight"] = torch.ones(3)
    path = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save(file, path)
    else:
        save_file(file, path)
    model, report = load_official(path)
    assert model.config == config
    assert "criterion.empty_weight" in report.ignored
    assert not (report.missing or report.unexpected or report.misshapen)
    head = "sem_seg_head.predictor."
    third = model.decoder.layers[2]
    pairs = {
        "backbone.layers.1.blocks.1.mlp.fc1.weight": model.backbone.layers[1]
        .blocks[1]
        .mlp.fc1.weight,
        "sem_seg_head.pixel_decoder.adapter_2.norm.bias": model.pixel_decoder.adapters[1].norm.bias,
        "sem_seg_head.pixel_decoder.layer_4.weight": model.pixel_decoder.layers[3].weight,
        f"{head}transformer_cross_attention_layers.2.multihead_attn.in_proj_weight": (
            third.cross_attention.attention.in_proj_weight
        ),
        f"{head}transformer_self_attention_layers.2.norm.weight": third.self_attention.norm.weight,
        f"{head}lang_encoder.lang_encoder.resblocks.1.ln_2.bias": model.text.resblocks[1].ln_2.bias,
        f"{head}lang_encoder.logit_scale": model.logit_scale,
    }
    for name, ours in pairs.items():
        torch.testing.assert_close(ours, file[name], rtol=0, atol=0)
    d, words = torch.randn(3, TINY.width), torch.randn(3, TINY.text_width)
    torch.testing.assert_close(model.decoder.class_embed(d), d @ file[f"{head}class_embed"])
    torch.testing.assert_close(
        model.text.projection(words), words @ file[f"{head}lang_encoder.lang_proj"]
    )
    images = model.normalise(torch.rand(1, 3, 40, 64) * 255)
    decoded, features = model(images)  # nothing was left on "meta"
    assert decoded[-1].masks(features).isfinite().all()


def test_what_does_not_fit_is_named(tmp_path: Path):
    file = official(TINY)
    del file["backbone.norm2.bias"]
    file["sem_seg_head.predictor.bbox_embed.weight"] = torch.zeros(4)
    name = "sem_seg_head.predictor.query_embed.weight"
    file[name] = file[name][:-1]
    torch.save(file, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="is no X-Decoder of ours") as error:
        load_official(tmp_path / "model.pt")
    text = str(error.value)
    assert "missing: backbone.norm2.bias" in text
    assert "unexpected: sem_seg_head.predictor.bbox_embed.weight" in text
    assert "decoder.query_embed.weight (expected (7, 32), got (6, 32))" in text
    assert "ignored: backbone_proj" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"cut", "no checkpoint of torch, or a damaged one"),
        ({"model": {}}, "expected a dict of tensors .* got a dict of model"),
        ({"epoch": 3}, "expected a dict of tensors .* got a dict of epoch"),
        ([1, 2], "expected a dict of tensors .* got list"),
        ({"backbone.x": torch.zeros(1)}, "expected an X-Decoder with pixel_decoder.mask_features"),
    ],
)
def test_other_files_are_refused(content: object, reason: str, tmp_path: Path):
    path = tmp_path / "model.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=reason):
        load_official(path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        load_official(tmp_path / "nowhere.pt")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda file: {"model": file},
        lambda file: {"state_dict": file, "epoch": 3, "best": 0.5},
        lambda file: {f"module.{key}": value for key, value in file.items()},
        lambda file: {"model": {f"module.{key}": value for key, value in file.items()}},
    ],
)
@pytest.mark.parametrize("archive", [True, False])  # False: the format before torch 1.6
def test_wrapped_prefixed_and_old_files_load(wrap, archive: bool, tmp_path: Path):
    file = official(TINY)
    plain, _ = load_official(_save(file, tmp_path / "plain.pt"))
    path = tmp_path / "model.pt"
    torch.save(wrap(file), path, _use_new_zipfile_serialization=archive)
    model, report = load_official(path)
    assert not (report.missing or report.unexpected or report.misshapen)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, rtol=0, atol=0)


def test_keys_that_nobody_knows_are_named_as_in_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = official(TINY)
    extra = "sem_seg_head.predictor.transformer_ffn_layers.0.gate.weight"
    file |= {extra: torch.zeros(4), "ema_steps": torch.zeros(1)}
    with caplog.at_level(logging.WARNING):
        model, report = load_official(_save(file, tmp_path / "model.pt"))
    assert report.unexpected == ("ema_steps", extra)
    assert f"left out ema_steps, {extra}" in caplog.text
    assert model.config == TINY


def _save(file: dict[str, torch.Tensor], path: Path) -> Path:
    torch.save(file, path)
    return path


def test_own_weights_come_back_as_float16_numbers(weights: Path):
    model, tokenizer = load_xdecoder(weights)
    assert model.config == TINY
    assert tokenizer.context_length == TINY.context_length
    for key, value in make_model(TINY).state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value.half().float(), rtol=0, atol=0)


def test_a_file_has_clips_tokenizer(tmp_path: Path):
    torch.save(official(TINY), tmp_path / "model.pt")
    assert isinstance(load_xdecoder(tmp_path / "model.pt")[1], ClipTokenizer)


def test_damaged_folders_are_refused(weights: Path, tmp_path: Path):
    folder = shutil.copytree(weights, tmp_path / "a")
    state = load_file(folder / "model.safetensors")
    del state["logit_scale"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match="missing: logit_scale"):
        load_xdecoder(folder)
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="is damaged"):
        load_xdecoder(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected model\.safetensors"):
        load_xdecoder(folder)
    folder = shutil.copytree(weights, tmp_path / "b")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 20}))
    with pytest.raises(ValueError, match="token_embedding"):
        load_xdecoder(folder)
