"""Models of transformers: from the cache in seconds, without a network, whole or not at all."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BlipForConditionalGeneration, BlipProcessor
from transformers.utils import logging

from ovseg_ros.models import weights
from ovseg_ros.models.pretrained import load_pretrained

NAME = "owner/captioner"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every look at the network be noticed, and fail as on a robot without DNS."""
    asked: list[str] = []

    def refuse(*args: object, **options: object) -> None:
        asked.append(str(args))
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return asked


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay the package's own BLIP into a cache, as `ovseg pull` would leave it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--owner--captioner"
    folder = repository / "snapshots" / "0123abc"
    shutil.copytree(weights.ASSETS / "blip", folder)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    return folder


def load(name: str = NAME) -> tuple[object, torch.nn.Module]:
    return load_pretrained(
        name,
        "a captioner",
        BlipProcessor,
        BlipForConditionalGeneration,
        device="cpu",
        dtype="float32",
    )


def test_a_cached_model_asks_nobody(cached: Path, no_network: list[str]):
    start = time.monotonic()
    _, model = load()
    assert no_network == []
    assert time.monotonic() - start < 20.0  # it was 24 s to ten minutes; here about one second
    assert weights.resolve_file(f"{NAME}/config.json") == str(cached / "config.json")
    assert not model.training


def test_no_progress_bar_comes_into_a_log(cached: Path, capfd: pytest.CaptureFixture[str]):
    logging.enable_progress_bar()
    load()
    assert capfd.readouterr() == ("", "")


def test_a_model_that_is_not_here_says_how_to_get_it(no_network: list[str]):
    for ask in (lambda: load("owner/other"), lambda: weights.resolve_file("owner/other/x.pt")):
        with pytest.raises(
            FileNotFoundError, match=r"not on this machine; run `ovseg pull PRESET`"
        ):
            ask()
    for name in ("no such", "a/b/c/d", "../x", "x" * 200):
        with pytest.raises(FileNotFoundError, match="weights: "):
            load(name)
    assert no_network == []


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.json", b"{", r"config\.json: expected JSON"),
        ("tokenizer.json", b"{]", r"tokenizer\.json: expected JSON"),
        ("tokenizer.json", b'{"version": "1.0"}', "expected a captioner"),
        ("processor_config.json", b"\xff", r"processor_config\.json: expected JSON"),
        ("model.safetensors", b"cut", r"model\.safetensors is damaged"),
        ("model.safetensors", None, "expected a captioner"),
        ("config.json", None, "expected a captioner"),
    ],
)
def test_what_is_damaged_is_named_in_one_line(
    cached: Path, file: str, content: bytes | None, reason: str
):
    (cached / file).unlink()
    if content is not None:
        (cached / file).write_bytes(content)
    with pytest.raises(FileNotFoundError, match=reason) as caught:
        load()
    assert "\n" not in str(caught.value)


def test_missing_tensors_are_not_made_up(cached: Path):
    tensors = load_file(cached / "model.safetensors")
    gone = sorted(name for name in tensors if name.startswith("vision_model"))[0]
    del tensors[gone]
    save_file(tensors, cached / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FileNotFoundError, match=f"1 of the tensors are not in .*: {gone}"):
        load()


def test_nan_is_refused(cached: Path):
    tensors = load_file(cached / "model.safetensors")
    name = next(key for key, value in tensors.items() if value.is_floating_point())
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, cached / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="expected finite numbers"):
        load()
