"""The towers equal their parts, written anew or from the libraries; weights come and go whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from open_clip.transformer import TextTransformer
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer

from ovseg_ros.models.tokenizer import Tokenizer
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.segmenters.simzss.model import SimZSS, load_simzss, save_simzss, unit

MakeModel = Callable[..., SimZSS]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 16, 28, generator=torch.Generator().manual_seed(3))


def plain_vit(model: SimZSS) -> VisionTransformer:
    """timm's ViT with the model's weights, built apart."""
    vit = VisionTransformer(
        num_classes=0, global_pool="", dynamic_img_size=True, **model.config.visual
    )
    vit.load_state_dict(model.visual.vit.model.state_dict())
    return vit.eval()


@torch.inference_mode()
@pytest.mark.parametrize("registers", [0, 3])
def test_the_vision_tower_is_timms(make_model: MakeModel, images: torch.Tensor, registers: int):
    model = make_model(reg_tokens=registers)
    first, patches = model.encode_image(images)
    tokens = plain_vit(model).forward_features(images)
    assert patches.shape == (2, 4, 7, 16)
    torch.testing.assert_close(first, tokens[:, 0])
    torch.testing.assert_close(patches.flatten(1, 2), tokens[:, 1 + registers :])


@torch.inference_mode()
def test_the_denoiser_is_one_pre_norm_block_on_moved_patches(
    make_model: MakeModel, images: torch.Tensor
):
    model = make_model(denoiser=5)
    block = model.visual.denoiser
    tokens = plain_vit(model).forward_features(images)
    table = model.visual.pos_embed.view(1, 5, 5, 16).permute(0, 3, 1, 2)
    moves = F.interpolate(table, size=(4, 7), mode="bicubic", antialias=True)
    x = tokens[:, 1:] + moves.permute(0, 2, 3, 1).flatten(1, 2)

    def norm(x: torch.Tensor, layer: torch.nn.LayerNorm) -> torch.Tensor:
        return F.layer_norm(x, (16,), layer.weight, layer.bias, eps=1e-6)

    y = norm(x, block.norm1) @ block.attn.qkv.weight.T + block.attn.qkv.bias
    q, k, v = y.unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)  # each (B, heads, P, 8)
    y = ((q @ k.transpose(-2, -1) / 8**0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
    x = x + y @ block.attn.proj.weight.T + block.attn.proj.bias
    y = F.gelu(norm(x, block.norm2) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias)
    assert y.shape[-1] == 64
    x = x + y @ block.mlp.fc2.weight.T + block.mlp.fc2.bias

    first, patches = model.encode_image(images)
    torch.testing.assert_close(first, tokens[:, 0])  # CLS stays the ViT's
    torch.testing.assert_close(patches.flatten(1, 2), x)


@torch.inference_mode()
def test_the_text_tower_is_open_clips(make_model: MakeModel, tokenizer: Tokenizer):
    model = make_model()
    plain = TextTransformer(output_dim=16, **model.config.text)
    plain.load_state_dict(model.text.state_dict())
    ids = tokenizer(["a red mug", "a duck", ""])
    pooled, tokens = model.encode_text(ids)
    torch.testing.assert_close(pooled, plain.eval()(ids))
    assert tokens.shape == (3, 24, 16)
    ends = ids.argmax(1)  # the sentence is the projected token of the end mark
    torch.testing.assert_close(tokens[torch.arange(3), ends], pooled)
    assert ends.tolist() != [23] * 3
    _, other = model.encode_text(tokenizer(["a red table"]))  # causal: no word sees what follows
    torch.testing.assert_close(other[0, :3], tokens[0, :3])
    assert not torch.allclose(other[0, 3], tokens[0, 3])


def test_keys_are_those_of_the_authors(make_model: MakeModel):
    keys = make_model(denoiser=5).state_dict().keys()
    parts = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    assert {f"visual.denoiser.{part}.weight" for part in parts} <= keys
    assert {key for key in keys if not key.startswith(("visual.", "text."))} == {"logit_scale"}
    own = {"visual.pos_embed", *(key for key in keys if key.startswith("visual.denoiser."))}
    assert all(
        key.startswith("visual.vit.model.") for key in keys if key.startswith("visual.")
        and key not in own
    )  # fmt: skip


def test_images_are_normalised_by_channel(make_model: MakeModel):
    images = torch.rand(2, 3, 4, 5)
    found = make_model().normalise(images)
    for channel, (mean, std) in enumerate(
        [(0.48145466, 0.26862954), (0.4578275, 0.26130258), (0.40821073, 0.27577711)]
    ):
        torch.testing.assert_close(found[:, channel], (images[:, channel] - mean) / std)


def test_a_tower_that_learned_is_kept(tmp_path: Path):
    model, tokenizer = load_simzss(Path(resolve_weights("robot_cell/simzss")))
    save_simzss(model, tokenizer, tmp_path / "frozen")
    model.visual.requires_grad_(True)
    changed = next(model.visual.parameters())
    changed.data += 1
    save_simzss(model, tokenizer, tmp_path / "learned")
    found, _ = load_simzss(tmp_path / "learned")
    torch.testing.assert_close(next(found.visual.parameters()), changed, atol=2e-3, rtol=2e-3)
    sizes = [
        (tmp_path / name / "model.safetensors").stat().st_size for name in ("frozen", "learned")
    ]
    assert sizes[0] < sizes[1]


def test_unit_length():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(unit(x), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


class TestFiles:
    def test_what_was_saved_is_loaded(
        self, make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
    ):
        model = make_model(denoiser=5, reg_tokens=2)
        save_simzss(model, tokenizer, tmp_path / "deep" / "folder")
        loaded, words = load_simzss(tmp_path / "deep" / "folder")
        assert loaded.config == model.config
        assert not loaded.training
        assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}
        for key, value in loaded.state_dict().items():
            torch.testing.assert_close(
                value, model.state_dict()[key].half().float(), rtol=0, atol=0
            )
        assert words(["a mug"]).equal(tokenizer(["a mug"]))
        stored = load_file(tmp_path / "deep" / "folder" / "model.safetensors")
        assert {value.dtype for value in stored.values()} == {torch.float16}

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
    def test_a_missing_file_is_named(self, weights: Path, tmp_path: Path, name: str):
        folder = shutil.copytree(weights, tmp_path / "copy")
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"expected {name} in .*copy"):
            load_simzss(folder)

    def test_a_key_that_is_missing_or_too_many_is_named(self, weights: Path, tmp_path: Path):
        folder = shutil.copytree(weights, tmp_path / "copy")
        state = load_file(folder / "model.safetensors")
        state["visual.vit.model.extra"] = state.pop("logit_scale")
        save_file(state, folder / "model.safetensors")
        with pytest.raises(ValueError, match=r"copy does not fit its config\.json") as caught:
            load_simzss(folder)
        assert "logit_scale" in str(caught.value)
        assert "visual.vit.model.extra" in str(caught.value)

    @pytest.mark.parametrize(("part", "key", "value"), [
        ("visual", "depth", 3), ("visual", "embed_dim", 32), ("text", "width", 32),
        ("text", "context_length", 25),
    ])  # fmt: skip
    def test_weights_of_another_shape_are_refused(
        self, weights: Path, tmp_path: Path, part: str, key: str, value: int
    ):
        folder = shutil.copytree(weights, tmp_path / "copy")
        config = json.loads((folder / "config.json").read_text())
        config[part][key] = value
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=r"copy does not fit its config\.json"):
            load_simzss(folder)

    def test_a_damaged_file_is_refused(self, weights: Path, tmp_path: Path):
        folder = shutil.copytree(weights, tmp_path / "copy")
        whole = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=r"copy.model\.safetensors is damaged"):
            load_simzss(folder)

    def test_a_tokenizer_of_other_weights_is_refused(self, weights: Path, tmp_path: Path):
        folder = shutil.copytree(weights, tmp_path / "copy")
        (folder / "tokenizer.json").unlink()  # then CLIP's would be taken
        with pytest.raises(ValueError, match=r"expected a tokenizer of at most 320 ids .* 49408"):
            load_simzss(folder)
