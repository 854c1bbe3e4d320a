"""AutoSeg's table: its rows, what is quoted, and what it says about rows it cannot measure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ovseg_ros.discovery import table as autoseg
from ovseg_ros.discovery.config import PARTS
from ovseg_ros.discovery.table import (
    CHAT,
    DATASETS,
    METHODS,
    Options,
    chat_models,
    configure,
    open_if_there,
    table,
)
from ovseg_ros.evaluation.table import Request

CELL = "robot_cell"


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return Request(root=tmp_path, out=tmp_path / "out", device="cpu")


def option(name: str, method: str, key: str, request: Request, **options: Any) -> Any:
    config, _ = configure(method, name, Options(public_preset="simzss", **options), request)
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize(
    ("method", "key", "value"),
    [
        ("true words", "discovery.name", "none"),
        ("AutoSeg", "discovery.name", "bboost"),
        ("AutoSeg", "discovery.bboost.k_max", 16),
        ("whole-image caption", "discovery.name", "caption"),
        ("whole-image caption", "discovery.caption.size", 640),
        ("SAM + BLIP", "discovery.sam_blip.masks", "color"),
        ("SAM + BLIP", "discovery.sam_blip.size", 640),
        ("embeddings only", "discovery.name", "bboost"),
        ("AutoSeg", "device", "cpu"),
    ],
)
def test_rows_on_the_robot_cell(request_: Request, method: str, key: str, value: Any):
    assert option(CELL, method, key, request_) == value


def test_rows_on_public_data_sets(request_: Request):
    assert option("voc20", "AutoSeg", "discovery.bboost.sizes", request_) == (384, 512)
    assert option("voc20", "SAM + BLIP", "discovery.sam_blip.size", request_) == 384
    sam = option("voc20", "SAM + BLIP", "discovery.sam_blip", request_, sam_weights="sam.pth")
    assert (sam.masks, sam.sam.weights) == ("sam", "sam.pth")
    chat = configure(CHAT, CELL, Options(), request_, chat="org/model")[0].discovery
    assert (chat.name, chat.vlm.weights) == ("vlm", "org/model")


def test_what_stands_in_or_is_missing_is_said(request_: Request):
    assert "mean-shift" in configure("SAM + BLIP", CELL, Options(), request_)[1]
    assert configure("chat model", CELL, Options(), request_) == (
        None,
        "not measured: no vlm_weights, and no preset's chat model is here",
    )


def test_every_discoverer_has_a_row():
    used = {method.options.get("discovery.name") for method in METHODS.values() if method.ours}
    assert used == set(PARTS)


def test_chat_models_are_those_that_are_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert chat_models() == ()
    asked = []

    def resolve_folder(name: str) -> str:
        asked.append(name)
        if "SmolVLM2" not in name:
            raise FileNotFoundError(name)
        return str(tmp_path)

    monkeypatch.setattr("ovseg_ros.models.weights.resolve_folder", resolve_folder)
    assert chat_models() == ("HuggingFaceTB/SmolVLM2-500M-Video-Instruct",)
    assert "Qwen/Qwen3.5-0.8B" in asked


def test_unknown_rows_are_refused(request_: Request):
    with pytest.raises(ValueError, match="methods: expected some of true words, AutoSeg"):
        table(replace(request_, sets=("methods=BBoost",)))


def test_the_published_values_are_the_papers():
    auto = METHODS["AutoSeg"]
    assert auto.miou == {"voc20": 87.1, "pc459": 11.7, "ade847": 6.0, "cityscapes": 30.0}
    assert auto.c_miou == {"voc20": 71.8, "pc459": 47.7, "ade847": 29.2, "cityscapes": 35.8}
    assert METHODS["LLaVA + LISA"].miou == {"voc20": 7.7, "pc459": 0.2, "cityscapes": 1.5}


def test_the_robot_cell_may_lie_beside_the_public_data_sets(
    request_: Request, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    monkeypatch.setattr(
        "ovseg_ros.evaluation.datasets.open_dataset", lambda name, **where: asked.append(where)
    )
    root = request_.root
    assert root is not None
    open_if_there(CELL, request_)
    (root / "VOCdevkit").mkdir()
    open_if_there(CELL, request_)
    (root / "robot_cell").mkdir()
    open_if_there(CELL, request_)
    assert [where["root"] for where in asked] == [root, None, root / "robot_cell"]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, Any]]:
    """Replace models and data; return what would have been measured."""
    calls: list[tuple[str, Any, Any]] = []
    scores = {"none": 0.5, "bboost": 0.4, "caption": 0.2, "sam_blip": 0.3, "vlm": 0.1, "tags": 0.1}

    def open_dataset(name: str, **_: Any) -> Any:
        if name not in (CELL, "voc20", "pc459"):
            raise FileNotFoundError(f"/data/{name}: no such folder")
        return SimpleNamespace(name=name)

    def build_pipeline(config: Any) -> Any:
        return config.discovery.name

    def evaluate(pipeline: str, data: Any, config: Any, **options: Any) -> Any:
        calls.append((data.name, pipeline, {**options, "config": config}))
        auto = pipeline != "none"
        summary = {"miou": scores[pipeline], "c_miou": 0.25, "images": 7, "skipped": [{}]}
        summary["categories_found"] = 9 if auto else None
        for key in ("vocabulary_precision", "vocabulary_recall"):
            summary[key] = 0.75 if auto else None
        return SimpleNamespace(summary=lambda: summary)

    monkeypatch.setattr("ovseg_ros.evaluation.datasets.open_dataset", open_dataset)
    monkeypatch.setattr("ovseg_ros.pipeline.build_pipeline", build_pipeline)
    monkeypatch.setattr("ovseg_ros.evaluation.evaluate.evaluate", evaluate)
    return calls


def test_chat_models_have_a_row_each(measured: list[Any], request_: Request):
    sets = ("public_preset=simzss", "vlm_weights=[org/small, org/large]", "methods=[chat model]")
    rows = table(replace(request_, sets=sets)).rows
    shown = [row["method"] for row in rows if row["data set"] == "VOC" and "mIoU" in row]
    assert shown == ["chat model: small", "chat model: large"]
    models = [call[2]["options"].discovery.vlm.weights for call in measured if call[0] == CELL]
    assert models == ["org/small", "org/large"]


def test_the_table(measured: list[Any], request_: Request, tmp_path: Path):
    sets = ("public_preset=simzss", "public_limit=3", "seed=5")
    found = table(replace(request_, sets=sets, limit=9))
    rows = {(row["data set"], row["method"]): row for row in found.rows}
    assert rows["robot cell", "AutoSeg"]["mIoU"] == 40.0
    assert rows["robot cell", "AutoSeg"]["published"] is None
    assert rows["VOC", "AutoSeg"] == {
        **{"data set": "VOC", "method": "AutoSeg", "mIoU": 40.0, "published": 87.1},
        **{"c-mIoU": 25.0, "published c": 71.8, "precision": 0.75, "recall": 0.75},
        **{"names": 9, "images": 7},
    }
    assert "mIoU" not in rows["ADE", "AutoSeg"]
    assert rows["VOC", "ZeroSeg"]["published"] == 20.1
    assert ("robot cell", "ZeroSeg") not in rows
    assert found.notes["ADE"] == "not measured: /data/ade847: no such folder"
    assert found.notes["robot cell, AutoSeg of true words"].startswith("0.80 of the mIoU")
    assert found.notes["VOC, AutoSeg"] == "1 images left out"
    assert [call[:2] for call in measured[:5]] == [
        (CELL, name) for name in ("none", "bboost", "caption", "sam_blip", "bboost")
    ]
    limits = {name: options["limit"] for name, _, options in measured}
    assert limits == {CELL: 9, "voc20": 3, "pc459": 3}
    assert measured[4][2]["config"].segmentation == "clusters"
    assert {options["config"].seed for *_, options in measured} == {5}
    found.write(tmp_path / "table.json")
    assert len(json.loads((tmp_path / "table.json").read_text())["rows"]) == len(found.rows)
    assert set(DATASETS.values()) == {row["data set"] for row in found.rows}


def test_a_public_preset_that_is_not_there_does_not_spoil_the_rest(
    measured: list[Any], request_: Request
):
    found = table(replace(request_, sets=("public_preset=nowhere", "methods=AutoSeg")))
    assert found.notes["VOC, AutoSeg"].startswith("not measured: preset: expected")
    assert [call[0] for call in measured] == [CELL]
    with pytest.raises(ValueError, match="preset: expected"):
        table(replace(request_, sets=("preset=nowhere",)))


def test_every_row_names_a_method_once():
    assert len({id(method) for method in METHODS.values()}) == len(METHODS)
    assert autoseg.ROBOT_CELL in DATASETS
