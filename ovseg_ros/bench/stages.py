"""A frame's way through the segmenter, stage by stage, against the floor of its arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.bench.timing import Timing, measure, result_of, timing
from ovseg_ros.models.stages import Stopwatch
from ovseg_ros.pipeline import PipelineConfig
from ovseg_ros.segmenters.base import Segmenter
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.segmenters.systems import load_place
from ovseg_ros.types import Segmentation, Vocabulary

PEAK_TFLOPS = {"Orin": 42.5, "RTX 4090": 165.0, "A100": 312.0, "H100": 989.0, "H200": 989.0}
"""Dense float16 peak by what the name of a GPU holds; of other devices it is measured."""

ACHIEVED = 0.33
"""Share of the peak that published inference engines reach."""


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
    words = Vocabulary.of(*(f"object {number}" for number in range(names)))
    wait = _waiter(segmenter.device)
    stages: dict[str, list[float]] = {}
    for _ in range(1 + warmup + runs):
        with Stopwatch(wait) as watch:
            found = segmenter.segment(image[None], words)
        for name, ms in watch.ms.items():
            stages.setdefault(name, []).append(ms)
    flops = _flops(segmenter, image, words)
    tflops = peak_tflops(segmenter.device)
    rows = [
        timing(
            name,
            segmenter.device,
            times,
            warmup=warmup,
            floor_ms=flops.get(name, 0) / 1e9 / (ACHIEVED * tflops),
        )
        for name, times in stages.items()
        if len(times) > 1 + warmup  # not what happened once, such as new words
    ]
    whole = measure(
        f"frame, {names} names",
        segmenter.device,
        lambda: segmenter.segment(image[None], words),
        runs=runs,
        warmup=warmup,
        floor_ms=flops["frame"] / 1e9 / (ACHIEVED * tflops),
    )
    return [*rows, whole], found


def peak_tflops(device: str) -> float:
    """Return a device's peak: the published one of a known GPU, else that of a large product."""
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
        known = next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)
        if known is not None:
            return known
    side = 2048 if device.startswith("cuda") else 1024
    kind = torch.float16 if device.startswith("cuda") else torch.float32
    matrix = torch.ones(side, side, device=device, dtype=kind)
    wait, product = _waiter(device), matrix @ matrix

    def run() -> None:
        torch.mm(matrix, matrix, out=product)
        wait()

    best_ms = min(measure("product", device, run, runs=1, warmup=0).median_ms for _ in range(8))
    return 2 * side**3 / 1e9 / best_ms


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
