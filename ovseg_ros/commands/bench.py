"""`ovseg bench`: how long the stages take on this machine."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import typer

from ovseg_ros.commands.options import DEVICE, PRESET, SET, pipeline_options


def bench(
    stage: str = typer.Argument("all", help="segment, discovery or all."),
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
    """Measure how long the stages take.

    Prints median, p95 and peak memory of segmentation by vocabulary size, and of discovery.
    """
    from ovseg_ros.commands.options import image_size
    from ovseg_ros.evaluation import bench as benchmark

    if stage not in ("segment", "discovery", "all"):
        raise ValueError(f"stage: expected segment, discovery or all, got {stage!r}")
    counts = [int(part) for part in vocabulary_sizes.split(",") if part.strip().isdecimal()]
    if not counts or min(counts) < 1:
        raise ValueError(
            f"--vocabulary-sizes: expected numbers with commas, got {vocabulary_sizes!r}"
        )
    config = pipeline_options(preset, sets, device=device)
    picture = benchmark.benchmark_image(image, image_size(size))
    rows: list[benchmark.Timing] = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["OVSEG_CACHE"] = cache  # invented names do not belong into the user's cache
        if stage != "discovery":
            rows += benchmark.time_segmenter(config, picture, counts, runs=runs, warmup=warmup)
        if stage != "segment":
            rows += benchmark.time_discovery(
                config, picture, runs=max(1, runs // 5), warmup=min(warmup, 1)
            )
    for line in benchmark.table(rows):
        typer.echo(line)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        data = benchmark.report(rows, config, picture)
        json_file.write_text(json.dumps(data, indent=1) + "\n")
