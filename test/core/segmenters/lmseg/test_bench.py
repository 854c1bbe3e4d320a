"""The benchmark's own arithmetic; the full-size towers are for ``ovseg bench lmseg``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ovseg_ros.segmenters.lmseg.aggregation import linear_attention

ALONE = """
import torch
from ovseg_ros.segmenters.lmseg.bench import memory_of
torch.ones(2**26)  # a peak before it does not count
print(memory_of(lambda: None, "cpu"), memory_of(lambda: torch.ones(2**24).sum(), "cpu"))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts it")
def test_memory_is_that_of_the_run_alone():
    """In a process of its own, as the benchmark is: what others free meanwhile would count."""
    said = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, check=True
    ).stdout
    nothing, tensor = map(float, said.split())
    assert nothing < 16
    assert tensor == pytest.approx(64, abs=24)


def test_linear_attention_is_linear_in_names():
    """Counted, not timed: sixteen times as many names, sixteen times the arithmetic."""

    def count(names: int) -> int:
        x = torch.randn(36, 4, names, 32)
        with FlopCounterMode(display=False) as counter:
            linear_attention(x, x, x)
        return counter.get_total_flops()

    assert count(1024) == 16 * count(64) > 0
