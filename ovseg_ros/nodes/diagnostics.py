"""What `/diagnostics` says about a node: rate, age, drops, device, memory."""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Mapping

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

Level = bytes
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Meter:
    """Rate and age of what happened in the last seconds; safe to use from several threads."""

    def __init__(self, window_s: float = 5.0) -> None:
        """Start to measure now."""
        self._window_s, self._started = window_s, time.monotonic()
        self._last = self._started
        self._events: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()
        self.count = 0

    def add(self, age_s: float = float("nan")) -> None:
        """Count one event whose image has this age in seconds."""
        with self._lock:
            self.count += 1
            self._last = time.monotonic()
            self._events.append((self._last, age_s))
            self._forget()

    def _forget(self) -> None:
        while self._events and self._events[0][0] < time.monotonic() - self._window_s:
            self._events.popleft()

    @property
    def rate_hz(self) -> float:
        """Events per second."""
        with self._lock:
            self._forget()
            seconds = min(self._window_s, time.monotonic() - self._started)
            return len(self._events) / max(seconds, 1e-3)

    @property
    def mean_hz(self) -> float:
        """Events per second since the start."""
        return self.count / max(time.monotonic() - self._started, 1e-3)

    def age_ms(self, *percentiles: float) -> tuple[float, ...]:
        """Return percentiles of the age in milliseconds, NaN if nothing happened."""
        with self._lock:
            self._forget()
            ages = np.array([age for _, age in self._events])
        ages = ages[np.isfinite(ages)]
        if not len(ages):
            return tuple(float("nan") for _ in percentiles)
        return tuple(float(value) for value in np.percentile(ages * 1000, percentiles))

    @property
    def silent_s(self) -> float:
        """Seconds since the last event, or since the start."""
        return time.monotonic() - self._last


def device_status(asked: str, device: str) -> tuple[Level, str]:
    """Judge the device that models run on against the one that was asked for."""
    if device.startswith("cuda"):
        import torch

        return OK, f"running on {torch.cuda.get_device_name(device)}"
    if asked.startswith("cuda"):
        return ERROR, f"device {asked!r} was asked for, but the models run on {device}"
    if asked == "auto":
        return WARN, "device 'auto': no CUDA device found, running on the CPU"
    return OK, f"running on {device} as asked"


def gpu_memory(device: str) -> dict[str, str]:
    """Return the GPU memory that torch uses, empty for a CPU."""
    if not device.startswith("cuda"):
        return {}
    import torch

    mib = 2**20
    return {
        "gpu_memory_mib": f"{torch.cuda.memory_allocated(device) / mib:.0f}",
        "gpu_memory_peak_mib": f"{torch.cuda.max_memory_allocated(device) / mib:.0f}",
    }


def worst(*judgements: tuple[Level, str]) -> tuple[Level, str]:
    """Return the highest level and every text that has it."""
    level = max(level for level, _ in judgements)
    return level, "; ".join(text for own, text in judgements if own == level)


def to_msg(
    name: str, hardware: str, judgement: tuple[Level, str], values: Mapping[str, str], stamp: Time
) -> DiagnosticArray:
    """Return one status as a message for `/diagnostics`."""
    level, text = judgement
    status = DiagnosticStatus(
        level=level,
        name=name,
        message=text,
        hardware_id=hardware,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    return DiagnosticArray(header=Header(stamp=stamp), status=[status])


def free_gpu_memory() -> None:
    """Give the GPU memory of models that are gone back to the driver."""
    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
