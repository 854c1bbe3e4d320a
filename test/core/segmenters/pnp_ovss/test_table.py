"""PnP-OVSS's table on tiny data: the right switches, both tunings from the same settings."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from ovseg_ros.evaluation.datasets import Sample
from ovseg_ros.evaluation.table import Request
from ovseg_ros.segmenters.pnp_ovss import table as pnp_ovss
from ovseg_ros.segmenters.pnp_ovss.tuning import Setting


class Data:
    name = "tiny"
    classes = ("mug", "duck", "table")
    synonyms: ClassVar = {name: () for name in classes}

    def __len__(self):
        return 2

    def __getitem__(self, index):
        labels = np.ones((20, 30), np.uint8)
        labels[:, 10 + 5 * index :] = 2
        return Sample(id=str(index), image=labels[..., None].repeat(3, 2) * 60, labels=labels)


class ByRule:
    """Masks that are right at one threshold; a reward that likes another one a little more."""

    def __init__(self, segmenter, images, names, config):
        self.images, self.kept = images, [[0, 1]] * len(images)

    def labels(self, setting: Setting):
        for index in range(2):
            found = Data()[index].labels.astype(np.int64)
            yield found if setting.threshold == 0.25 else np.ones_like(found)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Switches of every configuration that is measured; no model is loaded."""
    seen = []

    def measure(config, data, request):
        own = config.segmenter.pnp_ovss
        seen.append((own.saliency.gradcam, own.saliency.passes, own.masks.sigma > 0, own.masks.crf))
        return 10.0 * len(seen)

    monkeypatch.setattr(pnp_ovss, "_measure", measure)
    monkeypatch.setattr("ovseg_ros.evaluation.datasets.open_dataset", lambda *a, **k: Data())
    return seen


def request_for(tmp_path: Path, *sets: str) -> Request:
    return Request(root=None, out=tmp_path, split="val", limit=None, device="cpu", sets=sets)


def test_rows_add_one_step_each(tmp_path: Path, measured):
    result = pnp_ovss.table(request_for(tmp_path, "trials=0"))
    assert measured == [
        (False, 1, False, False),
        (True, 1, False, False),
        (True, 4, False, False),
        (True, 4, True, False),
        (True, 4, True, True),
    ]
    assert [row.get("robot cell") for row in result.rows[:5]] == [10, 20, 30, 40, 50]
    published = {row["method"]: row for row in result.rows[5:]}
    assert published["published, BLIP 336"]["VOC"] == 51.3
    assert published["published, BridgeTower 336"]["ADE"] == 14.8
    assert published["published, BLIP 224"]["COCO-Stuff"] == 17.3
    assert any(line.startswith("attention only") for line in result.lines())


def test_masks_choose_the_best_setting_and_reward_does_not_know(
    tmp_path: Path, measured, monkeypatch: pytest.MonkeyPatch
):
    settings = [Setting(1, 1, t, 0.05) for t in (0.05, 0.25, 0.35)]

    class Segmenter:
        matcher = type("Matcher", (), {"layers": 1, "heads": 1})
        config = type("Config", (), {"weights": "here", "tower": ""})

    def search(masks, judge, chosen, log):
        return [type("Trial", (), {"reward": r}) for r in (0.1, 0.5, 0.6)]

    place = "ovseg_ros.segmenters.pnp_ovss"
    monkeypatch.setattr(f"{place}.segmenter.PnpOvssSegmenter", Segmenter)
    monkeypatch.setattr("ovseg_ros.segmenters.build.build_segmenter", lambda *a, **k: Segmenter())
    monkeypatch.setattr(f"{place}.scorers.load_scorer", lambda *a, **k: None)
    for name, value in (
        ("Masks", ByRule), ("Judge", lambda *a: None), ("search", search),
        ("draw_settings", lambda *a: settings),
    ):  # fmt: skip
        monkeypatch.setattr(f"{place}.tuning.{name}", value)
    result = pnp_ovss.table(request_for(tmp_path, "trials=3", "images=2"))
    rows = {row["method"]: row.get("val") for row in result.rows}
    assert rows["tuned by masks, no CRF"] == pytest.approx(100)
    # All pixels are called "mug": 20 * 25 of 20 * 60 are, "duck" is never found.
    assert rows["tuned by reward, no CRF"] == pytest.approx(100 * (500 / 1200) / 2, abs=1e-3)
    assert "threshold 0.25" in result.notes["val"]
    assert "rank correlation 0.00" in result.notes["val"]
