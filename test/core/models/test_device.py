"""Where models run: what is asked for by name is there, or an error says so."""

from __future__ import annotations

import pytest
import torch

from ovseg_ros.models.device import resolve_device, resolve_dtype

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def cuda_devices(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Pretends that the machine has so many GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("count", "asked", "given"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (2, "auto", "cuda"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_devices_by_name(monkeypatch: pytest.MonkeyPatch, count: int, asked: str, given: str):
    cuda_devices(monkeypatch, count)
    assert resolve_device(asked) == torch.device(given)


@pytest.mark.parametrize(
    ("count", "asked", "why"),
    [
        (0, "cuda", "expected one of 0 CUDA devices, got 'cuda'"),
        (0, "cuda:0", "expected one of 0 CUDA devices"),
        (2, "cuda:2", "expected one of 2 CUDA devices, got 'cuda:2'"),
        (2, "gpu", "expected auto, cpu, cuda or cuda:N, got 'gpu'"),
        (2, "", "expected auto, cpu, cuda or cuda:N, got ''"),
        (2, "meta", "expected auto, cpu, cuda or cuda:N, got 'meta'"),
        (2, "cuda:-1", "expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_there_is_no_silent_fall_back(
    monkeypatch: pytest.MonkeyPatch, count: int, asked: str, why: str
):
    cuda_devices(monkeypatch, count)
    with pytest.raises(ValueError, match=f"device: {why}"):
        resolve_device(asked)


@pytest.mark.parametrize("device", [CPU, CUDA])
@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_named_numbers_are_what_they_say(name: str, device: torch.device):
    assert resolve_dtype(name, device) is getattr(torch, name)


@pytest.mark.parametrize(
    ("device", "native", "dtype"),
    [
        (CUDA, {}, torch.float16),
        (CPU, {}, torch.float32),
        (CPU, {"avx512_bf16": False, "avx2": True}, torch.float32),
        (CPU, {"avx512_bf16": True}, torch.bfloat16),
        (CPU, {"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_auto_takes_what_the_device_computes_natively(
    monkeypatch: pytest.MonkeyPatch,
    device: torch.device,
    native: dict[str, bool],
    dtype: torch.dtype,
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: native, raising=False)
    assert resolve_dtype("auto", device) is dtype


def test_an_old_torch_that_cannot_say_computes_in_float32(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_dtype("auto", CPU) is torch.float32


def test_unknown_numbers_are_refused():
    with pytest.raises(ValueError, match="dtype: expected auto, float32, bfloat16, float16, got"):
        resolve_dtype("half", CPU)
