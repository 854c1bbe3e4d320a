"""Latency of the stages: what grows with the vocabulary, what discovery costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.bench.memory import peak_mib
from ovseg_ros.bench.names import bench_names
from ovseg_ros.config import flatten
from ovseg_ros.evaluation.protocol import versions
from ovseg_ros.photographs import read_image
from ovseg_ros.pipeline import PipelineConfig
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.types import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times of one stage.

    Attributes:
        stage: What was measured.
        device: Where.
        first_ms: The first run, which also encodes new names, compiles and allocates.
        median_ms: Median of the measured runs.
        p95_ms: 95th percentile of the measured runs.
        runs: How many were measured.
        peak_mib: Most memory in MiB so far: of the GPU, or resident in this process.
        floor_ms: What the arithmetic alone would take at the device's peak, as measured in the same
            run; None if it was not counted.
    """

    stage: str
    device: str
    first_ms: float
    median_ms: float
    p95_ms: float
    runs: int
    peak_mib: float
    floor_ms: float | None = None

    @property
    def floor_ratio(self) -> float | None:
        """Median by floor; None without arithmetic to speak of."""
        return round(self.median_ms / self.floor_ms, 2) if self.floor_ms else None


def measure(
    stage: str,
    device: str,
    run: Callable[[], object],
    *,
    runs: int,
    warmup: int,
    floor_ms: float | None = None,
) -> Timing:
    """Time a function, waiting for the GPU where there is one."""
    times = milliseconds(run, device, 1 + warmup + runs)
    return timing(stage, device, times, warmup=warmup, floor_ms=floor_ms)


def milliseconds(run: Callable[[], object], device: str, runs: int) -> list[float]:
    """Return how long each of some runs took, the GPU's work included."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        times.append(1000 * (time.perf_counter() - start))
    return times


def timing(
    stage: str,
    device: str,
    times: Sequence[float],
    *,
    warmup: int,
    floor_ms: float | None = None,
) -> Timing:
    """Return what times in milliseconds say: the first, then those of warming up, then the rest."""
    counted = times[1 + warmup :]
    return Timing(
        stage=stage,
        device=device,
        first_ms=round(times[0], 3),
        median_ms=round(float(np.median(counted)), 3),
        p95_ms=round(float(np.percentile(counted, 95)), 3),
        runs=len(counted),
        peak_mib=round(peak_mib(device), 1),
        floor_ms=None if floor_ms is None else round(floor_ms, 4),
    )


_BLOCKS = 5


def segmenter_timings(job: Job) -> list[Timing]:
    """Time the segmenter of a configuration with vocabularies of several sizes.

    They take turns in blocks, so that whatever else the machine does slows all of them alike; the
    first frame of a block, whose words are new, does not count.
    """
    config = job.config
    segmenter = build_segmenter(config.segmenter, device=config.device, dtype=config.dtype)
    words = {count: Vocabulary.of(*bench_names(count)) for count in job.counts}
    times: dict[int, list[float]] = {count: [] for count in words}
    for block in range(_BLOCKS):
        for count, vocabulary in words.items():

            def run(vocabulary: Vocabulary = vocabulary) -> None:
                segmenter.segment(job.image[None], vocabulary)

            runs = -(-job.runs // _BLOCKS)
            taken = milliseconds(run, segmenter.device, 1 + job.warmup + runs)
            times[count] += taken[1 + job.warmup :] if block else taken
    return [
        timing(
            f"segment, {count} name{'s' * (count != 1)}",
            segmenter.device,
            taken,
            warmup=job.warmup,
        )
        for count, taken in times.items()
    ]


def bench_segmenter(job: Job) -> Result:
    """``ovseg bench segment``."""
    return result_of(segmenter_timings(job), job)


def result_of(rows: Sequence[Timing], job: Job) -> Result:
    """Return timings as a result."""
    return Result(lines=table(rows), data=report(rows, job.config, job.image))


def benchmark_image(path: Path | None, size: tuple[int, int]) -> np.ndarray:
    """Return an image of (width, height), RGB uint8: a file's, or smooth noise (seeded)."""
    if path is not None:
        return cv2.resize(read_image(path), size, interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)


def table(rows: Sequence[Timing]) -> list[str]:
    """Return the timings as lines of text."""
    columns = ("first ms", "median ms", "p95 ms", "floor x", "peak MiB")
    lines = [f"{'stage':24}" + "".join(f" {column:>10}" for column in columns)]
    lines += [
        f"{r.stage:24} {r.first_ms:10.1f} {r.median_ms:10.2f} {r.p95_ms:10.2f} "
        f"{r.floor_ratio or '-':>10} {r.peak_mib:10.0f}"
        for r in rows
    ]
    return lines


def report(rows: Sequence[Timing], config: PipelineConfig, image: np.ndarray) -> dict[str, Any]:
    """Return the timings and what they were made with, as plain data."""
    return {
        "stages": [{**asdict(row), "floor_ratio": row.floor_ratio} for row in rows],
        "image_hw": list(image.shape[:2]),
        "threads": torch.get_num_threads(),
        "options": flatten(config),
        "versions": versions(),
    }
