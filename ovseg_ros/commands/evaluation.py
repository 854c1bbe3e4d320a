"""`ovseg eval`: a preset on a data set, in numbers that can be repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from ovseg_ros.commands.options import DEVICE, PRESET, SET
from ovseg_ros.config import override
from ovseg_ros.presets import pipeline_options
from ovseg_ros.programs import need
from ovseg_ros.segmenters.systems import dataset_rules
from ovseg_ros.whole_files import write_json


def evaluate(
    preset: str = PRESET,
    dataset: str = typer.Option(
        "robot_cell",
        help="robot_cell, a public data set (voc20, ade150, ...), or your folder: images/, "
        "masks/ and classes.txt, whose lines count from 1 unless they say their value (0: floor).",
    ),
    split: str | None = typer.Option(
        None, help="val or train; of the robot cell val, test, novel or sequence."
    ),
    root: Path | None = typer.Option(
        None, help="Folder of the public data sets ($OVSEG_DATA), or of the robot cell's splits."
    ),
    vocabulary: str = typer.Option("gt", help="gt (the classes' names) or auto (discovered)."),
    segmentation: str = typer.Option(
        "segmenter", help="segmenter, or clusters (discovery's embeddings only)."
    ),
    averaging: str = typer.Option("detectron2", help="detectron2 or mmseg, see the report."),
    mapper: str = typer.Option("lexical", help="Who maps names: lexical, lave or sbert."),
    protocol: list[str] = typer.Option(
        [], metavar="KEY=VALUE", help="Any other option of the protocol: boundary_px=3."
    ),
    seed: int = typer.Option(0, min=0, help="Image i is discovered with seed + i."),
    limit: int | None = typer.Option(None, min=1, help="Only the first images."),
    strict: bool = typer.Option(False, help="Stop at a missing or damaged image; else skip it."),
    temporal: bool = typer.Option(False, help="Also measure steadiness over the frames in order."),
    discover_every: int = typer.Option(15, min=1, help="With --temporal: frames per discovery."),
    fps: float = typer.Option(10.0, min=1e-3, help="With --temporal: frames per second."),
    json_file: Path | None = typer.Option(None, "--json", help="Write the numbers as JSON."),
    html_file: Path | None = typer.Option(None, "--html", help="Write a page with pictures."),
    resume: Path | None = typer.Option(
        None, help="Folder that remembers finished images, so that a killed run goes on."
    ),
    device: str = DEVICE,
    sets: list[str] = SET,
) -> None:
    """Measure a preset on a data set, in float32 unless the preset or --set dtype=... says else.

    Prints IoU per category, mIoU, c-mIoU, PQ where there are instances, and precision and recall of
    discovered words. Processes share the images where torchrun starts them:
    torchrun --nproc-per-node 4 --no-python ovseg eval ...
    """
    from ovseg_ros.cli import complain
    from ovseg_ros.evaluation.datasets import open_dataset
    from ovseg_ros.evaluation.evaluate import evaluate as run
    from ovseg_ros.evaluation.predict import Predictor
    from ovseg_ros.evaluation.protocol import EvaluationConfig
    from ovseg_ros.evaluation.sequence import evaluate_sequence
    from ovseg_ros.evaluation.shards import device_of_process, shard_of_process
    from ovseg_ros.pipeline import build_pipeline

    if html_file is not None:
        need("jinja2")
    fixed = {"vocabulary": vocabulary, "segmentation": segmentation, "averaging": averaging}
    fixed |= {"seed": seed, "mapper.name": mapper}  # type: ignore[dict-item]
    if taken := {entry.partition("=")[0].strip() for entry in protocol} & fixed.keys():
        raise ValueError(f"--protocol: {min(taken)} has an option of its own")
    rules = None
    without = {"discovery__name": "none"} if vocabulary == "gt" else {}
    options = pipeline_options(preset, sets, device=device, measured=True, **without)
    options = override(options, [], {"device": device_of_process(options.device)})
    override(EvaluationConfig(), protocol, fixed)  # mistakes are refused before images are rendered
    data = open_dataset(dataset, split=split, root=root)
    if vocabulary == "gt":
        own = getattr(options.segmenter, options.segmenter.name)
        rules = dataset_rules(options.segmenter.name, data.name, own)
    if rules is not None:
        options = override(options, [], unasked(rules.options, sets))
        fixed |= unasked(rules.protocol, protocol)
        typer.echo(f"{options.segmenter.name} on {data.name}: {rules.about} (unless asked)")
    config = override(EvaluationConfig(), protocol, fixed)
    pipeline = build_pipeline(options)
    predictor = Predictor(pipeline, data, config)
    try:
        with shard_of_process() as shard:
            result = run(
                pipeline,
                data,
                config,
                options=options,
                mapper=predictor.mapper,
                resume=resume,
                limit=limit,
                strict=strict,
                shard=shard,
                progress=True,
            )
    except KeyboardInterrupt:
        typer.echo(
            f"stopped; the same command goes on with --resume {resume}"
            if resume
            else "stopped; with --resume DIR a run can go on",
            err=True,
        )
        raise typer.Exit(130) from None
    if not shard.first:
        return
    summary, failed = result.summary(), bool(result.skipped)
    if temporal:
        try:
            summary["temporal"] = evaluate_sequence(
                pipeline,
                data,
                predictor.mapper,
                discover_every=discover_every if vocabulary == "auto" else 0,
                fps=fps,
                vocabulary=options.vocabulary,
                seed=seed,
                limit=limit,
                progress=True,
            )
        except (ValueError, OSError) as error:  # what is measured already is not lost
            complain(f"--temporal: not measured: {error}")
            failed = True
    for line in table(summary):
        typer.echo(line)
    if json_file is not None:
        write_json(json_file, summary)
    if html_file is not None:
        from ovseg_ros.evaluation.report import write_html

        write_html(html_file, result, data, predictor)
    if failed:
        raise typer.Exit(1)


def unasked(changes: Mapping[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """Return those changes that nobody typed himself as ``key=value``."""
    asked = {entry.partition("=")[0].strip() for entry in sets}
    return {key: value for key, value in changes.items() if key not in asked}


def table(summary: dict[str, Any]) -> list[str]:
    """Return the numbers of an evaluation as lines of text."""
    protocol = summary["protocol"]
    width = max([len(name) for name in summary["per_category"]] + [len("vocabulary precision")])

    def row(name: str, value: float | None) -> str:
        return f"{name:{width}}  {'-' if value is None else format(value, '.4f')}"

    lines = [row(name, value) for name, value in summary["per_category"].items()]
    lines += [
        "",
        row("mIoU", summary["miou"]) + f"  ({protocol['averaging']})",
        row("c-mIoU", summary["c_miou"]),
    ]
    if "miou_boundary_free" in summary:
        lines.append(row("mIoU off the borders", summary["miou_boundary_free"]))
    for group, scores in (summary.get("panoptic") or {}).items():
        values = ", ".join(f"{key.upper()} {scores[key] or 0:.4f}" for key in ("pq", "sq", "rq"))
        if scores["classes"]:
            lines.append(f"{'panoptic, ' + group:{width}}  {values}")
    if protocol["vocabulary"] == "auto":
        lines += [
            row("vocabulary precision", summary["vocabulary_precision"]),
            row("vocabulary recall", summary["vocabulary_recall"]),
        ]
    if "temporal" in summary:
        settings = ("frames", "discover_every", "fps")
        measured = {k: v for k, v in summary["temporal"].items() if k not in settings}
        lines += [row(name.replace("_", " "), value) for name, value in measured.items()]
    lines.append(
        f"{summary['images']} images of {protocol['dataset']}, vocabulary {protocol['vocabulary']},"
        f" {protocol['segmenter']} on {protocol['device']} in {protocol['dtype']},"
        f" seed {protocol['seed']}"
    )
    lines += [f"left out: {entry['reason']}" for entry in summary["skipped"]]
    return lines
