"""AutoSeg (arXiv 2312.04539): who finds the words, on which data set, beside what was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovseg_ros.config import Config, option, override
from ovseg_ros.discovery.config import PARTS
from ovseg_ros.evaluation.table import Request, Table, Value

if TYPE_CHECKING:
    from ovseg_ros.evaluation.datasets import Dataset
    from ovseg_ros.pipeline import PipelineConfig

ROBOT_CELL = "robot_cell"

DATASETS = {ROBOT_CELL: "robot cell", "voc20": "VOC", "pc459": "PC", "ade847": "ADE"} | {
    "cityscapes": "CS"
}
"""The paper's data sets by the names of ours, and the robot cell before them."""

AUTO = {"vocabulary": "auto"}

CHAT = "chat model"
"""The row of chat models; with several of them one row each, "chat model: NAME"."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row.

    Attributes:
        options: Overrides of the preset.
        protocol: Overrides of the evaluation's protocol.
        miou: Published mIoU in percent by data set.
        c_miou: Published class-agnostic mIoU in percent by data set.
        ours: Whether we can run it; else it is only quoted.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    miou: Mapping[str, float] = field(default_factory=dict)
    c_miou: Mapping[str, float] = field(default_factory=dict)
    ours: bool = True


def _published(*values: float | None) -> dict[str, float]:
    """Return values in the order VOC, PC, ADE, CS by data set."""
    names = list(DATASETS)[1:]
    return {n: v for n, v in zip(names, values, strict=True) if v is not None}


METHODS = {
    "true words": Method(
        options={"discovery.name": "none"}, miou=_published(96.2, 16.1, 6.4, 50.8)
    ),
    "AutoSeg": Method(
        options={"discovery.name": "bboost"},
        protocol=AUTO,
        miou=_published(87.1, 11.7, 6.0, 30.0),
        c_miou=_published(71.8, 47.7, 29.2, 35.8),
    ),
    "whole-image caption": Method(
        options={"discovery.name": "caption"},
        protocol=AUTO,
        c_miou=_published(38.0, 35.3, 26.7, 29.2),
    ),
    "SAM + BLIP": Method(
        options={"discovery.name": "sam_blip"},
        protocol=AUTO,
        miou=_published(41.1, 11.3, None, 27.4),
    ),
    CHAT: Method(
        options={"discovery.name": "vlm"},
        protocol=AUTO,
        miou=_published(56.7, 11.4, None, 23.4),
    ),
    "embeddings only": Method(
        options={"discovery.name": "bboost"},
        protocol={**AUTO, "segmentation": "clusters"},
        c_miou=_published(16.3, 16.3, 11.3, 0.85),
    ),
    "ZeroSeg": Method(miou=_published(20.1, 11.4, None, None), ours=False),
    "LLaVA + LISA": Method(miou=_published(7.7, 0.2, None, 1.5), ours=False),
    "CAT-Seg, true words": Method(miou=_published(97.2, 19.0, 13.3, None), ours=False),
    "OVSeg, true words": Method(miou=_published(94.5, 11.0, 9.0, None), ours=False),
    "OpenSeg, true words": Method(miou=_published(72.2, 9.0, 8.8, None), ours=False),
}
"""The paper's methods; its segmenter is X-Decoder, ours the preset's."""

METHODS |= {
    name: Method(options={"discovery.name": name}, protocol=AUTO)
    for name in PARTS
    if name not in {method.options.get("discovery.name") for method in METHODS.values()}
}
"""And the discoverers that the paper does not know, as the presets set them up."""


@dataclass(frozen=True, kw_only=True)
class Options(Config):
    """Options of the table."""

    preset: str = option("robot_cell", "preset on the robot cell")
    public_preset: str = option("autoseg", "preset on the public data sets")
    mapper: str = option("lexical", "who maps names", choices=("lexical", "lave", "sbert"))
    sam_weights: str = option(
        "",
        "checkpoint of segment-anything; empty: mean-shift colour regions in its place",
        kind="weights",
    )
    vlm_weights: tuple[str, ...] = option(
        (), "chat models that list objects; empty: those of the presets that are on this machine"
    )
    methods: tuple[str, ...] = option((), "rows that are measured; all if empty")
    public_limit: int = option(0, "only the first images of the public data sets; 0: all", low=0)
    seed: int = option(0, "image i is discovered with seed + i", low=0)

    def __post_init__(self) -> None:
        """Validate the names of the rows."""
        super().__post_init__()
        if unknown := sorted(set(self.methods) - set(METHODS)):
            raise ValueError(f"methods: expected some of {', '.join(METHODS)}, got {unknown[0]!r}")


def table(request: Request) -> Table:
    """Measure every method on the robot cell and on whichever public data sets are there."""
    options = override(Options(), request.sets)
    rows: list[dict[str, Value]] = []
    notes: dict[str, Any] = {}
    for name, title in DATASETS.items():
        data, note = open_if_there(name, request)
        notes[title] = note
        for method, row in METHODS.items():
            published = {"published": row.miou.get(name), "published c": row.c_miou.get(name)}
            for shown, weights in _models(method, options):
                found: dict[str, Value] = {}
                if data is not None and row.ours and method in (options.methods or METHODS):
                    found, reason = _measure(method, name, data, options, request, weights)
                    notes[f"{title}, {shown}"] = reason
                if found or any(value is not None for value in published.values()):
                    rows.append({"data set": title, "method": shown, **found, **published})
        notes[f"{title}, AutoSeg of true words"] = _share(rows, title)
    notes["all"] = (
        f"mIoU and c-mIoU in percent, names mapped by {options.mapper}, seed {options.seed}; "
        "published: X-Decoder segments, LAVE maps"
    )
    return Table(
        title="AutoSeg: words nobody gave, beside what was published (arXiv 2312.04539)",
        columns=(
            *("data set", "method", "mIoU", "published", "c-mIoU", "published c"),
            *("precision", "recall", "names", "images"),
        ),
        rows=rows,
        notes=notes,
    )


def open_if_there(name: str, request: Request) -> tuple[Dataset | None, str]:
    """Open a data set, or say why not; the robot cell must be there.

    The folder of the request may hold the robot cell's splits themselves, or ``robot_cell/`` beside
    the public data sets.
    """
    from ovseg_ros.evaluation.datasets import open_dataset

    root = request.root
    if name == ROBOT_CELL:
        inside = None if root is None else root / ROBOT_CELL
        if inside is not None and inside.is_dir():
            root = inside
        elif root is not None and not (root / request.split).is_dir() and _holds_public(root):
            root = None  # the folder of the public data sets; the cell lies in its own place
        return open_dataset(name, split=request.split, root=root), ""
    try:
        return open_dataset(name, root=root), ""
    except FileNotFoundError as error:
        return None, f"not measured: {error}"


def _holds_public(root: Path) -> bool:
    folders = ("VOCdevkit", "ADE20K_2021_17_01", "cityscapes")
    return any((root / folder).is_dir() for folder in folders)


def _models(method: str, options: Options) -> list[tuple[str, str]]:
    """Return the rows of a method: what each is called, and its chat model if it has one."""
    if method != CHAT:
        return [(method, "")]
    models = options.vlm_weights or chat_models()
    if len(models) < 2:
        return [(CHAT, models[0] if models else "")]
    return [(f"{CHAT}: {model.rstrip('/').rpartition('/')[2]}", model) for model in models]


def chat_models() -> tuple[str, ...]:
    """Return the chat models of the presets that are on this machine."""
    from ovseg_ros.models.weights import resolve_folder
    from ovseg_ros.presets import list_presets, load_preset

    found = []
    for preset in list_presets():
        discovery = load_preset(preset).discovery
        if discovery.name == "vlm" and discovery.vlm.weights not in found:
            try:
                resolve_folder(discovery.vlm.weights)
            except FileNotFoundError:
                continue
            found.append(discovery.vlm.weights)
    return tuple(found)


def _measure(
    method: str, name: str, data: Dataset, options: Options, request: Request, chat: str
) -> tuple[dict[str, Value], str]:
    """Return the cells of one row, and what a reader must know about it."""
    from ovseg_ros.evaluation.evaluate import evaluate
    from ovseg_ros.evaluation.protocol import EvaluationConfig
    from ovseg_ros.pipeline import build_pipeline

    row = METHODS[method]
    try:
        config, note = configure(method, name, options, request, chat=chat)
        if config is None:
            return {}, note
        pipeline = build_pipeline(config)
    except (ValueError, OSError) as error:  # no such preset, or no weights
        if name == ROBOT_CELL:
            raise
        return {}, f"not measured: {' '.join(str(error).split())}"
    protocol = {"mapper.name": options.mapper, "seed": options.seed, **row.protocol}
    limit = request.limit if name == ROBOT_CELL else options.public_limit or request.limit
    result = evaluate(
        pipeline,
        data,
        override(EvaluationConfig(), [], protocol),
        options=config,
        resume=request.out / "images",
        limit=limit,
        progress=True,
    ).summary()
    skipped = len(result["skipped"])
    cells: dict[str, Value] = {
        "mIoU": _percent(result["miou"]),
        "c-mIoU": _percent(result["c_miou"]),
        "precision": result["vocabulary_precision"],
        "recall": result["vocabulary_recall"],
        "names": result["categories_found"],
        "images": result["images"],
    }
    return cells, "; ".join(filter(None, [note, f"{skipped} images left out" if skipped else ""]))


def configure(
    method: str, name: str, options: Options, request: Request, *, chat: str = ""
) -> tuple[PipelineConfig | None, str]:
    """Return the pipeline of one row, None where it cannot run, and what to know about it."""
    from ovseg_ros.presets import pipeline_options

    fixed: dict[str, Any] = {"device": request.device, **METHODS[method].options}
    note = ""
    if method == CHAT:
        if not chat:
            return None, "not measured: no vlm_weights, and no preset's chat model is here"
        fixed["discovery.vlm.weights"] = chat
    if method == "SAM + BLIP":
        if options.sam_weights:
            fixed["discovery.sam_blip.sam.weights"] = options.sam_weights
        else:
            fixed["discovery.sam_blip.masks"] = "color"
            note = "mean-shift colour regions in place of segment-anything (no sam_weights)"
    named = options.preset if name == ROBOT_CELL else options.public_preset
    preset = pipeline_options(named, [], measured=True)
    if method in ("SAM + BLIP", "whole-image caption"):
        # At the size the preset's captioner was made for, not at BLIP's 384.
        size = preset.discovery.bboost.sizes[-1] if name == ROBOT_CELL else 384
        part = "sam_blip" if method == "SAM + BLIP" else "caption"
        fixed[f"discovery.{part}.size"] = size
    return override(preset, [], fixed), note


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)


def _share(rows: list[dict[str, Value]], title: str) -> str:
    """Return how much of the mIoU with true words AutoSeg reaches on a data set."""
    miou = {str(r["method"]): r.get("mIoU") for r in rows if r["data set"] == title}
    auto, true = miou.get("AutoSeg"), miou.get("true words")
    if not isinstance(auto, float) or not isinstance(true, float) or not true:
        return ""
    return f"{auto / true:.2f} of the mIoU (the paper: 0.91 on VOC)"
