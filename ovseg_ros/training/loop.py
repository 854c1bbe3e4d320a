"""The loop that all recipes share: schedule, progress, log, checkpoints that resume exactly."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ovseg_ros.config import Config, describe, option
from ovseg_ros.models.device import resolve_device
from ovseg_ros.models.files import first_line
from ovseg_ros.programs import need
from ovseg_ros.training.distributed import average_gradients, join, rank
from ovseg_ros.whole_files import write_text, write_whole


@dataclass(frozen=True, kw_only=True)
class LoopConfig(Config):
    """Optimisation options of a recipe."""

    steps: int = option(1000, "optimiser steps", low=1)
    batch: int = option(32, "images per step", low=1)
    lr: float = option(1e-3, "peak learning rate (AdamW)", low=0.0)
    muon_lr: float = option(
        0.0, "peak learning rate of Muon for matrices inside blocks; 0: AdamW for all", low=0.0
    )
    warmup: float = option(0.05, "share of the steps that warm up linearly", low=0.0, high=1.0)
    weight_decay: float = option(0.05, "weight decay of matrices", low=0.0)
    beta2: float = option(0.98, "second momentum of AdamW", low=0.0, high=1.0)
    clip: float = option(1.0, "gradient norm is clipped to this; 0: never", low=0.0)
    save_every: int = option(200, "steps between checkpoints", low=1, kind="run")
    seed: int = option(0, "seed of everything random", low=0)
    device: str = option("auto", "auto, cpu, cuda or cuda:N", kind="run")
    precision: str = option(
        "bfloat16",
        "numbers of matrix products (mixed precision); weights are float32",
        choices=("bfloat16", "float32"),
    )

    def join(self) -> torch.device:
        """Seed torch, join the other processes (torchrun), and return the device to train on."""
        torch.manual_seed(self.seed)
        return join(resolve_device(self.device))

    def autocast(self) -> torch.autocast:
        """Return the context of mixed precision on the device."""
        kind = resolve_device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16")


Step = Callable[[int, torch.Generator], dict[str, Tensor]]
"""Computes the losses of one step; the entry ``loss`` is minimised, the others are logged."""


def optimise(
    model: nn.Module,
    step: Step,
    config: LoopConfig,
    out: Path,
    *,
    recipe: Config | None = None,
    rates: Mapping[str, float] | None = None,
) -> float:
    """Minimise; return the seconds it took, over all resumed runs.

    Every step draws from a generator seeded by (seed, step), so a run that was killed and resumes
    from ``out/checkpoint.pt`` goes through the same steps as one that was not. With several
    processes (see ``distributed.py``) gradients are averaged and the first one writes.

    Args:
        model: The module whose parameters with ``requires_grad`` are trained.
        step: Computes losses from the step's number and its generator.
        config: Optimisation options.
        out: Directory of ``checkpoint.pt``, ``log.csv`` and ``curves.png``.
        recipe: All options of the recipe; a run goes on with the same ones only.
        rates: Learning rates of AdamW relative to the others', by beginning of the parameter's
            name.

    Raises:
        ValueError: if ``out`` holds a run with other options or a damaged checkpoint, or a loss is
            not finite.
    """
    need("matplotlib")  # for the curves at the end
    out.mkdir(parents=True, exist_ok=True)
    optimizers = _optimizers(model, config, rates or {})
    checkpoint, first, spent = out / "checkpoint.pt", 0, 0.0
    options = _fixed(recipe, config)
    if checkpoint.is_file():
        state = _read(checkpoint, options, _device(model))
        with _named(checkpoint):
            model.load_state_dict(state["model"])
            for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            first, spent = int(state["step"]), float(state["seconds"])
    rows = _read_log(out / "log.csv", before=first)
    started = time.monotonic()
    bar = tqdm(
        range(first, config.steps),
        initial=first,
        total=config.steps,
        desc=out.name,
        disable=rank() > 0,
    )
    for number in bar:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * _schedule(number / config.steps, config.warmup)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + number)
        torch.manual_seed(config.seed * 1_000_003 + number)  # dropout
        losses = step(number, generator)
        _check_finite(losses, number)
        model.zero_grad(set_to_none=True)
        losses["loss"].backward()
        average_gradients(model)
        if config.clip:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        for optimizer in optimizers:
            optimizer.step()
        if number % 10 == 0 or number == config.steps - 1:
            values = {name: float(value.detach()) for name, value in losses.items()}
            rows.append({"step": number, **values})
            bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()})
        last = number == config.steps - 1
        if rank() == 0 and ((number + 1) % config.save_every == 0 or last):
            seconds = spent + time.monotonic() - started
            state = {
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "step": number + 1,
                "seconds": seconds,
                "options": options,
            }
            write_whole(checkpoint, partial(_save, state))
            _write_log(out / "log.csv", rows)
    if rows and rank() == 0:
        _draw(rows, out / "curves.png")
    return spent + time.monotonic() - started


def check_run(out: Path, recipe: Config) -> None:
    """Refuse a recipe that cannot go on in a folder, before its data are read.

    Raises:
        ValueError: if ``out`` holds a run with other options or a damaged checkpoint.
    """
    if (out / "checkpoint.pt").is_file():
        _read(out / "checkpoint.pt", _fixed(recipe, LoopConfig()), torch.device("cpu"))


def _read(checkpoint: Path, options: dict[str, Any], device: torch.device) -> dict[str, Any]:
    with _named(checkpoint):
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        found = dict(state.get("options", {}))
    _check_options(found, options, checkpoint.parent)
    return state


def _save(state: dict[str, Any], path: Path) -> None:
    try:
        torch.save(state, path)
    except RuntimeError as error:  # torch's words for a disk without room
        raise OSError(
            f"no checkpoint can be written in {path.parent}; is the disk full? {first_line(error)}"
        ) from None


def _fixed(recipe: Config | None, config: LoopConfig) -> dict[str, Any]:
    """Return the options that a run must keep, by dotted name: those that touch its result."""
    leaves = describe(recipe) if recipe else describe(config, "loop.")
    return {leaf.name: leaf.value for leaf in leaves if leaf.kind not in ("place", "run")}


def _check_options(before: dict[str, Any], now: dict[str, Any], out: Path) -> None:
    """Refuse to go on with other options; a checkpoint without any is of an older version."""
    changed = [name for name in before if name in now and before[name] != now[name]]
    if changed:
        was = ", ".join(f"{name}={before[name]!r} (now {now[name]!r})" for name in changed)
        raise ValueError(
            f"out: {out} holds a run with {was}; go on with its options, or choose another folder"
        )


def _check_finite(losses: dict[str, Tensor], number: int) -> None:
    if not bool(losses["loss"].isfinite()):
        values = ", ".join(f"{name} {float(value.detach())}" for name, value in losses.items())
        raise ValueError(
            f"loss: expected finite numbers, got {values} in step {number}; a lower lr or "
            "float32 may help, and the run goes on from its last checkpoint"
        )


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _optimizers(
    model: nn.Module, config: LoopConfig, rates: Mapping[str, float]
) -> list[torch.optim.Optimizer]:
    """Return AdamW, and Muon for the matrices inside blocks if it is asked for.

    Muon orthogonalises the updates of matrices; it learns a ViT from few images in about half the
    steps.
    """
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    inner = [p for name, p in trained if config.muon_lr and p.ndim == 2 and "blocks" in name]
    chosen = {id(p) for p in inner}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    for name, p in trained:
        if id(p) not in chosen:
            rate = next((r for start, r in rates.items() if name.startswith(start)), 1.0)
            groups.setdefault((rate, p.ndim > 1), []).append(p)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [
                {
                    "params": own,
                    "peak": rate * config.lr,
                    "weight_decay": config.weight_decay if matrices else 0.0,
                }
                for (rate, matrices), own in groups.items()
            ],
            lr=config.lr,
            betas=(0.9, config.beta2),
            eps=1e-6,
        )
    ]
    if inner:
        group = {"params": inner, "peak": config.muon_lr}
        optimizers.append(torch.optim.Muon([group], lr=config.muon_lr, weight_decay=0.01))
    return optimizers


def _schedule(progress: float, warmup: float) -> float:
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / max(1e-9, 1 - warmup)))


@contextlib.contextmanager
def _named(checkpoint: Path) -> Iterator[None]:
    """Name the checkpoint in whatever it makes its reader raise."""
    try:
        yield
    except Exception as error:  # UnpicklingError, BadZipFile, KeyError, RuntimeError, ...
        raise ValueError(
            f"out: {checkpoint} is damaged or of another model ({first_line(error)}); without it "
            "training starts anew"
        ) from None


def _read_log(path: Path, before: int) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    try:
        rows = [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(path.read_text().splitlines())
        ]
        return [{**row, "step": int(row["step"])} for row in rows if row["step"] < before]
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise ValueError(
            f"out: {path} is damaged ({first_line(error)}); without it training goes on, and only "
            "its curves begin anew"
        ) from None


def _write_log(path: Path, rows: list[dict[str, float]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=_names(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _names(rows: list[dict[str, float]]) -> list[str]:
    """Return the columns, ``step`` first; a step need not compute every loss."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _draw(rows: list[dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in _names(rows)[1:]:
        drawn = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*drawn, strict=True), label=name)
    axes.set(xlabel="step", yscale="log")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
