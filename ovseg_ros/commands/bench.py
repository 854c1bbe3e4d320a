"""`ovseg bench`: how long the parts take on this machine."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ovseg_ros.commands.options import DEVICE, PRESET, SET, pipeline_options
from ovseg_ros.presets import DEFAULT

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


def _segment(job: Job) -> list[Timing]:
    from ovseg_ros.evaluation import bench

    return bench.time_segmenter(job.config, job.image, job.counts, runs=job.runs, warmup=job.warmup)


def _discovery(job: Job) -> list[Timing]:
    from ovseg_ros.evaluation.discovery_bench import time_discovery

    return time_discovery(
        job.config,
        job.image,
        runs=max(1, job.runs // 5),
        warmup=min(job.warmup, 1),
        untrained=job.untrained,
    )


def _stages(job: Job) -> list[Timing]:
    from ovseg_ros.evaluation.stage_bench import time_stages

    often = {"runs": job.runs, "warmup": job.warmup}
    rows, found = time_stages(job.config, job.image, names=min(job.counts[-1], 10), **often)
    try:
        from ovseg_ros.nodes.message_bench import time_decoding, time_publishing
    except ModuleNotFoundError as error:
        typer.echo(f"decode, message build and publish are left out: they need ROS 2 ({error})")
        return rows
    decoding = time_decoding(job.image, **often)
    return [*decoding, *rows, *time_publishing(found, **often)]


def _simzss_train(job: Job) -> list[Timing]:
    from ovseg_ros.evaluation.bench import Timing
    from ovseg_ros.training.simzss_bench import measure_steps
    from ovseg_ros.weights import resolve_weights

    costs = measure_steps(
        Path(resolve_weights(job.config.segmenter.simzss.weights)),
        device=job.config.device,
        batch=job.batch,
        size=224,  # what the published models are trained with
        runs=job.runs,
        warmup=job.warmup,
    )
    return [
        Timing(
            stage=f"{c.objective}, {c.batch} pairs, {c.images_per_s:.1f}/s",
            device=c.device,
            first_ms=c.first_ms,
            median_ms=c.median_ms,
            p95_ms=c.p95_ms,
            runs=job.runs,
            peak_mib=c.peak_mib,
        )
        for c in costs
    ]


BENCHMARKS: dict[str, Callable[[Job], list[Timing]]] = {
    "segment": _segment,
    "stages": _stages,
    "discovery": _discovery,
    "simzss-train": _simzss_train,
}
"""Every benchmark by name."""

ALL = ("segment", "stages", "discovery")
"""Those that fit any preset and that `all` runs, in this order."""


def _pnp_ovss(job: Job) -> dict[str, Any]:
    from ovseg_ros.evaluation import pnp_ovss_bench
    from ovseg_ros.robot_cell.objects import CATALOGUE

    names = [kind.name for kind in CATALOGUE][: max(job.counts[:2])]
    return pnp_ovss_bench.compare(job.config, job.image, names, runs=max(1, job.runs // 10))


COMPARISONS: dict[str, tuple[str, Callable[[Job], dict[str, Any]]]] = {
    "pnp_ovss": ("robot_cell/pnp_ovss", _pnp_ovss),
}
"""Fast against plain computation of the same: the preset it is about by default, and how."""

_HELP = f"{', '.join([*BENCHMARKS, *COMPARISONS])}, or all: {', '.join(ALL)}."


def bench(
    name: str = typer.Argument("all", help=_HELP),
    preset: str = PRESET,
    image: Path | None = typer.Option(None, help="Image; a noise image by default."),
    size: str = typer.Option("640x480", metavar="WxH", help="Size of the image in pixels."),
    runs: int = typer.Option(20, min=1, help="Measured runs; discovery makes a fifth of them."),
    warmup: int = typer.Option(3, min=0, help="Runs before, that do not count."),
    batch: int = typer.Option(16, min=2, help="simzss-train: pairs per step."),
    untrained: str = typer.Option(
        "", help="discovery: base or large, a full-size BLIP with random weights."
    ),
    vocabulary_sizes: str = typer.Option("1,10,50,200", help="Numbers of names."),
    json_file: Path | None = typer.Option(None, "--json", help="Write the numbers as JSON."),
    device: str = DEVICE,
    sets: list[str] = SET,
) -> None:
    """Measure how long the parts take.

    Prints median, p95 and peak memory of segmentation by vocabulary size, of every stage of a
    frame's way through the node, and of discovery. "floor x" is the median by what the stage's
    arithmetic alone would take at a third of the device's peak.
    """
    valid = ", ".join([*BENCHMARKS, *COMPARISONS])
    if name not in (*BENCHMARKS, *COMPARISONS, "all"):
        raise ValueError(f"name: expected all or one of {valid}, got {name!r}")
    sizes = [part.strip() for part in vocabulary_sizes.split(",")]
    counts = [int(size) for size in sizes if size.isdecimal()]
    if len(counts) < len(sizes) or min(counts) < 1:
        raise ValueError(
            f"--vocabulary-sizes: expected numbers with commas, got {vocabulary_sizes!r}"
        )
    from ovseg_ros.commands.options import image_size
    from ovseg_ros.evaluation import bench as benchmark

    if name in COMPARISONS and preset == DEFAULT:
        preset = COMPARISONS[name][0]
    job = Job(
        config=pipeline_options(preset, sets, device=device),
        image=benchmark.benchmark_image(image, image_size(size)),
        counts=tuple(counts),
        runs=runs,
        warmup=warmup,
        batch=batch,
        untrained=untrained,
    )
    if name in COMPARISONS:
        result = COMPARISONS[name][1](job)
        for line in result["lines"]:
            typer.echo(line)
        _write(json_file, {key: value for key, value in result.items() if key != "lines"})
        return
    rows: list[Timing] = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["OVSEG_CACHE"] = cache  # invented names do not belong into the user's cache
        for chosen in ALL if name == "all" else (name,):
            rows += BENCHMARKS[chosen](job)
    for line in benchmark.table(rows):
        typer.echo(line)
    _write(json_file, benchmark.report(rows, job.config, job.image))


def _write(path: Path | None, data: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1) + "\n")
