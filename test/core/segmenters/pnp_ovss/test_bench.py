"""`ovseg bench pnp_ovss`: faster than the plain loops, and equal to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ovseg_ros.cli import app


def bench(folder: Path, *more: str):
    options = {
        "weights": folder, "tower": "", "image_size": 48, "saliency.layer": 2, "saliency.head": 3,
        "saliency.dropped": 4,
    }  # fmt: skip
    sets = [part for k, v in options.items() for part in ("--set", f"segmenter.pnp_ovss.{k}={v}")]
    arguments = ["bench", "pnp_ovss", "--size", "64x48", "--runs", "1", *sets, *more]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_it_is_faster_and_equal(blip_folder: Path, tmp_path: Path):
    result = bench(blip_folder, "--json", str(tmp_path / "out" / "bench.json"))
    found = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert found["max_abs_diff"] < 1e-3
    assert found["speedup"] > 1
    assert 1 <= found["speedup_with_crf"] <= found["speedup"]
    assert (found["names"], found["images"], found["image_hw"]) == (10, 2, [48, 64])
    seconds = found["seconds"]
    assert found["speedup"] == pytest.approx(seconds["plain"] / seconds["batched"], rel=0.05)
    assert "speedup of the maps" in result.output


def test_another_segmenter_is_refused(blip_folder: Path):
    with pytest.raises(ValueError, match=r"segmenter.name: expected pnp_ovss, got simzss"):
        bench(blip_folder, "--set", "segmenter.name=simzss")
