"""Several processes that train one model (torchrun), with sums that gradients flow through.

The recipes ``simzss``, ``simzss_pairs``, ``fisa``, ``fisa_masks``, ``fisa_clip`` and ``lmseg`` run
alike alone and under ``torchrun --nproc-per-node=N -m ovseg_ros.cli train ...``: every process
draws its own part of the batch, and losses see all parts. The others run alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world() -> int:
    """Return the number of processes; 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(batch: int) -> tuple[int, slice]:
    """Return how many draws a step makes in all processes together, and which are this one's.

    Args:
        batch: Draws of every process.
    """
    first = rank() * batch
    return world() * batch, slice(first, first + batch)


def join(device: torch.device) -> torch.device:
    """Join the processes that torchrun started, if it did; return this process's device.

    Gradients go over NCCL between GPUs and over gloo between CPUs.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or dist.is_initialized():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def leave() -> None:
    """Part from the other processes, once all are here; nothing if there are none."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process run a block, then the others: they find on disk what it left there."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and dist.is_initialized():
        dist.barrier()


class _Sum(torch.autograd.Function):
    """Sums over processes; the gradient of a sum is the sum of the processes' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def total(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, differentiable."""
    return value if world() == 1 else _Sum.apply(value)  # type: ignore[no-any-return,no-untyped-call]


def gathered(rows: Tensor) -> Tensor:
    """Return the rows of all processes in order, (world * B, ...), differentiable.

    Args:
        rows: This process's, (B, ...); B is the same everywhere.
    """
    if world() == 1:
        return rows
    places = rows.new_zeros(world(), *rows.shape)
    places[rank()] = rows
    return total(places).flatten(0, 1)


def average_gradients(model: nn.Module) -> None:
    """Replace the gradients of trained parameters by their means over all processes."""
    if world() == 1:
        return
    for parameter in _trained(model):
        if parameter.grad is None:  # every process must take part in every sum
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
        parameter.grad /= world()


def _trained(model: nn.Module) -> Iterable[nn.Parameter]:
    return (parameter for parameter in model.parameters() if parameter.requires_grad)
