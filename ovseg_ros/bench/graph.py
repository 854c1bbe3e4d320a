"""`ovseg bench graph`: the segmentation node as a robot runs it, fed at fixed rates.

The numbers have the names, units and nesting of NVIDIA's isaac_ros_benchmark (ros2_benchmark), so
that the two can be laid side by side: milliseconds, frames per second, percent of all cores.
Percentiles of the latency and what the node's own process takes are added to them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.config import flatten
from ovseg_ros.segmenters.systems import load_place

RATES_HZ = (10.0, 30.0)
SECONDS = 5.0
"""How long each rate is played, as there."""


@dataclass(frozen=True, kw_only=True)
class Playback:
    """What happened while images were played.

    Attributes:
        sent_s: When each image was sent, by its stamp in nanoseconds.
        received_s: When its mask came, by the same number; those that are missing never came.
        busy: Share of all cores that was busy, in each second.
        cores: Cores that the node's process used on average.
        peak_mib: Most memory that it had resident.
    """

    sent_s: Mapping[int, float]
    received_s: Mapping[int, float]
    busy: Sequence[float]
    cores: float
    peak_mib: float


def metrics(playback: Playback) -> dict[str, float]:
    """Return one rate's numbers.

    Jitter is how far the time between two masks is from the time between two images on average.
    """
    sent = np.array(sorted(playback.sent_s.values()))
    numbers = sorted(playback.received_s)
    received = np.array([playback.received_s[n] for n in numbers])
    latency = 1000 * np.array([playback.received_s[n] - playback.sent_s[n] for n in numbers])
    found: dict[str, float] = {
        "NUM_FRAMES_SENT": len(sent),
        "NUM_MISSED_FRAMES": len(sent) - len(received),
        "MEAN_PLAYBACK_FRAME_RATE": _rate(sent),
        "MEAN_FRAME_RATE": _rate(received),
    }
    if len(received):
        found |= {
            "FIRST_SENT_RECEIVED_LATENCY": latency[0],
            "LAST_SENT_RECEIVED_LATENCY": latency[-1],
            "MEDIAN_LATENCY": np.median(latency),
            "P95_LATENCY": np.percentile(latency, 95),
            "MAX_LATENCY": latency.max(),
            "RECEIVED_DURATION": 1000 * (received[-1] - received[0]),
        }
    if len(received) > 1 and len(sent) > 1:
        jitter = 1000 * np.abs(np.diff(received) - np.diff(sent).mean())
        found |= {
            "MIN_JITTER": jitter.min(),
            "MEAN_JITTER": jitter.mean(),
            "MAX_JITTER": jitter.max(),
            "STD_DEV_JITTER": jitter.std(),
        }
    busy = 100 * np.array(playback.busy)
    resources: dict[str, float] = {
        "NODE_CORES": playback.cores,
        "NODE_PEAK_MEMORY_MIB": playback.peak_mib,
    }
    if len(busy):
        resources |= {
            "MIN_OVERALL_CPU_UTILIZATION": busy.min(),
            "MEAN_OVERALL_CPU_UTILIZATION": busy.mean(),
            "MAX_OVERALL_CPU_UTILIZATION": busy.max(),
            "STDDEV_OVERALL_CPU_UTILIZATION": busy.std(),
        }
    named = {f"BasicPerformanceMetrics.{key}": value for key, value in found.items()}
    named |= {f"ResourceMetrics.{key}": value for key, value in resources.items()}
    return {key: round(float(value), 4) for key, value in named.items()}


def _rate(times: np.ndarray) -> float:
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def bench_graph(job: Job) -> Result:
    """``ovseg bench graph``."""
    # By name: what is above the bench may be measured, but the bench does not know it.
    play = load_place("ovseg_ros.nodes.graph_bench:play")
    runs = {}
    for count in job.counts:
        played = play(job.config, job.image, names=count, rates_hz=RATES_HZ, seconds=SECONDS)
        runs[f"{count} names"] = {f"{hz:.1f}fps": metrics(one) for hz, one in played.items()}
    data = {
        "machine": {
            "platform": platform.platform(),
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
        },
        "image_hw": list(job.image.shape[:2]),
        "options": flatten(job.config),
        "runs": runs,
    }
    return Result(lines=table(runs), data=data)


def table(runs: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """Return the numbers for people."""
    columns = {
        "Hz": "BasicPerformanceMetrics.MEAN_FRAME_RATE",
        "p50 ms": "BasicPerformanceMetrics.MEDIAN_LATENCY",
        "p95 ms": "BasicPerformanceMetrics.P95_LATENCY",
        "jitter ms": "BasicPerformanceMetrics.MEAN_JITTER",
        "missed": "BasicPerformanceMetrics.NUM_MISSED_FRAMES",
        "sent": "BasicPerformanceMetrics.NUM_FRAMES_SENT",
        "cores": "ResourceMetrics.NODE_CORES",
        "MiB": "ResourceMetrics.NODE_PEAK_MEMORY_MIB",
    }
    lines = [f"{'':24}" + "".join(f"{name:>11}" for name in columns)]
    for names, rates in runs.items():
        for rate, found in rates.items():
            values = (found.get(key, float("nan")) for key in columns.values())
            lines.append(f"{names + ' at ' + rate:24}" + "".join(f"{v:11.2f}" for v in values))
    return lines


def plot(runs: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """Draw rate and latency by number of names, one line for each playback rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    shown = (("MEAN_FRAME_RATE", "masks per second"), ("P95_LATENCY", "latency, p95, ms"))
    counts = [int(names.split()[0]) for names in runs]
    for axes, (key, label) in zip(figure.subplots(1, 2), shown, strict=True):
        for rate in next(iter(runs.values())):
            values = [one[rate].get(f"BasicPerformanceMetrics.{key}") for one in runs.values()]
            axes.plot(counts, values, marker="o", label=f"images at {rate}")
        axes.set(xscale="log", xlabel="names", ylabel=label, ylim=(0, None))
        axes.legend()
    figure.savefig(path)


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
