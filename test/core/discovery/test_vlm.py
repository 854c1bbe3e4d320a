"""The chat-model baseline: a tiny LLaVA, and lists as models write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ovseg_ros.config import from_mapping
from ovseg_ros.discovery.build import build_discoverer
from ovseg_ros.discovery.config import DiscoveryConfig, VlmConfig
from ovseg_ros.discovery.vlm import VlmList, load_vlm, parse_list
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
