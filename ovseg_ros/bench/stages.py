"""A frame's way through the segmenter, stage by stage, against the floor of its arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.bench.names import bench_names
from ovseg_ros.bench.timing import Timing, milliseconds, result_of, timing
from ovseg_ros.models.stages import Stopwatch
from ovseg_ros.pipeline import PipelineConfig
from ovseg_ros.segmenters.base import Segmenter
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.segmenters.systems import load_place
from ovseg_ros.types import Segmentation, Vocabulary

_SIDES = {"cpu": (512, 1024), "cuda": (2048, 4096, 8192)}
"""Matrix products that show what a device can do: none alone is the fastest everywhere."""

_PRODUCTS = 4
"""How often each product is tried; the fastest counts."""


def time_stages(
    config: PipelineConfig, image: np.ndarray, *, names: int, runs: int, warmup: int
) -> tuple[list[Timing], Segmentation]:
    """Time the stages that a segmenter marks, and the whole frame without marks.

    Args:
        config: Which segmenter, and where it runs.
        image: RGB, (H, W, 3) uint8.
        names: Size of the vocabulary.
        runs: Measured runs.
        warmup: Runs before, that do not count.

    Returns:
        Timings with floors, and what was segmented.
    """
    segmenter = build_segmenter(config.segmenter, device=config.device, dtype=config.dtype)
    words = Vocabulary.of(*bench_names(names))
    wait = _waiter(segmenter.device)
    peak = peak_tflops(segmenter.device, getattr(torch, segmenter.dtype))
    stages: dict[str, list[float]] = {}
    for _ in range(1 + warmup + runs):
        with Stopwatch(wait) as watch:
            found = segmenter.segment(image[None], words)
        for name, ms in watch.ms.items():
            stages.setdefault(name, []).append(ms)
    flops = _flops(segmenter, image, words)
    start = 1 + warmup
    counted = {name: times for name, times in stages.items() if len(times) > start}  # not once only
    whole = milliseconds(
        lambda: segmenter.segment(image[None], words), segmenter.device, start + runs
    )
    # The peak of this very run, before and after: other programs share the machine. Whatever goes
    # faster than the products did is a peak as well, so that no floor is above what was measured.
    reached = [peak, peak_tflops(segmenter.device, getattr(torch, segmenter.dtype))]
    reached += [
        flops.get(name, 0) / 1e9 / min(times[start:])
        for name, times in {**counted, "frame": whole}.items()
    ]
    best = max(reached)

    def row(name: str, key: str, times: list[float]) -> Timing:
        floor_ms = flops.get(key, 0) / 1e9 / best
        return timing(name, segmenter.device, times, warmup=warmup, floor_ms=floor_ms)

    rows = [row(name, name, times) for name, times in counted.items()]
    return [*rows, row(f"frame, {names} names", "frame", whole)], found


def peak_tflops(device: str, kind: torch.dtype) -> float:
    """Return the arithmetic that a device does per second: that of the fastest large product.

    Args:
        device: cpu, cuda or cuda:N.
        kind: Type of the numbers.
    """
    best = 0.0
    for side in _SIDES[device.partition(":")[0]]:
        matrix = torch.ones(side, side, device=device, dtype=kind)
        product = matrix @ matrix

        def run(matrix: torch.Tensor = matrix, product: torch.Tensor = product) -> None:
            torch.mm(matrix, matrix, out=product)

        best = max(best, 2 * side**3 / 1e9 / min(milliseconds(run, device, _PRODUCTS)))
    return best


def _flops(segmenter: Segmenter, image: np.ndarray, words: Vocabulary) -> dict[str, int]:
    """Return multiplications and additions by stage, and of the whole ``frame``."""
    counter = FlopCounterMode(display=False)
    with counter, Stopwatch(count=counter.get_total_flops) as watch:
        segmenter.segment(image[None], words)
    return {**watch.flops, "frame": counter.get_total_flops()}


def _waiter(device: str) -> Callable[[], None]:
    if device.startswith("cuda"):
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


def stage_timings(job: Job) -> list[Timing]:
    """Time the stages of a frame; those of its messages too where ROS 2 is at hand."""
    often = {"runs": job.runs, "warmup": job.warmup}
    rows, found = time_stages(job.config, job.image, names=min(job.counts[-1], 10), **often)
    try:
        # By name: what is above the bench may time itself, but the bench does not know it.
        time_decoding = load_place("ovseg_ros.nodes.message_bench:time_decoding")
        time_publishing = load_place("ovseg_ros.nodes.message_bench:time_publishing")
    except ModuleNotFoundError as error:
        print(f"decode, message build and publish are left out: they need ROS 2 ({error})")
        return rows
    return [*time_decoding(job.image, **often), *rows, *time_publishing(found, **often)]


def bench_stages(job: Job) -> Result:
    """``ovseg bench stages``."""
    return result_of(stage_timings(job), job)
