"""The ablations end to end on a mini cell: what is shared, what is kept, what is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ovseg_ros.evaluation.table import Request
from ovseg_ros.segmenters.fisa import table as tables
from ovseg_ros.segmenters.fisa.checkpoint import load_fisa
from ovseg_ros.segmenters.fisa.generator import MaskGenerator
from ovseg_ros.segmenters.fisa.memory import FrozenMemory
from ovseg_ros.segmenters.fisa.recipe import Trainer


def test_models_share_what_frozen_parts_say(folders: dict[str, str]):
    memory, images = FrozenMemory(), 255 * torch.rand(1, 3, 64, 64)
    models = [
        load_fisa(folders["weights"], folders["generator"], folders["clip"])[0] for _ in range(2)
    ]
    with torch.no_grad():
        want = models[0].generator(images), models[0].classifier.tower.patches(images)
    calls: list[int] = []
    for model in models:
        see = model.generator.propose
        model.generator.propose = lambda x, see=see: (calls.append(1), see(x))[1]
        memory.share(model)
    with torch.no_grad():
        for model in models:
            assert torch.equal(model.generator(images), want[0])
            assert torch.equal(model.classifier.tower.patches(images), want[1])
        assert len(calls) == 1
        models[1].generator(images + 1)
        assert len(calls) == 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_share_proposals_and_are_trained_once(
    folders: dict[str, str], cell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path / "cache"))
    sets = [
        "rows=baseline,seve,fisa,masks,classifier",
        f"generator={folders['generator']}", f"clip={folders['clip']}",
        "loop.steps=2", "loop.batch=1", "views=2", "points=64", "crop=64,64",
    ]  # fmt: skip
    request = Request(root=cell, out=tmp_path, split="train", limit=1, device="cpu", sets=sets)
    drawn, seen = [], []
    keep, see = Trainer.keep, MaskGenerator._decode
    monkeypatch.setattr(Trainer, "keep", lambda self: (drawn.append(1), keep(self))[1])

    def counted(self: Any, images: Any) -> Any:
        seen.append(1)
        return see(self, images)

    monkeypatch.setattr(MaskGenerator, "_decode", counted)
    found = tables.table(request)
    assert len(drawn) == 1  # the baseline needs no view
    assert len(seen) == 2 + 1  # views, and the one image
    ours = [row for row in found.rows if not str(row["method"]).startswith("published")]
    assert [row["method"] for row in ours] == [
        "baseline", "+ SEVE", "+ SEVE + SIMO (FISA)", "baseline, oracle masks",
        "baseline, oracle classifier",
    ]  # fmt: skip
    assert ours[0]["trained"] == 0
    assert ours[1]["trained"] < ours[2]["trained"]
    assert all(0 <= row["mIoU train"] <= 1 and 0 <= row["PQ train"] <= 1 for row in ours)
    assert "+ SEVE < + SEVE + SIMO (FISA)" in found.notes
    again = tables.table(request)
    assert again.rows == found.rows
    assert (len(drawn), len(seen)) == (1, 3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_generator_that_learns_proposes_for_itself(
    folders: dict[str, str], cell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path / "cache"))
    sets = [
        "rows=fisa,generator", f"generator={folders['generator']}", f"clip={folders['clip']}",
        "loop.steps=2", "loop.batch=1", "views=3", "points=64", "crop=64,64",
    ]  # fmt: skip
    request = Request(root=cell, out=tmp_path, split="train", limit=1, device="cpu", sets=sets)
    seen, see = [], MaskGenerator._decode

    def counted(self: Any, images: Any) -> Any:
        seen.append(self)
        return see(self, images)

    monkeypatch.setattr(MaskGenerator, "_decode", counted)
    found = tables.table(request)
    frozen = 3 + 1  # views, and the image
    assert len(seen) == frozen + 2 + 1  # steps, and the image anew
    fisa, generator = (row for row in found.rows if "published" not in str(row["method"]))
    assert generator["method"] == "FISA + mask generator"
    assert generator["trained"] > fisa["trained"]
    assert "FISA + mask generator < + SEVE + SIMO (FISA)" in found.notes


def test_an_ordering_is_judged_figure_by_figure():
    rows: dict[str, Any] = {
        "baseline": {"method": "a", "PQ x": 0.1, "mIoU x": 0.5},
        "full": {"method": "b", "PQ x": 0.2, "mIoU x": 0.4},
        "seve": {"method": "c", "PQ x": 0.2, "mIoU x": 0.6},
    }
    assert tables.orderings(rows, ["x"]) == {
        "a < b": "PQ x yes, mIoU x no",
        "b < c": "PQ x no, mIoU x yes",
    }


def test_every_ordering_is_of_rows_there_are():
    names = {*tables.ROWS, *tables.ORACLES}
    assert {name for pair in tables.ORDERINGS for name in pair} <= names
