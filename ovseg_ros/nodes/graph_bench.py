"""Plays an image to a segmentation node in a process of its own, at fixed rates, over DDS."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ovseg_ros.bench.graph import Playback
from ovseg_ros.bench.memory import resident_mib
from ovseg_ros.bench.names import bench_names
from ovseg_ros.config import flatten
from ovseg_ros.nodes.base import OUTPUT_QOS, SENSOR_QOS
from ovseg_ros.nodes.conversions import stamp_from_msg
from ovseg_ros.nodes.executor import own_context, spun
from ovseg_ros.nodes.images import image_to_msg
from ovseg_ros.nodes.session import ros_domain
from ovseg_ros.nodes.up import parameter_text, running_graph
from ovseg_ros.pipeline import PipelineConfig
from ovseg_ros.types import MAX_MONO8_ID

_START_S, _DRAIN_S = 180.0, 2.0
_TICKS = os.sysconf("SC_CLK_TCK")


def play(
    config: PipelineConfig,
    image: np.ndarray,
    *,
    names: int,
    rates_hz: Sequence[float],
    seconds: float,
) -> dict[float, Playback]:
    """Play an image at each rate and return what happened, by rate.

    Args:
        config: What the node runs; its words are replaced.
        image: RGB, (H, W, 3) uint8.
        names: Size of the vocabulary.
        rates_hz: Images per second.
        seconds: How long each rate is played.

    Raises:
        TimeoutError: if the node sends no mask.
    """
    processes: dict[str, subprocess.Popen[Any]] = {}
    with ros_domain() as (_, environment):
        command = list(_command(config, names))
        try:
            with (
                running_graph({"segmentation_node": command}, env=environment) as processes,
                own_context() as context,
            ):
                node = Node("bench", context=context)
                player = _Player(image, processes["segmentation_node"], node)
                with spun(node):
                    player.wait_for_masks()
                    return {rate: player.play(rate, seconds) for rate in rates_hz}
        finally:  # a killed one may still give back its memory, and would disturb what comes next
            for process in processes.values():
                process.wait()


def _command(config: PipelineConfig, names: int) -> Iterator[str]:
    values: dict[str, Any] = {
        name: value for name, value in flatten(config).items() if not name.startswith("discovery.")
    }
    values |= {
        "preset": "",
        "vocabulary.mode": "fixed",
        "vocabulary.names": list(bench_names(names)),
        "vocabulary.max_categories": max(names, 1),
        "mask_encoding": "mono8" if names <= MAX_MONO8_ID else "16UC1",
    }
    yield from (sys.executable, "-P", "-m", "ovseg_ros.nodes.segmentation_node", "--ros-args")
    for name, value in values.items():
        if value == [] or value == ():
            continue  # rcl takes an empty list for bytes
        value = list(value) if isinstance(value, tuple) else value
        yield from ("-p", f"{name}:={parameter_text(value)}")
    yield from ("--log-level", "warn")


class _Player:
    """Sends images with rising stamps and notes when each mask comes."""

    def __init__(self, image: np.ndarray, process: subprocess.Popen[Any], node: Node) -> None:
        self._message = image_to_msg(image, "rgb8", Header(frame_id="camera"))
        self._process, self._node = process, node
        self._sent: dict[int, float] = {}
        self._received: dict[int, float] = {}
        self._publisher = node.create_publisher(Image, "/image", OUTPUT_QOS)
        node.create_subscription(Image, "/segmentation_node/label_mask", self._on_mask, SENSOR_QOS)

    def wait_for_masks(self) -> None:
        """Send images until the node has loaded and answers three of them."""
        end = time.monotonic() + _START_S
        while len(self._received) < 3:
            if time.monotonic() > end or self._process.poll() is not None:
                raise TimeoutError("bench graph: the segmentation node sends no masks")
            self._send()
            time.sleep(0.2)
        time.sleep(_DRAIN_S)

    def play(self, rate_hz: float, seconds: float) -> Playback:
        """Send images at a rate."""
        self._sent, self._received = {}, {}
        cpu_before, start = _cpu_s(self._process.pid), time.monotonic()
        with _sampling(_busy, period_s=1.0) as busy:
            for number in range(round(rate_hz * seconds)):
                time.sleep(max(0.0, start + number / rate_hz - time.monotonic()))
                self._send()
            elapsed_s = time.monotonic() - start
            cpu_s = _cpu_s(self._process.pid) - cpu_before
        time.sleep(_DRAIN_S)
        sent, received = self._sent, self._received
        return Playback(
            sent_s=sent,
            received_s={number: received[number] for number in sent if number in received},
            busy=busy,
            cores=cpu_s / elapsed_s,
            peak_mib=resident_mib("VmHWM", self._process.pid),
        )

    def _send(self) -> None:
        self._message.header.stamp = self._node.get_clock().now().to_msg()
        # Before it is sent: building the message on the wire is part of the way.
        self._sent[stamp_from_msg(self._message.header.stamp)] = time.monotonic()
        self._publisher.publish(self._message)

    def _on_mask(self, message: Image) -> None:
        self._received[stamp_from_msg(message.header.stamp)] = time.monotonic()


@contextmanager
def _sampling(read: Callable[[], tuple[float, float]], period_s: float) -> Iterator[list[float]]:
    """Yield a list that gets the busy share of all cores in every period."""
    shares: list[float] = []
    ended = threading.Event()

    def sample() -> None:
        before = read()
        while not ended.wait(period_s):
            now = read()
            total = now[1] - before[1]
            shares.append((now[0] - before[0]) / total if total else 0.0)
            before = now

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield shares
    finally:
        ended.set()
        thread.join()


def _busy() -> tuple[float, float]:
    """Return the time that all cores together were busy, and all time, in ticks."""
    times = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    idle = times[3] + times[4]
    return sum(times) - idle, sum(times)


def _cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS
