"""`ovseg bench`: how long the parts take on this machine."""

from __future__ import annotations

from pathlib import Path

import typer

from ovseg_ros.bench.jobs import Job, benches, run_bench
from ovseg_ros.commands.options import DEVICE, PRESET, SET, image_size
from ovseg_ros.presets import DEFAULT, pipeline_options
from ovseg_ros.segmenters.systems import pick

_HELP = "; ".join(f"{name}: {part.about}" for name, part in benches().items())


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
    plot_file: Path | None = typer.Option(None, "--plot", help="graph: a picture of the numbers."),
    device: str = DEVICE,
    sets: list[str] = SET,
) -> None:
    """Measure how long the parts take.

    Prints median, p95 and peak memory of segmentation by vocabulary size, of every stage of a
    frame's way through the node, and of discovery. "floor x" is the median by what the stage's
    arithmetic alone would take at the device's peak, measured in the same run: at least 1, and
    about 3 for published engines.
    """
    part = pick("name", benches(), name)
    sizes = [text.strip() for text in vocabulary_sizes.split(",")]
    counts = [int(size) for size in sizes if size.isdecimal()]
    if len(counts) < len(sizes) or min(counts) < 1:
        raise ValueError(
            f"--vocabulary-sizes: expected numbers with commas, got {vocabulary_sizes!r}"
        )
    from ovseg_ros.bench.timing import benchmark_image

    if part.preset and preset == DEFAULT:
        preset = part.preset
    if plot_file is not None and name != "graph":
        raise ValueError(f"--plot: expected the benchmark graph, got {name}")
    job = Job(
        config=pipeline_options(preset, sets, device=device),
        image=benchmark_image(image, image_size(size)),
        counts=tuple(counts),
        runs=runs,
        warmup=warmup,
        batch=batch,
        untrained=untrained,
    )
    result = run_bench(part, job)
    for line in result.lines:
        typer.echo(line)
    if json_file is not None:
        result.write(json_file)
    if plot_file is not None:
        from ovseg_ros.bench.graph import plot

        plot(result.data["runs"], plot_file)
