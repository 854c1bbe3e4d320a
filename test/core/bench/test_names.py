"""Names to measure with: some are in the picture."""

from __future__ import annotations

import pytest

from ovseg_ros.bench.names import bench_names
from ovseg_ros.types import Vocabulary


@pytest.mark.parametrize("count", [1, 10, 30, 1000])
def test_every_number_of_names_begins_with_real_ones(count: int):
    found = bench_names(count)
    assert len(Vocabulary.of(*found)) == len(set(found)) == count
    assert found[:20] == bench_names(20)[:count]
    assert not any(name.startswith("object") for name in found[:20])
