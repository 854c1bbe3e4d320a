"""FISA's ablations on the robot cell: what is added to CLIP, and what of it is trained.

Every row adapts the same small CLIP to the same proposals for the same few steps. The orderings of
the paper (arXiv 2409.16278) are across vocabularies, so they are judged on splits with other words
or another world.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ovseg_ros.config import flatten, override
from ovseg_ros.evaluation.datasets import open_dataset
from ovseg_ros.evaluation.evaluate import evaluate
from ovseg_ros.evaluation.protocol import EvaluationConfig, fingerprint
from ovseg_ros.evaluation.table import Request, Table, Value, kept, split_rows, train_once
from ovseg_ros.folders import data_folder
from ovseg_ros.pipeline import build_pipeline
from ovseg_ros.presets import pipeline_options
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.segmenters.fisa.config import Adaptation
from ovseg_ros.segmenters.fisa.memory import FrozenMemory
from ovseg_ros.segmenters.fisa.oracle import oracle_study
from ovseg_ros.segmenters.fisa.recipe import FisaRecipe, Proposed, adapt, with_adaptation

PRESET = "robot_cell/fisa"

RECIPE = FisaRecipe(crop=(256, 320), views=240, loop=replace(FisaRecipe().loop, steps=150, batch=6))
"""What the rows are trained with by default."""

ROWS: dict[str, tuple[str, Adaptation]] = {
    "baseline": ("baseline", Adaptation(seve=False, query="none", adapter=0)),
    "seve": ("+ SEVE", Adaptation(query="none")),
    "full": ("+ SEVE + all of CLIP", Adaptation(query="none", tuned=("clip",))),
    "fisa": ("+ SEVE + SIMO (FISA)", Adaptation()),
    "shared": ("FISA, shared queries", Adaptation(query="shared")),
    "text": ("FISA + language encoder", Adaptation(tuned=("text",))),
    "generator": ("FISA + mask generator", Adaptation(tuned=("generator",))),
    "adapter0": ("FISA, no adapter", Adaptation(adapter=0)),
    "adapter1": ("FISA, adapter of 1", Adaptation(adapter=1)),
    "adapter3": ("FISA, adapter of 3", Adaptation(adapter=3)),
    "lora48": ("SEVE + LoRA, rank 48", Adaptation(query="none", lora=48)),
    "lora24": ("SEVE + LoRA, rank 24", Adaptation(query="none", lora=24)),
    "lora12": ("SEVE + LoRA, rank 12", Adaptation(query="none", lora=12)),
}
"""Our rows: name of the folder to (what it is, what is added and trained).

LoRA's ranks are the published shares of the width: 256, 128 and 64 of 1024.
"""

SPLITS = ("novel", "wild")
"""Beside the split that is asked for: other words, another world."""

ORACLES = {"masks": "oracle masks", "classifier": "oracle classifier"}

ORDERINGS = (
    ("baseline", "full"),
    ("full", "seve"),
    ("seve", "fisa"),
    ("text", "fisa"),
    ("generator", "fisa"),
    ("adapter0", "adapter1"),
    ("adapter1", "fisa"),
    ("adapter3", "fisa"),
    ("lora12", "fisa"),
    ("masks", "classifier"),
)
"""What the paper found: the second is better than the first (Tables 3a to 3d and Figure 2)."""


@dataclass
class _Work:
    """What the rows share."""

    request: Request
    root: Path
    recipe: FisaRecipe
    out: Path
    views: list[Proposed] = field(default_factory=list)
    memory: FrozenMemory = field(default_factory=FrozenMemory)

    def train(self, config: FisaRecipe) -> None:
        """Train a row on the views of the rows before it, if it keeps any."""
        if config.views:
            self.views = adapt(config, self.views) or self.views
        else:
            adapt(config)


def table(request: Request) -> Table:
    """Train and score what is not kept in ``request.out`` yet; ``sets`` are the recipe's options.

    ``rows=a,b`` chooses rows. Weights of the same options that lie in ``request.out`` already are
    not trained again. Frozen parts say what they have to say once: proposals and patches of the
    training views and of the scored images are the same in all rows.

    Raises:
        ValueError: if there is no such row.
    """
    root = request.root or data_folder("robot_cell")
    chosen, sets = split_rows(request, [*ROWS, *ORACLES])
    fixed: dict[str, Any] = {"data": str(root), "loop.device": request.device}
    recipe = override(RECIPE, sets, fixed)
    frozen = fingerprint(recipe.generator) + fingerprint(recipe.clip)
    work = _Work(request, root, recipe, request.out / f"on_{_short(frozen)}")
    splits = [s for s in dict.fromkeys((request.split, *SPLITS)) if _there(root, s, request.split)]
    columns = ("method", "trained", *(f"{m} {s}" for s in splits for m in ("PQ", "mIoU")), *PAPER)
    rows: dict[str, dict[str, Value]] = {}
    for name in (name for name in chosen if name in ROWS):
        title, adaptation = ROWS[name]
        folder = work.out / name
        train_once(with_adaptation(recipe, adaptation, folder), work.train)
        rows[name] = {"method": title, "trained": _trained(folder)}
        for split in splits:
            rows[name] |= _score(work, folder, split)
    for name in (name for name in chosen if name in ORACLES):
        kind = ORACLES[name]
        rows[name] = {"method": f"baseline, {kind}"}
        for split in splits:
            rows[name] |= _oracle(work, split, kind)
    judged = [split for split in splits if split in SPLITS] or splits
    return Table(
        title="FISA: what is added to CLIP, and what of it is trained",
        columns=columns,
        rows=[*rows.values(), *PUBLISHED],
        notes={
            "measured": f"{recipe.loop.steps} steps of {recipe.loop.batch} of {recipe.views} views "
            f"from the same CLIP and proposals"
            + (f", the first {request.limit} images of a split" if request.limit else ""),
            "judged on": "novel (words that training never saw) and wild (another world); "
            f"{request.split} has the words and the world of training",
            **orderings(rows, judged),
            "published": "arXiv 2409.16278: ADE20K with 150 names, trained on COCO panoptic, %",
            "options": {k: v for k, v in flatten(recipe).items() if k not in ("data", "out")},
        },
    )


def orderings(rows: Mapping[str, Mapping[str, Value]], splits: Sequence[str]) -> dict[str, str]:
    """Return for every ordering of the paper whether it holds, split by split."""
    found = {}
    for worse, better in ORDERINGS:
        if worse not in rows or better not in rows:
            continue
        said = []
        for split in splits:
            for figure in ("PQ", "mIoU"):
                low, high = (rows[name][f"{figure} {split}"] for name in (worse, better))
                assert isinstance(low, float) and isinstance(high, float)
                said.append(f"{figure} {split} {'yes' if low < high else 'no'}")
        name = f"{rows[worse]['method']} < {rows[better]['method']}"
        found[name] = ", ".join(said)
    return found


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _there(root: Path, split: str, asked: str) -> bool:
    return split == asked or (root / split / "frames.jsonl").is_file()


def _trained(folder: Path) -> int:
    return int(json.loads((folder / "card.json").read_text())["trained"])


def _options(work: _Work, folder: Path | str) -> Any:
    return pipeline_options(
        PRESET,
        [
            f"segmenter.fisa.weights={folder}",
            f"segmenter.fisa.generator={work.recipe.generator}",
            f"segmenter.fisa.clip={work.recipe.clip}",
        ],
        device=work.request.device,
        measured=True,
        discovery__name="none",
    )


def _protocol(options: Any) -> dict[str, Any]:
    """Return what a score depends on beside weights and images."""
    return {"dtype": options.dtype, **flatten(options.segmenter.fisa)}


def _score(work: _Work, folder: Path, split: str) -> dict[str, Value]:
    """Return what a row reaches on a split."""
    options, limit = _options(work, folder), work.request.limit

    def measure() -> dict[str, Any]:
        pipeline = build_pipeline(options)
        segmenter: Any = pipeline.segmenter
        work.memory.share(segmenter.model, proposals=folder.name != "generator")
        found = evaluate(
            pipeline,
            open_dataset("robot_cell", split=split, root=work.root),
            EvaluationConfig(),
            options=options,
            resume=work.out / "images",
            limit=limit,
            progress=True,
        ).summary()
        return {"miou": found["miou"], "pq": found["panoptic"]["all"]["pq"]}

    found = kept(
        work.out / f"{folder.name}_{split}.json",
        measure,
        weights=fingerprint(str(folder)),
        root=str(work.root.resolve()),
        segmenter=_protocol(options),
        split=split,
        limit=limit,
    )
    return {f"PQ {split}": found["pq"], f"mIoU {split}": found["miou"]}


def _oracle(work: _Work, split: str, kind: str) -> dict[str, Value]:
    """Return what the baseline reaches with a part of the truth."""
    options, limit = _options(work, ""), work.request.limit

    def measure() -> dict[str, Any]:
        segmenter: Any = build_segmenter(
            options.segmenter, device=options.device, dtype=options.dtype
        )
        work.memory.share(segmenter.model)
        data = open_dataset("robot_cell", split=split, root=work.root)
        return oracle_study(segmenter, data, limit=limit)

    found = kept(
        work.out / f"oracle_{split}.json",
        measure,
        root=str(work.root.resolve()),
        segmenter=_protocol(options),
        limit=limit,
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
