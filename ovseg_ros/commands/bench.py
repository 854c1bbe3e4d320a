"""`ovseg bench`: how long the parts take on this machine."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ovseg_ros.commands.options import DEVICE, PRESET, SET, pipeline_options

if TYPE_CHECKING:
    import numpy as np

    from ovseg_ros.evaluation.bench import Timing
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
    """

    config: PipelineConfig
    image: np.ndarray
    counts: tuple[int, ...]
    runs: int
    warmup: int


def _segment(job: Job) -> list[Timing]:
    from ovseg_ros.evaluation import bench

    return bench.time_segmenter(job.config, job.image, job.counts, runs=job.runs, warmup=job.warmup)


def _discovery(job: Job) -> list[Timing]:
    from ovseg_ros.evaluation import bench

    return bench.time_discovery(
        job.config, job.image, runs=max(1, job.runs // 5), warmup=min(job.warmup, 1)
    )


BENCHMARKS: dict[str, Callable[[Job], list[Timing]]] = {
    "segment": _segment,
    "discovery": _discovery,
}
"""Every benchmark by name."""

ALL = ("segment", "discovery")
"""Those that fit any preset and that `all` runs, in this order."""


def bench(
    name: str = typer.Argument("all", help=f"{', '.join(BENCHMARKS)}, or all: {', '.join(ALL)}."),
    preset: str = PRESET,
    image: Path | None = typer.Option(None, help="Image; a noise image by default."),
    size: str = typer.Option("640x480", metavar="WxH", help="Size of the image in pixels."),
    runs: int = typer.Option(20, min=1, help="Measured runs; discovery makes a fifth of them."),
    warmup: int = typer.Option(3, min=0, help="Runs before, that do not count."),
    vocabulary_sizes: str = typer.Option("1,10,50,200", help="Numbers of names."),
    json_file: Path | None = typer.Option(None, "--json", help="Write the numbers as JSON."),
    device: str = DEVICE,
    sets: list[str] = SET,
) -> None:
    """Measure how long the parts take.

    Prints median, p95 and peak memory of segmentation by vocabulary size, and of discovery.
    """
    if name not in (*BENCHMARKS, "all"):
        raise ValueError(f"name: expected all or one of {', '.join(BENCHMARKS)}, got {name!r}")
    counts = [int(part) for part in vocabulary_sizes.split(",") if part.strip().isdecimal()]
    if not counts or min(counts) < 1:
        raise ValueError(
            f"--vocabulary-sizes: expected numbers with commas, got {vocabulary_sizes!r}"
        )
    from ovseg_ros.commands.options import image_size
    from ovseg_ros.evaluation import bench as benchmark

    job = Job(
        config=pipeline_options(preset, sets, device=device),
        image=benchmark.benchmark_image(image, image_size(size)),
        counts=tuple(counts),
        runs=runs,
        warmup=warmup,
    )
    rows: list[Timing] = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["OVSEG_CACHE"] = cache  # invented names do not belong into the user's cache
        for chosen in ALL if name == "all" else (name,):
            rows += BENCHMARKS[chosen](job)
    for line in benchmark.table(rows):
        typer.echo(line)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        data = benchmark.report(rows, job.config, job.image)
        json_file.write_text(json.dumps(data, indent=1) + "\n")
