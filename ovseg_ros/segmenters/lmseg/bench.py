"""LMSeg's cost: full-size towers by stage, and growth with names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import open_clip
import torch

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.bench.memory import resident_mib
from ovseg_ros.bench.timing import Timing, measure, result_of
from ovseg_ros.models.device import resolve_device
from ovseg_ros.models.sam import SamNeck
from ovseg_ros.segmenters.fisa.towers import show_tower
from ovseg_ros.segmenters.lmseg.aggregation import ClassLayer, linear_attention
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
        layer = ClassLayer(Shape()).eval().to(device)
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

    def attend(names: int) -> Callable[[], object]:
        x = torch.randn(144, layer.heads, names, 32, device=device)  # places of a pooled map
        return lambda: linear_attention(x, x, x)

    rows: list[Timing] = []
    extra: dict[str, float] = {}

    def add(stage: str, run: Callable[[], object], runs: int = runs) -> None:
        extra[stage] = memory_of(run, str(device))  # first: later the allocator has kept some
        rows.append(measure(stage, str(device), run, runs=runs, warmup=0))

    with torch.inference_mode():
        add("SAM ViT-B, once an image", sam_pass)
        add("CLIP B/16, a view", clip_pass)
        for names in job.counts:
            add(f"refinement, {names} names", refine(names))
        for names in job.counts:
            add(f"linear attention, {names} names", attend(names), 10 * runs)
    count = len(windows(640, 384, 256, whole=True))
    result = result_of(rows, job)
    sizes = {
        "CLIP B/16": _size(clip), "SAM ViT-B": _size(sam), "trained": _size(model)
    }  # fmt: skip
    growth = {
        kind: [row.median_ms / names for row, names in zip(own, job.counts, strict=True)]
        for kind in ("refinement", "linear attention")
        if (own := [row for row in rows if row.stage.startswith(kind)])
    }
    lines = [
        *result.lines,
        "memory beside the weights, MiB: "
        + ", ".join(f"{stage} {size:.0f}" for stage, size in extra.items()),
        *(
            f"{kind}, ms a name: {', '.join(f'{value:.3f}' for value in own)}"
            for kind, own in growth.items()
        ),
        f"views of an image: {count}",
        "parameters: " + ", ".join(f"{name} {size / 1e6:.1f}M" for name, size in sizes.items()),
    ]
    data = {"parameters": sizes, "views": count, "extra_mib": extra, "ms_a_name": growth}
    return Result(lines=lines, data={**result.data, **data})


def memory_of(run: Callable[[], object], device: str) -> float:
    """Return how many MiB a run needs at most beside what is there before it.

    On a processor it is the resident memory as Linux counts it; NaN where nobody counts.
    """
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return float(torch.cuda.max_memory_allocated(device) - before) / 2**20
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        resident = resident_mib("VmRSS")
        run()
        return resident_mib("VmHWM") - resident
    except OSError:
        return float("nan")


def _size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
