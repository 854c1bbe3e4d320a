"""The load test with a real node in a process of its own."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ovseg_ros.bench.graph import metrics
from ovseg_ros.nodes.graph_bench import play
from ovseg_ros.presets import pipeline_options


def test_more_names_than_eight_bits_hold():
    config = pipeline_options("robot_cell", [], device="cpu")
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    played = play(config, image, names=300, rates_hz=(5.0,), seconds=1.0)
    found = metrics(played[5.0])
    assert found["BasicPerformanceMetrics.NUM_FRAMES_SENT"] == 5
    assert found["BasicPerformanceMetrics.NUM_MISSED_FRAMES"] < 5
    assert found["BasicPerformanceMetrics.MEDIAN_LATENCY"] > 0
    assert found["ResourceMetrics.NODE_CORES"] > 0
    assert found["ResourceMetrics.NODE_PEAK_MEMORY_MIB"] > 100
