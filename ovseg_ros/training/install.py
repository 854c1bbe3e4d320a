"""Puts trained weights into the package, with a card that says what they reach."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ovseg_ros.config import override
from ovseg_ros.evaluation.datasets import open_dataset
from ovseg_ros.evaluation.evaluate import evaluate
from ovseg_ros.evaluation.protocol import EvaluationConfig
from ovseg_ros.models.files import read_object
from ovseg_ros.models.tower import NOTE
from ovseg_ros.models.weights import ASSETS
from ovseg_ros.pipeline import build_pipeline
from ovseg_ros.presets import pipeline_options
from ovseg_ros.segmenters.systems import Install
from ovseg_ros.whole_files import UNFINISHED, write_json

LEFT_BEHIND = ("checkpoint.pt", f"*{UNFINISHED}", "log.csv")
"""Files of a run that weights do not need."""

FIGURES = ("miou", "c_miou", "vocabulary_precision", "vocabulary_recall", "images")
"""What a card says of an evaluation."""


def install(
    out: Path,
    what: Install,
    *,
    root: Path | None = None,
    splits: tuple[str, ...] = ("val", "test", "novel", "wild"),
    limit: int | None = None,
    assets: Path = ASSETS,
) -> Path:
    """Measure the weights in a run's folder, note it on their card, and copy them into the package.

    Args:
        out: Folder of the run, with its ``card.json``.
        what: Which asset it is, and what runs with it.
        root: Folder of the robot cell's splits; the default place if None.
        splits: Splits that are measured.
        limit: Only the first images of each.
        assets: Folder of the assets.

    Returns:
        The folder of the asset; the one before it is replaced.

    Raises:
        FileNotFoundError: if the run is not finished or a split is missing.
    """
    path = out / "card.json"
    if not path.is_file():
        raise FileNotFoundError(f"out: expected {path} of a finished run, it is not there")
    card = json.loads(path.read_text())
    if what.preset:
        card["metrics"] = measure(out, what, root=root, splits=splits, limit=limit)
        write_json(path, card)
    target = assets / what.asset
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(out, fresh, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    shutil.rmtree(target, ignore_errors=True)
    fresh.replace(target)
    return target


def measure(
    out: Path, what: Install, *, root: Path | None, splits: tuple[str, ...], limit: int | None
) -> dict[str, Any]:
    """Return what a preset reaches with the weights in a folder, by split, as ``ovseg eval``."""
    changes = {what.option: str(out)}
    if what.vocabulary == "gt":
        changes["discovery.name"] = "none"
    if (out / NOTE).is_file():  # the tower that these weights stand on
        changes[what.option.replace(".weights", ".tower")] = read_object(out / NOTE)["tower"]
    options = override(pipeline_options(what.preset, [], measured=True), [], changes)
    pipeline = build_pipeline(options)
    config = EvaluationConfig(vocabulary=what.vocabulary)
    found: dict[str, Any] = {
        "preset": what.preset, "vocabulary": what.vocabulary, "dtype": options.dtype
    }  # fmt: skip
    for split in splits:
        data = open_dataset("robot_cell", split=split, root=root)
        summary = evaluate(
            pipeline, data, config, options=options, limit=limit, progress=True
        ).summary()
        found[split] = {key: summary[key] for key in FIGURES if summary.get(key) is not None}
        found[split] |= {"pq": summary["panoptic"]["all"]["pq"]} if summary.get("panoptic") else {}
    return found
