"""The SimZSS table: three objectives trained alike, rows kept, published ones beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovseg_ros.evaluation.table import Request
from ovseg_ros.segmenters.simzss import table as simzss
from ovseg_ros.segmenters.simzss.recipe import SimZSSRecipe
from ovseg_ros.training.card import write_card


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done, instead of doing it."""
    done: list[str] = []

    def train(config: SimZSSRecipe) -> None:
        done.append(f"train {config.objective} {config.loop.steps}")
        folder = Path(config.out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_text(str(config))
        write_card(folder, recipe="simzss", config=config, seconds=1, data="")

    def score(request: Request, root: Path, folder: Path, side: int) -> dict[str, float]:
        done.append(f"score {folder.name} {side}")
        value = 0.1 + 0.2 * ("simzss" in folder.name)
        return {"miou_gt": value, "miou_gt sentence": None, "accuracy": 0.5, "visible": 0.9}

    def costs(weights: Path, device: str) -> dict[str, dict[str, float]]:
        done.append("costs")
        return {n: {"ms/step": 9.5, "images/s": 2.0, "memory MiB": 3.0} for n in simzss.NAMES}

    def render(root: Path, split: str, *, count: int, workers: int) -> None:
        assert (split, workers > 0) == ("train", True)

    fakes = {"train": train, "_score": score, "_costs": costs, "render_split": render}
    for name, value in fakes.items():
        monkeypatch.setattr(simzss, name, value)
    return done


def test_rows_are_made_once(work: list[str], tmp_path: Path):
    request = Request(root=tmp_path, out=tmp_path / "out", split="val", sets=["loop.steps=3"])
    table = simzss.table(request)
    assert work == [
        "train clip 3",
        "train lit 3",
        "train simzss 3",
        "costs",
        "score clip 96",
        "score lit 96",
        "score simzss 96",
    ]
    work.clear()
    again = simzss.table(request)
    assert work == []
    assert again.rows == table.rows
    ours = [row for row in table.rows if row["data"] == "robot cell"]
    assert [row["method"] for row in ours] == ["CLIP", "LiT", "SimZSS"]
    assert [row["miou_gt"] for row in ours] == pytest.approx([0.1, 0.1, 0.3])
    assert all(row["ms/step"] == 9.5 for row in ours)


def test_other_steps_are_other_rows(work: list[str], tmp_path: Path):
    simzss.table(Request(root=tmp_path, out=tmp_path, sets=["loop.steps=3"]))
    work.clear()
    simzss.table(Request(root=tmp_path, out=tmp_path, sets=["loop.steps=4"]))
    assert "train simzss 4" in work
    assert "score simzss 96" in work


def test_published_numbers_stand_beside_ours(work: list[str], tmp_path: Path):
    table = simzss.table(Request(root=tmp_path, out=tmp_path))
    best = next(r for r in table.rows if r["method"] == "SimZSS, ViT-B" and r["data"] == "COCO")
    assert [best[name] for name in ("VOC20", "PC59", "Stuff", "City", "ADE", "ImageNet")] == [
        90.3, 43.1, 29.0, 33.0, 21.8, 24.3
    ]  # fmt: skip
    assert best["ms/step"] == 2069.8
    assert best.get("miou_gt") is None
    table.write(tmp_path / "table.json")
    assert len(json.loads((tmp_path / "table.json").read_text())["rows"]) == 9
