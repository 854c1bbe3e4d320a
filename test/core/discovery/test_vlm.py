"""The chat-model baseline: a tiny LLaVA, and lists as models write them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ovseg_ros.config import from_mapping
from ovseg_ros.discovery.build import build_discoverer
from ovseg_ros.discovery.config import DiscoveryConfig, VlmConfig
from ovseg_ros.discovery.vlm import VlmList, load_vlm, parse_list, views
from ovseg_ros.language.nouns import NounConfig


@pytest.mark.parametrize(
    ("answer", "items"),
    [
        ("mug, duck, table", ["mug", "duck", "table"]),
        ("mug, duck, and table.", ["mug", "duck", "table"]),
        ("A mug and a duck", ["A mug", "a duck"]),
        ("- mug\n- a red duck\n", ["mug", "a red duck"]),
        ("* mug\n\u2022 duck", ["mug", "duck"]),
        ("1. Mug\n2) Duck\n(3) Table", ["Mug", "Duck", "Table"]),
        ('["mug", "teddy bear"]', ["mug", "teddy bear"]),
        ("Sure!\n```json\n['mug', 'duck']\n```", ["mug", "duck"]),
        ("Objects: mug; duck", ["mug", "duck"]),
        (
            "The image shows the following objects:\n\n- **Mug**: on the left\n- Duck",
            ["Mug", "Duck"],
        ),
        ("mug (red), duck, mug - twice", ["mug", "duck"]),
        ("'mug', \"duck\"", ["mug", "duck"]),
        ("t-shirt, teddy bear", ["t-shirt", "teddy bear"]),
        ("sand castle, handbag", ["sand castle", "handbag"]),
        ("", []),
        (" , ,\n-\n", []),
    ],
)
def test_lists_are_understood(answer: str, items: list[str]):
    assert parse_list(answer) == items


@pytest.fixture(scope="module")
def vlm(llava: Path) -> VlmList:
    config = VlmConfig(weights=str(llava), max_tokens=8)
    return load_vlm(config, NounConfig(), device="cpu", dtype="float32")


def test_the_model_sees_the_image_and_answers_the_same(vlm: VlmList, image: np.ndarray):
    answer = vlm.chat.ask(image, vlm.config.question)
    assert answer
    assert vlm.chat.ask(image, vlm.config.question) == answer
    seen = []
    vlm.chat.model.model.vision_tower.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs.get("pixel_values", *args[:1])),
        with_kwargs=True,
    )
    vlm.chat.ask(image, vlm.config.question)
    vlm.chat.ask(image[::-1], vlm.config.question)
    assert seen[0].shape[-2:] == (32, 32)
    assert not torch.equal(seen[0], seen[1])


def test_names_come_from_the_list(vlm: VlmList, image: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    answer = "1. A red mug\n2. Two ducks on a table\n3. background\n4. xyzzy"
    monkeypatch.setattr(vlm.chat, "ask", lambda *_: answer)
    found = vlm.discover(image, seed=9)
    assert found.names == ("duck", "mug", "table")
    assert found.captions == (answer,)
    assert found.clusters is None
    monkeypatch.setattr(vlm.chat, "ask", lambda *_: "")
    assert vlm.discover(image).names == ()


@pytest.mark.parametrize("tiles", [1, 2, 3])
def test_tiles_are_asked_about_as_well(vlm: VlmList, tiles: int, monkeypatch: pytest.MonkeyPatch):
    picture = np.zeros((60, 90, 3), np.uint8)
    picture[:] = np.arange(60)[:, None, None]  # rows by red, columns by green
    picture[..., 1] = np.arange(90)
    asked: list[np.ndarray] = []

    def ask(image: np.ndarray, question: str) -> str:
        asked.append(image)
        return f"mug, {['duck', 'table', 'bottle'][len(asked) % 3]}"

    monkeypatch.setattr(vlm.chat, "ask", ask)
    config = replace(vlm.config, tiles=tiles)
    found = VlmList(vlm.chat, vlm.nouns, config).discover(picture)
    assert len(asked) == len(found.captions) == 1 + (tiles**2 if tiles > 1 else 0)
    assert asked[0].shape == picture.shape
    seen = np.zeros((60, 90), int)
    for part in asked[1:]:
        rows, columns = part[:, 0, 0], part[0, :, 1]
        seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += 1
    if tiles > 1:
        assert seen.min() == 1
        assert seen.max() == 4
        assert set(found.names) == {"mug", "duck", "table", "bottle"}
        assert {p.score for p in found.proposals} == {1.0}  # one answer is enough


def test_tiles_of_a_tiny_image():
    config = VlmConfig(weights="x", tiles=8)
    assert all(part.size for part in views(np.zeros((1, 2, 3), np.uint8), config))


def test_thoughts_are_no_answer(vlm: VlmList, image: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    said = "<think>a dog? no.</think>\n\nmug, duck"
    monkeypatch.setattr(vlm.chat.processor.tokenizer, "decode", lambda *_, **__: said)
    assert vlm.chat.ask(image, "?") == "mug, duck"


def test_wrong_images(vlm: VlmList):
    with pytest.raises(ValueError, match="expected RGB"):
        vlm.discover(np.zeros((4, 4), np.uint8))


def test_missing_weights(tmp_path: Path, blip_folder: Path):
    for folder in (tmp_path, blip_folder.parent):
        config = VlmConfig(weights=str(folder))
        with pytest.raises(FileNotFoundError, match="weights: expected an image-text-to-text"):
            load_vlm(config, NounConfig(), device="cpu", dtype="float32")


def test_build(llava: Path, image: np.ndarray):
    options = {"name": "vlm", "vlm.weights": str(llava), "vlm.max_tokens": 4}
    config = from_mapping(DiscoveryConfig, options)
    discoverer = build_discoverer(config, device="cpu", dtype="float32")
    assert discoverer is not None
    assert (discoverer.name, discoverer.device) == ("vlm", "cpu")
    assert discoverer.discover(image).captions
