"""PnP-OVSS (arXiv 2311.17095): what each of its steps brings, and how well it tunes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ovseg_ros.config import Config, flatten, option, override
from ovseg_ros.evaluation.table import Request, Table, Value, kept
from ovseg_ros.segmenters.pnp_ovss import CLIP

if TYPE_CHECKING:
    from ovseg_ros.evaluation.datasets import Dataset
    from ovseg_ros.pipeline import PipelineConfig
    from ovseg_ros.segmenters.pnp_ovss.tuning import Masks, Setting

PREFIX = "segmenter.pnp_ovss."

ABLATION: dict[str, Mapping[str, Any]] = {
    "attention only": {
        "saliency.gradcam": False, "saliency.passes": 1, "masks.sigma": 0.0, "masks.crf": False,
    },
    "+ GradCAM": {"saliency.passes": 1, "masks.sigma": 0.0, "masks.crf": False},
    "+ Salience DropOut": {"masks.sigma": 0.0, "masks.crf": False},
    "+ blur": {"masks.crf": False},
    "+ dense CRF": {},
}  # fmt: skip
"""The method's steps, one after the other: what is taken from the preset's options."""

BENCHMARKS = ("VOC", "Context", "COCO-Object", "COCO-Stuff", "ADE")

PUBLISHED = {
    "published, BLIP 224": (46.3, 27.5, 32.3, 17.3, 13.6),
    "published, BLIP 336": (51.3, 28.0, 36.2, 17.9, 14.2),
    "published, BridgeTower 336": (42.4, 25.3, 30.4, 15.7, 14.8),
}
"""mIoU in percent of the paper's Table 3, by column of ``BENCHMARKS``."""


@dataclass(frozen=True, kw_only=True)
class Options(Config):
    """Options of the table."""

    preset: str = option("robot_cell/pnp_ovss", "preset that is measured")
    scorer: str = option(
        "",
        "who rewards: a CLIP, BLIP or SimZSS; if empty robot_cell/simzss where the preset stands "
        f"on a tower, else {CLIP}",
        kind="weights",
    )
    trials: int = option(40, "settings that reward and masks both choose from; 0: no tuning", low=0)
    images: int = option(40, "images of the val split that are tuned on", low=1)


def table(request: Request) -> Table:
    """Measure the steps on a split, and tuning by reward against tuning on masks on val."""
    from ovseg_ros.evaluation.datasets import open_dataset
    from ovseg_ros.presets import pipeline_options

    options = override(Options(), request.sets)
    config = pipeline_options(
        options.preset, [], device=request.device, measured=True, discovery__name="none"
    )
    rows: list[dict[str, Value]] = []
    data = open_dataset("robot_cell", split=request.split, root=request.root)
    for name, changes in ABLATION.items():
        own = override(config, [], {PREFIX + key: value for key, value in changes.items()})
        rows.append({"method": name, "robot cell": _measure(own, data, request)})
    count = min(request.limit or len(data), len(data))
    notes: dict[str, Any] = {
        "robot cell": f"mIoU in percent, {data.name}, {count} images, names of all classes, "
        f"preset {options.preset}",
    }
    if options.trials:
        found = kept(
            request.out / "tuning.json",
            lambda: _tune(config, options, request),
            options=asdict(options),
            config=_protocol(config),
        )
        for how in ("reward", "masks"):
            rows.append({"method": f"tuned by {how}, no CRF", "val": found[how]["miou"]})
        notes["val"] = (
            f"mIoU in percent on {found['images']} images of robot_cell/val; the best of the same "
            f"{found['trials']} random settings by reward ({found['reward']['setting']}) and by "
            f"masks ({found['masks']['setting']}); rank correlation {found['correlation']:.2f}"
        )
    rows += [
        {"method": name, **dict(zip(BENCHMARKS, values, strict=True))}
        for name, values in PUBLISHED.items()
    ]
    notes["published"] = "arXiv 2311.17095, Table 3; other models, other data: for orientation"
    return Table(
        title="PnP-OVSS", columns=("method", "robot cell", "val", *BENCHMARKS), rows=rows,
        notes=notes,
    )  # fmt: skip


def _measure(config: PipelineConfig, data: Dataset, request: Request) -> float | None:
    """Return the mIoU in percent of a configuration."""
    from ovseg_ros.evaluation.evaluate import evaluate
    from ovseg_ros.pipeline import build_pipeline

    result = evaluate(
        build_pipeline(config), data, options=config, resume=request.out, limit=request.limit,
        progress=True,
    )  # fmt: skip
    miou = result.summary()["miou"]
    return None if miou is None else round(100 * miou, 3)


def _tune(config: PipelineConfig, options: Options, request: Request) -> dict[str, Any]:
    """Give the same random settings to the reward, which sees no mask, and to the masks."""
    from scipy.stats import spearmanr

    from ovseg_ros.evaluation.datasets import open_dataset
    from ovseg_ros.segmenters.build import build_segmenter
    from ovseg_ros.segmenters.pnp_ovss.scorers import load_scorer
    from ovseg_ros.segmenters.pnp_ovss.segmenter import PnpOvssSegmenter
    from ovseg_ros.segmenters.pnp_ovss.tuning import (
        Judge,
        Masks,
        SearchConfig,
        draw_settings,
        judge_weights,
        search,
        trials_file,
    )

    segmenter = build_segmenter(config.segmenter, device=config.device, dtype=config.dtype)
    assert isinstance(segmenter, PnpOvssSegmenter)
    data = open_dataset("robot_cell", split="val", root=request.root)
    samples = [data[index] for index in range(min(options.images, len(data)))]
    how = SearchConfig(trials=options.trials)
    settings = draw_settings(segmenter.matcher.layers, segmenter.matcher.heads, how)
    masks = Masks(segmenter, [sample.image for sample in samples], data.classes, how)
    scorer = load_scorer(
        judge_weights(options.scorer, segmenter.config),
        device=config.device,
        template=how.template,
    )
    log = trials_file(request.out, options, _protocol(config))
    trials = search(masks, Judge(scorer, data.classes), settings, log)
    truth = [sample.labels for sample in samples]
    mious = [100 * _miou(masks, setting, truth, len(data.classes)) for setting in settings]
    rewards = [trial.reward for trial in trials]
    varied = len(set(rewards)) > 1 and len(set(mious)) > 1
    correlation = spearmanr(rewards, mious).statistic if varied else 0.0
    chosen = {"reward": int(np.argmax(rewards)), "masks": int(np.argmax(mious))}
    return {
        "images": len(samples),
        "trials": len(settings),
        "correlation": round(float(np.nan_to_num(correlation)), 4),
        **{
            how: {"miou": round(mious[index], 3), "setting": str(settings[index])}
            for how, index in chosen.items()
        },
        "all": [
            {**asdict(setting), "reward": reward, "miou": round(miou, 3)}
            for setting, reward, miou in zip(settings, rewards, mious, strict=True)
        ],
    }


def _miou(masks: Masks, setting: Setting, truth: Sequence[np.ndarray], classes: int) -> float:
    """Return the mIoU of a setting's masks, at their size."""
    from ovseg_ros.evaluation.metrics import semantic as metrics

    matrix = np.zeros((classes, classes + 1), np.int64)
    for labels, own, full in zip(masks.labels(setting), masks.kept, truth, strict=True):
        size = labels.shape[::-1]
        small = cv2.resize(full, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.int64)
        found = np.array([0, *(1 + index for index in own)])[labels]
        matrix += metrics.confusion(small - 1, found - 1, classes)
    return float(metrics.mean_iou(matrix))


def _protocol(config: PipelineConfig) -> dict[str, Any]:
    """Return the options, with a digest of local weights."""
    from ovseg_ros.evaluation.protocol import fingerprint

    flat = {key: value for key, value in flatten(config).items() if key.startswith(PREFIX)}
    for key in (f"{PREFIX}weights", f"{PREFIX}tower"):
        flat[key] = flat[key] and fingerprint(flat[key])
    return flat
