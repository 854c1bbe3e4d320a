"""FISA's ablations (arXiv 2409.16278) on the robot cell: what is added to CLIP, what is trained.

Every row adapts the same small CLIP to the same proposals for the same few steps. The orderings of
the paper are across vocabularies, so they are judged on splits with other words or another world.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovseg_ros.config import flatten, override
from ovseg_ros.evaluation.datasets import open_dataset
from ovseg_ros.evaluation.datasets.robot_cell import robot_cell_root
from ovseg_ros.evaluation.evaluate import evaluate
from ovseg_ros.evaluation.protocol import EvaluationConfig, fingerprint
from ovseg_ros.evaluation.table import Request, Table, Value, kept, split_rows, train_once
from ovseg_ros.pipeline import build_pipeline
from ovseg_ros.presets import pipeline_options
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.segmenters.fisa.config import Adaptation
from ovseg_ros.segmenters.fisa.oracle import oracle_study
from ovseg_ros.segmenters.fisa.recipe import FisaRecipe, train, with_adaptation

PRESET = "robot_cell/fisa"

RECIPE = FisaRecipe(views=300, loop=replace(FisaRecipe().loop, steps=300))
"""What the rows are trained with by default."""

ROWS: dict[str, tuple[str, Adaptation]] = {
    "baseline": ("baseline", Adaptation(seve=False, query="none", adapter=0)),
    "seve": ("+ SEVE", Adaptation(query="none")),
    "full": ("+ SEVE + all of CLIP", Adaptation(query="none", tuned=("clip",))),
    "fisa": ("+ SEVE + SIMO (FISA)", Adaptation()),
    "shared": ("FISA, shared queries", Adaptation(query="shared")),
    "text": ("FISA + language encoder", Adaptation(tuned=("text",))),
    "adapter0": ("FISA, no adapter", Adaptation(adapter=0)),
    "adapter1": ("FISA, adapter of 1", Adaptation(adapter=1)),
    "adapter3": ("FISA, adapter of 3", Adaptation(adapter=3)),
    "lora16": ("SEVE + LoRA, rank 16", Adaptation(query="none", lora=16)),
    "lora4": ("SEVE + LoRA, rank 4", Adaptation(query="none", lora=4)),
}
"""Our rows: name of the folder to (what it is, what is added and trained)."""

SPLITS = ("novel", "wild")
"""Beside the split that is asked for: other words, another world."""

ORACLES = {"masks": "oracle masks", "classifier": "oracle classifier"}


def table(request: Request) -> Table:
    """Train and score what is not kept in ``request.out`` yet; ``sets`` are the recipe's options.

    ``rows=a,b`` chooses rows. Weights of the same options that lie in ``request.out`` already are
    not trained again.

    Raises:
        ValueError: if there is no such row.
    """
    root = request.root or robot_cell_root()
    chosen, sets = split_rows(request, ROWS)
    fixed: dict[str, Any] = {"data": str(root), "loop.device": request.device}
    recipe = override(RECIPE, sets, fixed)
    splits = [s for s in dict.fromkeys((request.split, *SPLITS)) if _there(root, s, request.split)]
    columns = ("method", "trained", *(f"{m} {s}" for s in splits for m in ("PQ", "mIoU")), *PAPER)
    rows: list[dict[str, Value]] = []
    for name in chosen:
        title, adaptation = ROWS[name]
        folder = request.out / name
        train_once(with_adaptation(recipe, adaptation, folder), train)
        row: dict[str, Value] = {"method": title, "trained": _trained(folder)}
        for split in splits:
            row |= _score(request, root, folder, recipe, split)
        rows.append(row)
    for name in ORACLES:
        row = {"method": f"baseline, {ORACLES[name]}"}
        for split in splits:
            row |= _oracle(request, root, recipe, split, ORACLES[name])
        rows.append(row)
    return Table(
        title="FISA: what is added to CLIP, and what of it is trained",
        columns=columns,
        rows=[*rows, *PUBLISHED],
        notes={
            "measured": f"{recipe.loop.steps} steps of {recipe.loop.batch} of {recipe.views} views "
            f"from the same CLIP and proposals"
            + (f", the first {request.limit} images of a split" if request.limit else ""),
            "judged on": "novel (words that training never saw) and wild (another world); "
            f"{request.split} has the words and the world of training",
            "published": "arXiv 2409.16278: ADE20K (150 names), trained on COCO panoptic, percent",
            "options": {k: v for k, v in flatten(recipe).items() if k not in ("data", "out")},
        },
    )


def _there(root: Path, split: str, asked: str) -> bool:
    return split == asked or (root / split / "frames.jsonl").is_file()


def _trained(folder: Path) -> int:
    return int(json.loads((folder / "card.json").read_text())["trained"])


def _options(request: Request, folder: Path | str, recipe: FisaRecipe) -> Any:
    return pipeline_options(
        PRESET,
        [
            f"segmenter.fisa.weights={folder}",
            f"segmenter.fisa.generator={recipe.generator}",
            f"segmenter.fisa.clip={recipe.clip}",
        ],
        device=request.device,
        measured=True,
        discovery__name="none",
    )


def _score(
    request: Request, root: Path, folder: Path, recipe: FisaRecipe, split: str
) -> dict[str, Value]:
    """Return what a row reaches on a split."""
    options = _options(request, folder, recipe)

    def measure() -> dict[str, Any]:
        found = evaluate(
            build_pipeline(options),
            open_dataset("robot_cell", split=split, root=root),
            EvaluationConfig(),
            options=options,
            resume=request.out / "images",
            limit=request.limit,
            progress=True,
        ).summary()
        return {"miou": found["miou"], "pq": found["panoptic"]["all"]["pq"]}

    found = kept(
        request.out / f"{folder.name}_{split}.json",
        measure,
        weights=fingerprint(str(folder)),
        root=str(root.resolve()),
        dtype=options.dtype,
        split=split,
        limit=request.limit,
    )
    return {f"PQ {split}": found["pq"], f"mIoU {split}": found["miou"]}


def _oracle(
    request: Request, root: Path, recipe: FisaRecipe, split: str, kind: str
) -> dict[str, Value]:
    """Return what the baseline reaches with a part of the truth."""
    options = _options(request, "", recipe)

    def measure() -> dict[str, Any]:
        segmenter: Any = build_segmenter(
            options.segmenter, device=options.device, dtype=options.dtype
        )
        data = open_dataset("robot_cell", split=split, root=root)
        return oracle_study(segmenter, data, limit=request.limit)

    found = kept(
        request.out / f"oracle_{split}.json",
        measure,
        generator=fingerprint(recipe.generator),
        clip=fingerprint(recipe.clip),
        root=str(root.resolve()),
        dtype=options.dtype,
        limit=request.limit,
    )[kind]
    return {f"PQ {split}": found["pq"], f"mIoU {split}": found["miou"]}


PAPER = ("PQ ADE", "mIoU ADE")


def _published(method: str, pq: float, miou: float | None = None) -> dict[str, Value]:
    return {"method": f"published: {method}", "PQ ADE": pq, "mIoU ADE": miou}


PUBLISHED: tuple[dict[str, Value], ...] = (
    _published("baseline", 9.6),
    _published("+ SEVE", 18.9),
    _published("+ SEVE + all of CLIP", 14.9),
    _published("+ SEVE + SIMO (FISA)", 27.5, 36.2),
    _published("FISA + language encoder", 24.6),
    _published("FISA + mask generator", 21.9),
    _published("no adapter", 26.7),
    _published("adapter of 1", 26.9),
    _published("adapter of 3", 27.2),
    _published("LoRA, rank 256", 25.3),
    _published("LoRA, rank 128", 25.4),
    _published("LoRA, rank 64", 25.9),
    _published("MaskCLIP, oracle masks", 31.9, 28.4),
    _published("MaskCLIP, oracle classifier", 44.6, 60.5),
)
"""The paper's Table 3 (10 000 steps) and Figure 2; of the oracle masks what the text's differences
give."""
