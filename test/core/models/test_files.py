"""Files of weights: one line that names the damaged one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ovseg_ros.models.files import (
    MAX_JSON_BYTES,
    check_finite,
    first_damaged,
    load_state,
    read_json,
    read_object,
    read_tensors,
    share,
    write_tensors,
)
from ovseg_ros.models.tokenizer import load_tokenizer


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a": 1} x', bytes(64), b"\x80\x04K\x01."],
)
def test_damaged_json_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^weights: .*config\.json: expected JSON") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)
    assert str(path) in first_damaged(tmp_path)
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected"):
        load_tokenizer(path.rename(tmp_path / "tokenizer.json").parent, ids=9, length=9)


def test_other_json_is_named(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text("[1]")
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected a JSON object, got list"):
        read_object(path)
    path.write_text('{"model": {"type": "none"}}')
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected a tokenizer: ") as caught:
        load_tokenizer(tmp_path, ids=49_408, length=77)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"tower: expected none\.json in"):
        read_json(tmp_path / "none.json", option="tower")


def test_endless_json_is_not_read(tmp_path: Path):
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)  # sparse: takes no room
    with pytest.raises(ValueError, match="expected at most 67108864 bytes"):
        read_json(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: b"",
        lambda d: d[:7],
        lambda d: d[: len(d) // 2],
        lambda d: b"\xff" * 8 + d[8:],
        lambda d: bytes(len(d)),
        lambda d: d.replace(b'"F32"', b'"F99"'),
        lambda d: d + b"\0",
        lambda d: b"PK\x03\x04" + d,
    ],
)
def test_damaged_tensors_are_named(tmp_path: Path, damage: Callable[[bytes], bytes]):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(8)}, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"^weights: .*model\.safetensors is damaged"):
        read_tensors(path)
    assert str(path) in first_damaged(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float, dtype: torch.dtype):
    tensors = {"a": torch.ones(3, dtype=dtype), "n": torch.arange(3), "b": torch.ones(9)}
    tensors["b"][7] = value
    save_file({k: v.to(dtype) if k == "b" else v for k, v in tensors.items()}, tmp_path / "m")
    with pytest.raises(ValueError, match="expected finite numbers, b holds NaN or infinity"):
        read_tensors(tmp_path / "m")
    check_finite([("n", tensors["n"])], "m")


def test_tensors_of_another_model_are_named(tmp_path: Path):
    model = torch.nn.Linear(2, 3)
    for wrong in ({}, {"weight": torch.ones(3, 9), "bias": torch.ones(3)}, {"x": torch.ones(1)}):
        with pytest.raises(ValueError, match=r"does not fit its config\.json: m: ") as caught:
            load_state(model, wrong, tmp_path / "m")
        assert "\n" not in str(caught.value)


def test_a_good_folder_has_no_damage(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    save_file({"a": torch.ones(8)}, tmp_path / "model.safetensors")
    assert first_damaged(tmp_path) == ""


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_weights_have_the_mode_of_new_files(tmp_path: Path, mask: int, mode: int):
    before = os.umask(mask)
    try:
        write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(8)})
        save_file({"a": torch.ones(8)}, tmp_path / "b.safetensors")
        share(tmp_path / "b.safetensors")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    files = sorted(tmp_path.iterdir())
    assert [(file.name, file.stat().st_mode & 0o777) for file in files] == [
        ("a.safetensors", mode),
        ("b.safetensors", mode),
    ]
    assert torch.equal(read_tensors(files[0])["a"], torch.ones(8))


def test_weights_that_cannot_be_written_are_told(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(OSError, match=r"a\.safetensors"):
        write_tensors(tmp_path / "nowhere" / path.name, {"a": torch.ones(8)})
    write_tensors(path, {"a": torch.ones(8)})
    with pytest.raises(RuntimeError, match="share memory"):
        write_tensors(path, {"a": (t := torch.ones(8)), "b": t})
    assert torch.equal(read_tensors(path)["a"], torch.ones(8))
    assert list(tmp_path.iterdir()) == [path]
