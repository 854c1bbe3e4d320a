"""The authors' checkpoints: every key is used, known to be needless, or an error."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from ovseg_ros.cli import main
from ovseg_ros.models.checkpoints import read_checkpoint
from ovseg_ros.presets import load_preset
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.segmenters.simzss.convert import (
    NAMES,
    TRAINING_ONLY,
    convert,
    infer_architecture,
)
from ovseg_ros.segmenters.simzss.model import SimZSS, load_simzss
from ovseg_ros.types import Vocabulary

State = dict[str, Tensor]


def text_keys(width: int, layers: int, output: int) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the authors' text tower, as their code names them."""
    shapes: dict[str, tuple[int, ...]] = {
        "text.text_projection": (width, output),
        "text.positional_embedding": (77, width),
        "text.token_embedding.weight": (49408, width),
        "text.ln_final.weight": (width,),
        "text.ln_final.bias": (width,),
    }
    for block in range(layers):
        start = f"text.transformer.resblocks.{block}"
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{start}.{norm}.weight": (width,), f"{start}.{norm}.bias": (width,)}
        shapes |= {
            f"{start}.attn.in_proj_weight": (3 * width, width),
            f"{start}.attn.in_proj_bias": (3 * width,),
            f"{start}.attn.out_proj.weight": (width, width),
            f"{start}.attn.out_proj.bias": (width,),
            f"{start}.mlp.c_fc.weight": (4 * width, width),
            f"{start}.mlp.c_fc.bias": (4 * width,),
            f"{start}.mlp.c_proj.weight": (width, 4 * width),
            f"{start}.mlp.c_proj.bias": (width,),
        }
    return shapes


def denoiser_keys(width: int) -> dict[str, tuple[int, ...]]:
    start = "visual.denoiser"
    shapes: dict[str, tuple[int, ...]] = {}
    for norm in ("norm1", "norm2"):
        shapes |= {f"{start}.{norm}.weight": (width,), f"{start}.{norm}.bias": (width,)}
    for name, (rows, columns) in {
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "mlp.fc1": (4 * width, width),
        "mlp.fc2": (width, 4 * width),
    }.items():
        shapes |= {f"{start}.{name}.weight": (rows, columns), f"{start}.{name}.bias": (rows,)}
    return shapes


def authors(
    timm_name: str, *, denoiser: bool, text_width: int, layers: int, **shape: int
) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a checkpoint in the authors' layout."""
    with torch.device("meta"):
        vit = timm.create_model(timm_name, num_classes=0, dynamic_img_size=True, **shape)
    width = vit.embed_dim
    return {
        **{f"visual.vit.model.{k}": tuple(v.shape) for k, v in vit.state_dict().items()},
        "visual.pos_embed": (1, 37 * 37, 768 if text_width in (512, 384) else width),
        **(denoiser_keys(width) if denoiser else {}),
        **text_keys(text_width, layers, width),
        "logit_scale": (),
        "logit_scale_local": (1,),
        "classification_weights_ema": (574, width),
        "beta_ema": (),
    }


@pytest.fixture(scope="module")
def small() -> State:
    """Random weights in the authors' layout: a narrow tower with registers and a denoiser."""
    shapes = authors(
        "vit_base_patch14_reg4_dinov2",
        denoiser=True,
        text_width=64,
        layers=2,
        embed_dim=128,
        depth=2,
        num_heads=2,
    )
    generator = torch.Generator().manual_seed(0)
    return {
        f"module.{key}": 0.05 * torch.randn(shape, generator=generator)
        for key, shape in shapes.items()
    }


@pytest.fixture
def file(small: State, tmp_path: Path) -> Path:
    torch.save(small, tmp_path / "epoch_10.pt")
    return tmp_path / "epoch_10.pt"


@pytest.mark.parametrize(
    ("timm_name", "denoiser", "text_width", "name"),
    [
        ("vit_base_patch14_reg4_dinov2", True, 512, "simzss"),
        ("vit_small_patch14_reg4_dinov2", False, 384, "simzss_s"),
        ("vit_large_patch14_reg4_dinov2", False, 768, "simzss_l"),
    ],
)
def test_published_towers_have_exactly_the_keys_of_ours(
    timm_name: str, denoiser: bool, text_width: int, name: str
):
    shapes = authors(timm_name, denoiser=denoiser, text_width=text_width, layers=12)
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    architecture = infer_architecture(state)
    with torch.device("meta"):
        model = SimZSS(architecture)
    needless = {*TRAINING_ONLY, *(() if denoiser else ("visual.pos_embed",))}
    expected = {key: shape for key, shape in shapes.items() if key not in needless}
    assert {key: tuple(v.shape) for key, v in model.state_dict().items()} == expected
    assert NAMES[architecture.visual["embed_dim"]] == name
    assert architecture.image_hw == (224, 224)
    assert architecture.text["heads"] * 64 == text_width
    assert (architecture.visual["img_size"], architecture.visual["reg_tokens"]) == (518, 4)


def test_a_checkpoint_is_what_its_towers_compute(small: State, file: Path, tmp_path: Path):
    report = convert(read_checkpoint(file), tmp_path / "out")
    assert report.ignored == ("beta_ema", "classification_weights_ema", "logit_scale_local")
    assert report.used == len(small) - 3
    model, tokenizer = load_simzss(tmp_path / "out")
    vit = timm.create_model(
        "vit_base_patch14_reg4_dinov2",
        num_classes=0,
        dynamic_img_size=True,
        embed_dim=128,
        depth=2,
        num_heads=2,
    ).eval()
    start = "module.visual.vit.model."
    vit.load_state_dict({k.removeprefix(start): v for k, v in small.items() if k.startswith(start)})
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float32}  # nothing is rounded
    images = torch.randn(1, 3, 28, 42, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        first, patches = model.encode_image(images)
        tokens = vit.forward_features(images)
        torch.testing.assert_close(first, tokens[:, 0])
        noisy = tokens[:, 5:].unflatten(1, (2, 3))
        assert patches.shape == noisy.shape
        assert not torch.allclose(patches, noisy, atol=1e-3)  # the denoiser was at work
        assert model.encode_text(tokenizer(["a mug"]))[0].shape == (1, 128)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"epoch": 3, "state_dict": s}])
def test_bare_and_wrapped_files_are_read(wrap, small: State, tmp_path: Path):
    torch.save(wrap(small), tmp_path / "file.pt")
    assert set(read_checkpoint(tmp_path / "file.pt")) == {key[7:] for key in small}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop("text.ln_final.bias"), "1 keys do not fit: missing text.ln_final.bias"),
        (lambda s: s.update(extra=torch.ones(1)), "unknown extra"),
        (lambda s: s.update({"text.ln_final.bias": torch.ones(3)}), r"bias is \(3,\), expected"),
        (lambda s: s.pop("visual.denoiser.mlp.fc1.bias"), "missing visual.denoiser.mlp.fc1.bias"),
        (lambda s: s.pop("visual.vit.model.pos_embed"), "vit.model.pos_embed is missing"),
        (lambda s: s.pop("logit_scale"), "missing logit_scale"),
    ],
)
def test_what_does_not_fit_is_named(change, reason: str, small: State, tmp_path: Path):
    state = {key[7:]: value for key, value in small.items()}
    change(state)
    with pytest.raises(ValueError, match=reason):
        convert(state, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_none(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt, it is not there"):
        read_checkpoint(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.pt is no checkpoint of torch"):
        read_checkpoint(tmp_path / "text.pt")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="expected a dict of tensors"):
        read_checkpoint(tmp_path / "list.pt")


def test_objects_need_trust(small: State, tmp_path: Path):
    torch.save({"state_dict": small, "args": argparse.Namespace(lr=1)}, tmp_path / "file.pt")
    with pytest.raises(ValueError, match="--trust"):
        read_checkpoint(tmp_path / "file.pt")
    assert len(read_checkpoint(tmp_path / "file.pt", trust=True)) == len(small)


def test_the_preset_runs_what_the_command_converted(
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("OVSEG_DATA", str(tmp_path))
    monkeypatch.setitem(NAMES, 128, "simzss")
    with pytest.raises(SystemExit) as done:
        main(["convert", "simzss", str(file)])
    out = capsys.readouterr().out
    assert done.value.code == 0
    assert "4 registers, with denoiser" in out
    assert "ignored: beta_ema, classification_weights_ema, logit_scale_local" in out
    config = load_preset("simzss").segmenter
    assert load_preset("simzss_s").segmenter.simzss.weights == "converted/simzss_s"
    segmenter = build_segmenter(config, device="cpu", dtype="float32")
    image = np.random.default_rng(0).integers(0, 256, (1, 30, 40, 3), dtype=np.uint8)
    result = segmenter.segment(image, Vocabulary.of("mug", "table"))
    assert result.labels.shape == (1, 30, 40)
    assert segmenter.similarity(image, ["mug"]).shape == (1, 1, 32, 43)
