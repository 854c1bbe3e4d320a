"""Who goes first on the processor: segmentation, then discovery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

_THREADS = torch.get_num_threads()
_HIGH, _NORMAL = -1, 0  # CUDA's priorities; normal is also the lowest


def cap_threads(threads: int) -> None:
    """Let what this thread asks of torch run on ``threads`` CPU threads from now on (0: all)."""
    # torch keeps the number for each thread, but a new thread starts with the last one set.
    _set_threads(threads or _THREADS)


@contextmanager
def per_frame(device: str, threads: int = 0) -> Iterator[None]:
    """Run what every frame needs: ``threads`` CPU threads (0: all), and on a GPU before others."""
    cap_threads(threads)
    if device.startswith("cuda"):
        with torch.cuda.stream(_stream(device, _HIGH)):
            yield
        return
    yield


@contextmanager
def in_background(device: str, threads: int) -> Iterator[None]:
    """Run what can wait: ``threads`` CPU threads (0: all), or a CUDA stream of its own."""
    if device.startswith("cuda"):
        with torch.cuda.stream(_stream(device, _NORMAL)):
            yield
        return
    _set_threads(threads or _THREADS)
    try:
        yield
    finally:
        _set_threads(_THREADS)


def _set_threads(threads: int) -> None:
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@lru_cache(maxsize=16)
def _stream(device: str, priority: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(device, priority=priority)
