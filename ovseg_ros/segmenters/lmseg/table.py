"""LMSeg's ablations on the robot cell: prompts, features, aggregation (arXiv 2412.00364).

Every row trains the same parts on the same towers for the same few steps. The paper publishes
results of its whole method only; its ablations' numbers are in no public text we know.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovseg_ros.config import flatten, from_mapping, override
from ovseg_ros.evaluation.datasets import open_dataset
from ovseg_ros.evaluation.evaluate import evaluate
from ovseg_ros.evaluation.protocol import EvaluationConfig, fingerprint
from ovseg_ros.evaluation.table import Request, Table, Value, kept, split_rows, train_once
from ovseg_ros.folders import data_folder
from ovseg_ros.pipeline import PipelineConfig, build_pipeline
from ovseg_ros.presets import pipeline_options
from ovseg_ros.segmenters.lmseg.recipe import LmsegRecipe, Seen, see_views, train
from ovseg_ros.segmenters.lmseg.segmenter import WITHOUT_ATTRIBUTES, LmsegSegmenter

RECIPE = LmsegRecipe(views=200, loop=replace(LmsegRecipe().loop, steps=300))
"""What the rows are trained with by default: far less than the weights that ship."""

ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "lmseg": ("LMSeg: enriched, fused, both", {}),
    "template": ("one template", {"prompts": "plain"}),
    "groups": ("templates of the groups", {"enrichment.file": "", "enrichment.ask": False}),
    "clip": ("CLIP's features alone", {"shape.features": "clip"}),
    "sam": ("segment-anything's alone", {"shape.features": "sam"}),
    "none": ("no enhancement", {"shape.spatial": False, "shape.classes": False}),
    "spatial": ("spatial enhancement alone", {"shape.classes": False}),
    "classes": ("class enhancement alone", {"shape.spatial": False}),
}
"""Folder of each row: what it is, and the options that make it."""

PLAIN = ("template", "groups")
"""Rows that claim no enrichment."""

SPLITS = ("novel",)
"""Beside the split that is asked for: unseen names, which richer prompts are about."""

PUBLISHED: dict[str, float] = {"A-150": 38.5, "PC-59": 63.4, "PC-459": 25.6, "A-847": 16.9}
"""mIoU of the whole method in percent, from public leaderboards."""


def table(request: Request) -> Table:
    """Train and score what is not kept in ``request.out`` yet; ``sets`` are the recipe's options.

    ``rows=a,b`` chooses rows.

    Raises:
        ValueError: if there is no such row, or a row with enriched prompts has no attributes.
    """
    root = request.root or data_folder("robot_cell")
    chosen, sets = split_rows(request, ROWS)
    fixed = {"data": str(root), "loop.device": request.device}
    recipe = override(RECIPE, sets, fixed)
    splits = [s for s in dict.fromkeys((request.split, *SPLITS)) if (root / s).is_dir()]
    columns = ("method", "w of CLIP", *(f"mIoU {split}" for split in splits), *PUBLISHED)
    rows: list[dict[str, Value]] = []
    seen: list[Seen] = []

    def run(own: LmsegRecipe) -> None:
        if not seen and recipe.views:  # rows differ in nothing that the towers see
            seen.extend(see_views(replace(recipe, shape=replace(recipe.shape, features="fused"))))
        train(own, seen or None)

    for name in chosen:
        title, changes = ROWS[name]
        folder = request.out / name
        own = from_mapping(LmsegRecipe, {**flatten(recipe), **changes, "out": str(folder)})
        if name not in PLAIN and not (own.enrichment.file or own.enrichment.ask):
            raise ValueError(
                f"enrichment.file: row {name} is about enrichment; {WITHOUT_ATTRIBUTES}"
            )
        if not _same_towers(folder, own):
            shutil.rmtree(folder, ignore_errors=True)
        train_once(own, run)
        row: dict[str, Value] = {"method": title, "w of CLIP": _mix(folder, own)}
        for split in splits:
            row[f"mIoU {split}"] = _score(request, root, folder, own, split)
        rows.append(row)
    rows.append({"method": "LMSeg (published, its own data sets, %)", **PUBLISHED})
    return Table(
        title="LMSeg on the robot cell: prompts, features, enhancement",
        columns=columns,
        rows=rows,
        notes={
            "training": f"{recipe.loop.steps} steps of {recipe.loop.batch} views each, at most "
            f"{recipe.names or 'all'} names a step; towers frozen",
            "measured": f"true names, {request.limit or 'all'} images of every split",
            "w": "of CLIP in the fusion; begins at 0.900",
            "attributes": next(
                (_card(request.out / n)["attributes"] for n in chosen if n not in PLAIN), ""
            ),
            "choices": "everything but prompts, fusion, cost map and loss follows CAT-Seg",
        },
    )


def _card(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "card.json").read_text())
    return found


def _same_towers(folder: Path, recipe: LmsegRecipe) -> bool:
    """Tell whether a row that is kept, if any, stands on the towers of today."""
    if not (folder / "card.json").is_file():
        return True
    found = _card(folder).get("towers", {})
    return bool(found == {"clip": fingerprint(recipe.clip), "sam": fingerprint(recipe.sam)})


def _mix(folder: Path, recipe: LmsegRecipe) -> float | None:
    """Return the learnt w; None where nothing is mixed."""
    return float(_card(folder)["mix"]) if recipe.shape.features == "fused" else None


def _score(
    request: Request, root: Path, folder: Path, recipe: LmsegRecipe, split: str
) -> float | None:
    """Return the mIoU of weights with the true names of a split."""
    options = pipeline_options("robot_cell", [], device=request.device, measured=True)
    changes = {
        "segmenter.name": "lmseg",
        "segmenter.lmseg.weights": str(folder),
        **{
            f"segmenter.lmseg.enrichment.{key}": value
            for key, value in flatten(recipe.enrichment).items()
        },
        "segmenter.lmseg.canvas": 0,
        "segmenter.lmseg.window": recipe.crop,
        "segmenter.lmseg.prompts": recipe.prompts,
        "discovery.name": "none",
    }
    options = from_mapping(PipelineConfig, {**flatten(options), **changes})

    def measure() -> dict[str, Any]:
        data = open_dataset("robot_cell", split=split, root=root)
        pipeline = build_pipeline(options)
        assert isinstance(pipeline.segmenter, LmsegSegmenter)
        if recipe.prompts == "enriched":  # before the first image, not while they pass
            pipeline.segmenter.enrichment.complete(data.classes)
        config = EvaluationConfig(vocabulary="gt")
        return {"miou": evaluate(pipeline, data, config, limit=request.limit).summary()["miou"]}

    found = kept(
        folder / f"{split}.json",
        measure,
        weights=fingerprint(str(folder)),
        root=str(root.resolve()),
        limit=request.limit,
    )
    return found["miou"]
