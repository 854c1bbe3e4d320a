"""PnP-OVSS against the same maths without batches, in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.bench.timing import milliseconds
from ovseg_ros.config import flatten
from ovseg_ros.evaluation.protocol import versions
from ovseg_ros.pipeline import PipelineConfig
from ovseg_ros.robot_cell.objects import CATALOGUE
from ovseg_ros.segmenters.pnp_ovss.masks import channels, label
from ovseg_ros.segmenters.pnp_ovss.reference import plain_channels, plain_salience
from ovseg_ros.segmenters.pnp_ovss.segmenter import PnpOvssSegmenter

T = TypeVar("T")


def compare(
    config: PipelineConfig, image: np.ndarray, names: Sequence[str], *, runs: int
) -> dict[str, Any]:
    """Time the segmenter's maps and the plain ones, and compare them.

    Maps are what enters the CRF: salience, threshold, enlarging, blur. Every name takes part (no
    filter). The CRF is one joint computation in either case and is timed by itself.

    Args:
        config: Options whose segmenter is ``pnp_ovss``.
        image: RGB, (H, W, 3) uint8; its mirror image makes a batch of two.
        names: K names.
        runs: Runs of each; medians count.

    Returns:
        Plain data: ``speedup`` of the maps, ``speedup_with_crf``, ``max_abs_diff`` of the maps
        (0..1), seconds of all stages and what was measured.

    Raises:
        ValueError: if the segmenter is another one.
    """
    if config.segmenter.name != "pnp_ovss":
        raise ValueError(f"segmenter.name: expected pnp_ovss, got {config.segmenter.name}")
    options = config.segmenter.pnp_ovss
    segmenter = PnpOvssSegmenter(options, device=config.device, dtype=config.dtype)
    images = np.stack([image, image[:, ::-1]])
    masks, size = segmenter.config.masks, images.shape[1:3]
    chosen = [list(names)] * len(images)

    def batched() -> list[np.ndarray]:
        found = segmenter.salience(images, chosen)
        return [channels(maps.cpu().numpy(), size, masks) for maps in found]

    def plain() -> list[np.ndarray]:
        found = [plain_salience(segmenter, image, names) for image in images]
        return [plain_channels(maps, size, masks) for maps in found]

    def with_crf() -> None:
        for maps, image in zip(salience, images, strict=True):
            label(maps.cpu().numpy(), image, masks)

    batched()  # allocates, loads and plans
    ours, fast = _time(batched, runs, segmenter.device)
    theirs, slow = _time(plain, runs, segmenter.device)
    salience = segmenter.salience(images, chosen)
    _, labelling = _time(with_crf, 1, segmenter.device)
    far = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    result = {
        "speedup": round(slow / fast, 3),
        "speedup_with_crf": round((slow + labelling) / (fast + labelling), 3),
        "max_abs_diff": far,
        "seconds": {
            "batched": round(fast, 4),
            "plain": round(slow, 4),
            "labelling_with_crf": round(labelling, 4),
        },
        "images": len(images),
        "image_hw": list(size),
        "names": len(names),
        "runs": runs,
        "device": segmenter.device,
        "threads": torch.get_num_threads(),
        "options": flatten(options),
        "versions": versions(),
    }
    return result


def bench(job: Job) -> Result:
    """``ovseg bench pnp_ovss``."""
    names = [kind.name for kind in CATALOGUE][: max(job.counts[:2])]
    found = compare(job.config, job.image, names, runs=max(1, job.runs // 10))
    return Result(lines=lines(found), data=found)


def lines(result: dict[str, Any]) -> list[str]:
    """Return a comparison as lines of text."""
    seconds = result["seconds"]
    what = f"{result['images']} images, {result['names']} names, {result['device']}"
    return [
        f"maps, batched                      {seconds['batched']:9.3f} s  ({what})",
        f"maps, name by name, pass by pass   {seconds['plain']:9.3f} s",
        f"labels of these maps, CRF included {seconds['labelling_with_crf']:9.3f} s  (either way)",
        f"speedup of the maps                {result['speedup']:9.1f}",
        f"speedup, CRF included              {result['speedup_with_crf']:9.1f}",
        f"largest difference of the maps     {result['max_abs_diff']:9.1e}  (of 1)",
    ]


def _time(run: Callable[[], T], runs: int, device: str) -> tuple[T, float]:
    """Return the last result and the median of the seconds."""
    found: list[T] = []
    times = milliseconds(lambda: found.append(run()), device, runs)
    return found[-1], float(np.median(times)) / 1000
