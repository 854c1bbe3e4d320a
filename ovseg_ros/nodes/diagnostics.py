"""What `/diagnostics` says about a node: rate, age, drops, device, memory."""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from ovseg_ros.nodes.guard import brief

if TYPE_CHECKING:
    from ovseg_ros.nodes.sensor_input import SensorInput
    from ovseg_ros.vocabulary.living import LivingVocabulary

Judgement = tuple[bytes, str]
"""Level and text of a status."""

SILENT_S = 2.0
"""Time without an image after which that is worth a warning."""

LOW_IDS = 20
"""Ids left from which on there is a warning."""

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Meter:
    """Rate and age of what happened in the last seconds; safe to use from several threads."""

    def __init__(self, window_s: float = 5.0) -> None:
        """Start to measure now."""
        self._window_s, self._started = window_s, time.monotonic()
        self._last = self._started
        self._events: deque[tuple[float, float, int]] = deque()
        self._lock = threading.Lock()
        self.count = 0

    def add(self, age_s: float = float("nan"), *, count: int = 1) -> None:
        """Count one event whose image has this age in seconds, or several at once."""
        with self._lock:
            self.count += count
            self._last = time.monotonic()
            self._events.append((self._last, age_s, count))
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
            return sum(count for _, _, count in self._events) / max(seconds, 1e-3)

    @property
    def mean_hz(self) -> float:
        """Events per second since the start."""
        return self.count / max(time.monotonic() - self._started, 1e-3)

    def age_ms(self, *percentiles: float) -> tuple[float, ...]:
        """Return percentiles of the age in milliseconds, NaN if nothing happened."""
        with self._lock:
            self._forget()
            ages = np.array([age for _, age, _ in self._events])
        ages = ages[np.isfinite(ages)]
        if not len(ages):
            return tuple(float("nan") for _ in percentiles)
        return tuple(float(value) for value in np.percentile(ages * 1000, percentiles))

    @property
    def silent_s(self) -> float:
        """Seconds since the last event, or since the start."""
        return time.monotonic() - self._last


def device_status(asked: str, device: str) -> Judgement:
    """Judge the device that models run on against the one that was asked for."""
    if device.startswith("cuda"):
        import torch

        return OK, f"running on {torch.cuda.get_device_name(device)}"
    if asked.startswith("cuda"):
        return ERROR, f"device {asked!r} was asked for, but the models run on {device}"
    return OK, f"running on {device}" + (" (auto: there is no CUDA device)" * (asked == "auto"))


def input_status(
    silent_s: float, topics: str, inputs: Sequence[SensorInput], *, arrivals: float
) -> Judgement:
    """Judge whether images arrive; the quality of service and losses on the way are named.

    A reliable camera that sends faster than its images can be carried loses some as well.

    Args:
        silent_s: Time since the last image in seconds.
        topics: Where images should come from.
        inputs: What receives them.
        arrivals: Images per second.
    """
    lost = sum(sensor.lost.rate_hz for sensor in inputs)
    losses = f"; {lost:.1f} per second are lost on the way" if lost else ""
    if silent_s > SILENT_S:
        return WARN, f"no image on {topics} for {silent_s:.0f} s{losses}"
    ways = ", ".join(dict.fromkeys(sensor.qos for sensor in inputs)) or "closed"
    return WARN if lost > arrivals else OK, f"images arrive ({ways}){losses}"


def decoding_status(
    *,
    arrivals: float,
    results: float,
    refusals: float,
    reason: str,
    silent_s: float = 0.0,
    patience_s: float = float("inf"),
) -> Judgement:
    """Judge whether images that arrive lead to results.

    Args:
        arrivals: Images per second.
        results: Results per second.
        refusals: Refused images per second.
        reason: Why the last one was refused.
        silent_s: Time since the last result in seconds.
        patience_s: How long a result may take.
    """
    if arrivals > 0 and refusals > 0 and results == 0:
        return ERROR, f"images arrive and none is used: {reason}"
    if arrivals > 0 and results == 0 and silent_s > patience_s:
        return ERROR, f"images arrive and the model has not answered for {silent_s:.0f} s"
    if refusals > 0:
        return WARN, f"{refusals:.1f} images per second are refused: {reason}"
    return OK, "images are used"


def ids_status(vocabulary: LivingVocabulary) -> Judgement:
    """Judge whether there are ids for words to come."""
    discovery, operator = vocabulary.ids_left
    way_on = "mask_encoding 16UC1 holds more, set_vocabulary with new_session begins anew"
    refused = vocabulary.refused
    if refused:
        words = ", ".join(refused[-5:])
        return ERROR, f"no ids are left for discovered words ({words}); {way_on}"
    if operator == 0:
        return ERROR, f"no ids are left, for the operator neither; {way_on}"
    if discovery <= LOW_IDS:
        return WARN, f"{discovery} ids are left for discovered words; {way_on}"
    for warning in vocabulary.warnings:
        return WARN, brief(warning)
    return OK, f"{discovery} ids are left for discovered words, {operator} for the operator"


def names_status(left_out: Mapping[int, Sequence[str]]) -> Judgement:
    """Judge whether the last image of every camera was compared with all words.

    Args:
        left_out: Words that it was not compared with, by camera.
    """
    missing = list(dict.fromkeys(name for names in left_out.values() for name in names))
    if not missing:
        return OK, "images are compared with all words"
    more = ", ..." * (len(missing) > 5)
    return WARN, (
        f"the last image was not compared with {len(missing)} words, more than the segmenter "
        f"takes at a time: {', '.join(missing[:5])}{more}"
    )


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


def to_msg(
    name: str,
    hardware: str,
    judgements: Mapping[str, Judgement],
    values: Mapping[str, str],
    stamp: Time,
) -> DiagnosticArray:
    """Return a message for `/diagnostics`: a status of the whole, then one of each part.

    Args:
        name: Name of the node.
        hardware: What it runs on.
        judgements: Level and text of every part by its name; the whole has the worst of them.
        values: Figures of the whole.
        stamp: Now.
    """
    level = max((level for level, _ in judgements.values()), default=OK)
    text = "; ".join(text for own, text in judgements.values() if own == level)
    whole = DiagnosticStatus(
        level=level,
        name=name,
        message=text,
        hardware_id=hardware,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    parts = [
        DiagnosticStatus(level=own, name=f"{name}: {part}", message=text, hardware_id=hardware)
        for part, (own, text) in judgements.items()
        if len(judgements) > 1
    ]
    return DiagnosticArray(header=Header(stamp=stamp), status=[whole, *parts])


def free_memory() -> None:
    """Give the memory of models that are gone back, that of a GPU to its driver."""
    import torch

    gc.unfreeze()  # they were loaded as what stays
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
