"""What a training step of CLIP, LiT and SimZSS costs, tower and optimiser included."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.bench.memory import peak_mib
from ovseg_ros.bench.timing import Timing, milliseconds, result_of, timing
from ovseg_ros.models.device import resolve_device
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.segmenters.simzss.model import load_simzss
from ovseg_ros.segmenters.simzss.step import OBJECTIVES, Reader, Trained, objective_losses
from ovseg_ros.training.concepts import ConceptBank
from ovseg_ros.training.loop import LoopConfig

NOUNS = ("mug", "table", "robot arm", "duck", "bottle", "floor", "wall", "ball", "bowl", "cube")
"""Concepts of the made-up captions; their number hardly matters."""


def measure_steps(
    weights: Path, *, device: str, batch: int, size: int = 0, runs: int = 10, warmup: int = 2
) -> dict[str, Timing]:
    """Time steps of the three objectives in turn, so that a busy machine is unfair to none.

    The memory is that of a process which does nothing else.

    Args:
        weights: SimZSS weights, whose towers are trained further on noise.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch: Pairs per step.
        size: Side of the square images in pixels; 0 for the weights' own size.
        runs: Measured steps of each.
        warmup: Steps after the first, that do not count.
    """
    where = resolve_device(device)
    steps = {name: _build(name, weights, where, batch, size) for name in OBJECTIVES}
    times: dict[str, list[float]] = {name: [] for name in OBJECTIVES}
    for _ in range(1 + warmup + runs):
        for name, step in steps.items():
            times[name] += milliseconds(step, str(where), 1)
    del steps
    costs = {}
    for name, found in times.items():
        cost = timing(f"{name}, {batch} pairs", str(where), found, warmup=warmup)
        alone = _alone(name, weights, str(where), batch, size)
        costs[name] = replace(cost, peak_mib=alone)
    return costs


def _build(
    objective: str, weights: Path, device: torch.device, batch: int, size: int
) -> Callable[[], None]:
    """Return a function that makes one optimiser step on noise and made-up captions."""
    model, tokenizer = load_simzss(weights)
    model.to(device).float()
    trained = Trained(model, objective).train()
    model.visual.train(objective == "clip")
    reader = Reader(tokenizer, [ConceptBank(NOUNS)])
    free = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(free, lr=1e-6)
    patch = model.visual.patch[0]
    side = max(patch, (size or min(model.config.image_hw)) // patch * patch)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, side, side, generator=generator).to(device)
    nouns = [NOUNS[k % len(NOUNS)] for k in range(batch + 2)]
    captions = [f"a {a}, a {b} and a {c}" for a, b, c in zip(nouns, nouns[1:], nouns[2:])]  # noqa: B905
    loop = LoopConfig(device=str(device))

    def step() -> None:
        with loop.autocast():
            with torch.set_grad_enabled(objective == "clip"):
                first, patches = model.encode_image(model.normalise(images))
            ids, found = reader(captions)
            losses = objective_losses(
                model,
                first,
                patches.flatten(1, 2),
                ids,
                found,
                weights={"concept": 0.05} if objective == "simzss" else {},
                sizes=[len(NOUNS)],
                query_temperature=0.1,
            )
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(free, 1.0)
        optimizer.step()

    return step


def _alone(objective: str, weights: Path, device: str, batch: int, size: int) -> float:
    """Return the peak memory in MiB of a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak_mib_on, objective, weights, device, batch, size).result()


def _peak_mib_on(objective: str, weights: Path, device: str, batch: int, size: int) -> float:
    step = _build(objective, weights, torch.device(device), batch, size)
    for _ in range(2):
        step()
    return round(peak_mib(device), 1)


def bench(job: Job) -> Result:
    """``ovseg bench simzss-train``: a step of each objective with published image sizes."""
    costs = measure_steps(
        Path(resolve_weights(job.config.segmenter.simzss.weights)),
        device=job.config.device,
        batch=job.batch,
        size=224,
        runs=job.runs,
        warmup=job.warmup,
    )
    rows = [
        replace(cost, stage=f"{cost.stage}, {1000 * job.batch / cost.median_ms:.1f}/s")
        for cost in costs.values()
    ]
    return result_of(rows, job)
