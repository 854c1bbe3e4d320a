"""The benchmarks of ``ovseg bench``: one kind of question, one shape of answer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovseg_ros.segmenters import systems
from ovseg_ros.segmenters.systems import Part
from ovseg_ros.whole_files import write_json

if TYPE_CHECKING:
    import numpy as np

    from ovseg_ros.pipeline import PipelineConfig


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is measured, and how often.

    Attributes:
        config: The preset with its overrides.
        image: RGB, (H, W, 3) uint8.
        counts: Numbers of names.
        runs: Measured runs.
        warmup: Runs before, that do not count.
        batch: Image-caption pairs of a training step.
        untrained: Size of a BLIP with random weights in place of the preset's captioner.
    """

    config: PipelineConfig
    image: np.ndarray
    counts: tuple[int, ...]
    runs: int
    warmup: int
    batch: int = 16
    untrained: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a benchmark found.

    Attributes:
        lines: For people.
        data: The same and how it was measured, as plain data for a JSON file.
    """

    lines: Sequence[str]
    data: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write ``data`` as JSON."""
        write_json(path, self.data)


SHARED = {
    "segment": Part("a frame by number of names", "ovseg_ros.bench.timing:bench_segmenter"),
    "stages": Part(
        "every stage of a frame's way through the node", "ovseg_ros.bench.stages:bench_stages"
    ),
    "discovery": Part("one discovery", "ovseg_ros.discovery.bench:bench_discovery"),
    "graph": Part(
        "the segmentation node fed at 10 and 30 Hz, as isaac_ros_benchmark does",
        "ovseg_ros.bench.graph:bench_graph",
    ),
    "all": Part("segment, stages and discovery", "ovseg_ros.bench.jobs:bench_all"),
}
"""What fits any preset."""


def benches() -> dict[str, Part]:
    """Return every benchmark by name."""
    return {**SHARED, **systems.parts("benches")}


def run_bench(part: Part, job: Job) -> Result:
    """Run a benchmark; invented names stay out of the user's cache of class text."""
    run: Callable[[Job], Result] = part.load()
    before = os.environ.get("OVSEG_CACHE")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["OVSEG_CACHE"] = cache
        try:
            return run(job)
        finally:
            os.environ.pop("OVSEG_CACHE")
            if before is not None:
                os.environ["OVSEG_CACHE"] = before


def bench_all(job: Job) -> Result:
    """Run what fits any preset, one after the other, into one table."""
    from ovseg_ros.bench.stages import stage_timings
    from ovseg_ros.bench.timing import result_of, segmenter_timings
    from ovseg_ros.discovery.bench import discovery_timings

    return result_of([*segmenter_timings(job), *stage_timings(job), *discovery_timings(job)], job)
