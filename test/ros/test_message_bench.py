"""The benchmark of messages: every stage gives a row."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ovseg_ros.nodes.message_bench import time_decoding, time_publishing
from ovseg_ros.types import Segmentation, Vocabulary


def test_rows():
    image = np.zeros((24, 32, 3), np.uint8)
    rows = time_decoding(image, runs=2, warmup=0)
    assert [row.stage for row in rows] == ["decode, rgb8", "decode, bgr8", "decode, jpeg"]
    labels = np.ones((1, 24, 32), np.uint8)
    found = Segmentation(labels=labels, confidence=labels, vocabulary=Vocabulary.of("mug"))
    rows = time_publishing(found, runs=2, warmup=0)
    assert [row.stage for row in rows] == ["message build", "publish"]
    assert all(row.median_ms > 0 for row in rows)
