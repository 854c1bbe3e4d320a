"""An evaluation split over processes, GPUs or machines, as ``torchrun`` starts them.

Process r of n takes the images r, r + n, r + 2 n, ...; the records are brought together at the
end. As an image's seed is its index, the result is that of one process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

_PATIENCE = timedelta(days=7)
"""How long a finished process waits for the slowest."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """This process's share.

    Attributes:
        rank: Number of this process among all, from 0.
        count: Number of processes.
    """

    rank: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Validate."""
        if not 0 <= self.rank < self.count:
            raise ValueError(f"rank: expected 0..{self.count - 1}, got {self.rank}")

    @property
    def first(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def gather(self, items: list[T]) -> list[T]:
        """Return the items of all processes; every process must call this."""
        if self.count == 1:
            return items
        parts: list[list[T]] = [[] for _ in range(self.count)]
        dist.all_gather_object(parts, items)
        return [item for part in parts for item in part]


@contextlib.contextmanager
def shard_of_process() -> Iterator[Shard]:
    """Join the processes that ``torchrun`` started; alone without it."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Shard()
        return
    dist.init_process_group("gloo", timeout=_PATIENCE)  # records are Python objects on the CPU
    try:
        yield Shard(rank=dist.get_rank(), count=count)
    finally:
        dist.destroy_process_group()


def device_of_process(device: str) -> str:
    """Return the device this process computes on: each process of a machine takes its own GPU."""
    local, gpus = os.environ.get("LOCAL_RANK"), torch.cuda.device_count()
    if local is None or not gpus or device not in ("auto", "cuda"):
        return device
    return f"cuda:{int(local) % gpus}"
