"""The full-size FISA on this machine, with random weights: what its stages cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.bench.names import bench_names
from ovseg_ros.bench.timing import Timing, measure, report, table
from ovseg_ros.segmenters.dense import TextSegmenter
from ovseg_ros.segmenters.fisa.clip import Clip, make_clip
from ovseg_ros.segmenters.fisa.config import Adaptation, FisaConfig
from ovseg_ros.segmenters.fisa.generator import MaskGenerator
from ovseg_ros.segmenters.fisa.model import Classifier, Fisa
from ovseg_ros.segmenters.fisa.segmenter import FisaSegmenter
from ovseg_ros.types import Vocabulary

PUBLISHED = "published: 2.63 frames per second, 10.2 GB of GPU memory (380 ms a frame)"


def swin_base() -> Any:
    """Return the shapes of facebook/mask2former-swin-base-coco-panoptic."""
    from transformers import Mask2FormerConfig, SwinConfig

    backbone = SwinConfig(  # type: ignore[call-arg]
        image_size=384,
        embed_dim=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=12,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return Mask2FormerConfig(  # type: ignore[call-arg]
        backbone_config=backbone, num_queries=100, num_labels=133
    )


def large_clip() -> Clip:
    """Return ViT-L-14-336, QuickGELU, with random weights."""
    import open_clip

    shapes = {**open_clip.get_model_config("ViT-L-14-336"), "quick_gelu": True}
    model = open_clip.CLIP(**shapes)
    return make_clip(
        model,
        open_clip.get_tokenizer("ViT-L-14-336"),
        shapes["embed_dim"],
        mean=open_clip.OPENAI_DATASET_MEAN,
        std=open_clip.OPENAI_DATASET_STD,
    )


class UntrainedFisa(FisaSegmenter):
    """The published FISA's shapes and protocol, with random weights."""

    def __init__(self, config: FisaConfig, *, device: str, dtype: str) -> None:
        """Build generator, CLIP and adaptation."""
        from transformers import Mask2FormerForUniversalSegmentation

        TextSegmenter.__init__(self, device=device, dtype=dtype)
        self._config = config
        torch.manual_seed(0)
        generator = MaskGenerator(Mask2FormerForUniversalSegmentation(swin_base()))
        clip = large_clip()
        self._take(Fisa(generator, Classifier(clip.model, Adaptation(), clip.width)).eval(), clip)


PROTOCOL = FisaConfig(short_side=800, long_side=1333, clip_side=896)
"""As published."""


def bench(job: Job) -> Result:
    """``ovseg bench fisa``: generator and classifier at full size, and growth with the names."""
    segmenter = UntrainedFisa(PROTOCOL, device=job.config.device, dtype=job.config.dtype)
    runs = {"runs": max(1, job.runs // 10), "warmup": min(1, job.warmup)}
    rows: list[Timing] = []

    def time(name: str, run: Callable[[], object]) -> None:
        with torch.inference_mode():
            rows.append(measure(name, segmenter.device, run, **runs))

    canvas, _ = segmenter.canvas(job.image[None])
    seen = segmenter.seen(canvas)
    model = segmenter.model
    time("generator", lambda: model.generator(canvas))
    with torch.inference_mode():
        masks = model.generator(canvas)
    rng = np.random.default_rng(0)
    width = segmenter.clip.width
    for count in job.counts:
        text = torch.from_numpy(rng.standard_normal((count, width), dtype=np.float32))
        text = torch.nn.functional.normalize(text, dim=-1).to(canvas.device)
        time(
            f"classifier, {count} names",
            lambda text=text: model.classifier.match(  # type: ignore[misc]
                model.classifier(seen, masks, text)[0], text
            ),
        )
    with torch.inference_mode():
        first = masks[:, :1].clone()
    time(
        f"classifier, {job.counts[-1]} names, 1 mask",
        lambda: model.classifier.match(model.classifier(seen, first, text)[0], text),
    )
    words = Vocabulary.of(*bench_names(min(job.counts)))
    time(f"frame, {len(words)} names", lambda: segmenter.segment(job.image[None], words))
    trained = sum(parameter.numel() for parameter in model.trained().values())
    lines = [
        *table(rows),
        f"random weights, {segmenter.device}, {segmenter.dtype}, {trained:,} trained parameters; "
        f"canvas {tuple(canvas.shape[2:])}, CLIP at {PROTOCOL.clip_side}",
        PUBLISHED,
    ]
    data = report(rows, job.config, job.image) | {"published": PUBLISHED, "trained": trained}
    return Result(lines=lines, data=data)
