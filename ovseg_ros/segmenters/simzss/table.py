"""SimZSS against LiT and CLIP: the same steps from the same tower (arXiv 2406.16085)."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ovseg_ros.config import flatten, override
from ovseg_ros.evaluation.classification import crops, evaluate_classification
from ovseg_ros.evaluation.datasets import open_dataset
from ovseg_ros.evaluation.evaluate import evaluate
from ovseg_ros.evaluation.protocol import EvaluationConfig, fingerprint
from ovseg_ros.evaluation.table import Request, Table, Value, kept, train_once
from ovseg_ros.folders import data_folder
from ovseg_ros.pipeline import build_pipeline
from ovseg_ros.presets import pipeline_options
from ovseg_ros.robot_cell.render import render_split
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.segmenters.simzss.bench import measure_steps
from ovseg_ros.segmenters.simzss.recipe import SimZSSRecipe, for_objective, train

COLUMNS = (
    "method", "data", "miou_gt", "miou_gt sentence", "accuracy", "visible", "ms/step", "images/s",
    "memory MiB", "VOC20", "PC59", "Stuff", "City", "ADE", "ImageNet",
)  # fmt: skip

NAMES = {"clip": "CLIP", "lit": "LiT", "simzss": "SimZSS"}

RECIPE = SimZSSRecipe(views=1, loop=replace(SimZSSRecipe().loop, steps=100))
"""What the rows are trained with by default: enough to tell them apart in a quarter of an hour."""

FRAMES = 1200
"""Frames of the train split that are rendered if there is none."""

BATCH, RUNS = 16, 10
"""Pairs per timed step, and timed steps."""


def table(request: Request) -> Table:
    """Train and score what is not kept in ``request.out`` yet; ``sets`` are the recipe's options.

    Weights of the same options that lie in ``request.out`` already are not trained again.
    """
    root = request.root or data_folder("robot_cell")
    if not (root / "train" / "frames.jsonl").is_file():
        render_split(root, "train", count=FRAMES, workers=os.cpu_count() or 1)
    fixed: dict[str, Any] = {"data": str(root), "loop.device": request.device}
    recipe = override(RECIPE, request.sets, fixed)
    rows: list[dict[str, Value]] = []
    folders = {name: request.out / name for name in NAMES}
    for name, folder in folders.items():
        train_once(for_objective(recipe, name, folder), train)
    costs = kept(
        request.out / "cost.json",
        lambda: _costs(folders["simzss"], request.device),
        weights=fingerprint(str(folders["simzss"])),
        device=request.device,
    )
    for name, folder in folders.items():
        scores = kept(
            request.out / f"{name}.json",
            partial(_score, request, root, folder, recipe.token_size),
            weights=fingerprint(str(folder)),
            root=str(root.resolve()),
            split=request.split,
            limit=request.limit,
        )
        rows.append({"method": NAMES[name], "data": "robot cell", **scores, **costs[name]})
    return Table(
        title="SimZSS: concept-level alignment on a frozen tower",
        columns=COLUMNS,
        rows=[*rows, *PUBLISHED],
        notes={
            "measured": f"{recipe.loop.steps} steps of {recipe.loop.batch} from the same tower, "
            f"split {request.split}",
            "miou_gt": "class text from the name's own tokens (preset robot_cell); next column: "
            "from the prompt's sentence, as published",
            "accuracy": "class token against names, crops around what frames show: the subject; "
            "visible: anything the square shows",
            "ms/step": f"whole steps of {BATCH} pairs at 224 px, tower included",
            "published": "arXiv 2406.16085: VOC20 .. ADE are mIoU, ImageNet accuracy, %; cost on "
            "8 dies of MI250x at batch 256 (CLIP) and 1024 each, memory per die",
            "options": {k: v for k, v in flatten(recipe).items() if k not in ("data", "out")},
        },
    )


def _score(request: Request, root: Path, folder: Path, side: int) -> dict[str, Any]:
    """Return what a set of weights reaches."""
    data = open_dataset("robot_cell", split=request.split, root=root)
    scores: dict[str, Any] = {}
    for column, text in (("miou_gt", "concept"), ("miou_gt sentence", "sentence")):
        options = pipeline_options(
            "robot_cell",
            [f"segmenter.simzss.weights={folder}", f"segmenter.simzss.class_text={text}"],
            device=request.device,
            measured=True,
            discovery__name="none",
        )
        result = evaluate(
            build_pipeline(options),
            data,
            EvaluationConfig(),
            options=options,
            resume=request.out / "images",
            limit=request.limit,
            progress=True,
        )
        scores[column] = result.summary()["miou"]
    segmenter: Any = build_segmenter(options.segmenter, device=options.device, dtype=options.dtype)
    pictures = crops(data, side=side, limit=request.limit)
    found = evaluate_classification(segmenter, pictures, data.classes, progress=True)
    return {**scores, "accuracy": found["accuracy"], "visible": found["visible_accuracy"]}


def _costs(weights: Path, device: str) -> dict[str, Any]:
    costs = measure_steps(weights, device=device, batch=BATCH, size=224, runs=RUNS)
    return {
        objective: {
            "ms/step": cost.median_ms,
            "images/s": round(1000 * BATCH / cost.median_ms, 2),
            "memory MiB": cost.peak_mib,
        }
        for objective, cost in costs.items()
    }


def _published(method: str, data: str, *values: Value, **more: Value) -> dict[str, Value]:
    names = ("VOC20", "PC59", "Stuff", "City", "ADE", "ImageNet")
    return {"method": method, "data": data, **dict(zip(names, values, strict=True)), **more}


def _cost(ms: float, images: float, gigabytes: float) -> dict[str, Value]:
    return {"ms/step": ms, "images/s": images, "memory MiB": round(gigabytes * 1e9 / 2**20)}


PUBLISHED: tuple[dict[str, Value], ...] = (
    _published(
        "CLIP, ViT-B", "LAION-400M", 35.1, 7.7, 4.2, 1.8, 2.0, 67.0, **_cost(1196.0, 1712, 40)
    ),
    _published("LiT, ViT-B", "LAION-400M", 80.5, 31.8, 23.3, 24.7, 18.7, 63.6),
    _published("LiT, ViT-B", "COCO", 86.1, 35.5, 25.6, 25.8, 18.1, 22.6, **_cost(2049.2, 3997, 27)),
    _published("SimZSS, ViT-B", "LAION-400M", 85.1, 34.2, 24.9, 27.8, 19.6, 64.1),
    _published("SimZSS, ViT-S", "COCO", 87.2, 37.3, 23.8, 29.2, 17.9, None),
    _published(
        "SimZSS, ViT-B", "COCO", 90.3, 43.1, 29.0, 33.0, 21.8, 24.3, **_cost(2069.8, 3957, 38)
    ),
)
"""The poster's tables."""
