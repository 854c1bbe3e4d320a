"""Memory of processes and devices."""

from __future__ import annotations

from pathlib import Path

import torch


def peak_mib(device: str) -> float:
    """Return the most memory in MiB so far: of the GPU, or resident in this process."""
    if device.startswith("cuda"):
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    return resident_mib("VmHWM")


def resident_mib(field: str, pid: int | str = "self") -> float:
    """Return what Linux counts of a process, in MiB: ``VmRSS`` now, or ``VmHWM`` at most.

    Unlike what ``getrusage`` says, that is nothing of a process's parent.

    Raises:
        OSError: if nobody counts.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 2**10
    raise OSError(f"/proc/{pid}/status: expected {field}")
