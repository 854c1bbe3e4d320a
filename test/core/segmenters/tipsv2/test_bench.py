"""`ovseg bench tipsv2` times both ways and the reading of words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.bench.jobs import Job, benches, run_bench
from ovseg_ros.config import override
from ovseg_ros.presets import load_preset


def test_it_times_both_ways_and_new_words(weights: Path):
    sets = [f"segmenter.tipsv2.weights={weights}", "segmenter.tipsv2.short_side=56", "device=cpu"]
    job = Job(
        config=override(load_preset("tipsv2"), sets),
        image=np.zeros((48, 64, 3), np.uint8),
        counts=(1, 3),
        runs=1,
        warmup=0,
    )
    found = run_bench(benches()["tipsv2"], job)
    stages = [row["stage"] for row in found.data["stages"]]
    assert stages == [
        "whole image, 1 names",
        "whole image, 3 names",
        "windows, 1 names",
        "windows, 3 names",
        "ten new words",
    ]
    assert all(row["median_ms"] > 0 for row in found.data["stages"])


def test_sizes_without_weights_are_named():
    job = Job(
        config=load_preset("tipsv2"),
        image=np.zeros((8, 8, 3), np.uint8),
        counts=(1,),
        runs=1,
        warmup=0,
        untrained="huge",
    )
    with pytest.raises(ValueError, match="untrained: expected one of base, large"):
        run_bench(benches()["tipsv2"], job)
