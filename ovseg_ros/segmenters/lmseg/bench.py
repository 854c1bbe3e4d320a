"""LMSeg's cost: full-size towers by stage, and growth with names."""

from __future__ import annotations

from collections.abc import Callable

import open_clip
import torch

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.bench.timing import Timing, measure, result_of
from ovseg_ros.models.device import resolve_device
from ovseg_ros.models.sam import SamNeck
from ovseg_ros.segmenters.fisa.towers import show_tower
from ovseg_ros.segmenters.lmseg.config import Shape
from ovseg_ros.segmenters.lmseg.features import dense_features
from ovseg_ros.segmenters.lmseg.model import Lmseg
from ovseg_ros.segmenters.lmseg.views import windows


def bench(job: Job) -> Result:
    """``ovseg bench lmseg``: CLIP B/16 and SAM ViT-B of the published sizes, random weights.

    One view of 384 pixels; an image of 640 has five. The runs are few: a pass takes seconds on a
    processor.
    """
    from segment_anything import sam_model_registry

    device = resolve_device(job.config.device)
    runs = max(1, job.runs // 10)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        clip = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None).eval().to(device)
        sam = sam_model_registry["vit_b"]().eval().to(device)
        model = Lmseg(Shape(), space=512, clip=768, sam=256).eval().to(device)
    neck, tower = SamNeck(sam), show_tower(clip.visual)
    views = torch.randn(1, 3, 384, 384, device=device)
    found: dict[str, object] = {}

    def clip_pass() -> None:
        found["dense"] = dense_features(tower, views)

    def sam_pass() -> None:
        found["neck"] = neck.features(job.image)[None]

    def refine(names: int) -> Callable[[], object]:
        text = torch.randn(names, 512, device=device)
        return lambda: model(found["dense"], found["neck"], text)

    rows: list[Timing] = []
    with torch.inference_mode():
        passes = {"SAM ViT-B, once an image": sam_pass, "CLIP B/16, a view": clip_pass}
        for stage, run in passes.items():
            rows.append(measure(stage, str(device), run, runs=runs, warmup=0))
        for names in job.counts:
            title = f"refinement, {names} names"
            rows.append(measure(title, str(device), refine(names), runs=runs, warmup=0))
    count = len(windows(640, 384, 256, whole=True))
    result = result_of(rows, job)
    sizes = {
        "CLIP B/16": _size(clip), "SAM ViT-B": _size(sam), "trained": _size(model)
    }  # fmt: skip
    lines = [
        *result.lines,
        f"views of an image: {count}",
        "parameters: " + ", ".join(f"{name} {size / 1e6:.1f}M" for name, size in sizes.items()),
    ]
    return Result(lines=lines, data={**result.data, "parameters": sizes, "views": count})


def _size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
