"""Masks are carried exactly as long as they may be."""

import numpy as np
import pytest

from ovseg_ros.nodes.carried import KeyFrames, Masks

FOUND = Masks(10.0, 3, np.ones((4, 6), np.uint8), np.ones((4, 6), np.uint8))
FRAME = {"stamp_s": 10.5, "now_s": 70.5, "version": 3, "size_hw": (4, 6)}


@pytest.mark.parametrize(
    ("change", "carried"),
    [
        ({}, True),
        ({"stamp_s": 10.0}, True),
        ({"stamp_s": 10.99}, True),
        ({"stamp_s": 11.0}, False),
        ({"stamp_s": 9.9}, False),
        ({"stamp_s": 10.0, "now_s": 71.0}, False),  # stamps that stand still
        ({"version": 4}, False),
        ({"size_hw": (6, 4)}, False),
    ],
)
def test_when_masks_are_carried(change, carried):
    frames = KeyFrames(1.0)
    frames.keep(0, FOUND, now_s=70.0)
    assert (frames.carry(0, **{**FRAME, **change}) is FOUND) == carried
    assert frames.carried == carried


def test_every_camera_has_its_own():
    frames = KeyFrames(1.0)
    assert frames.carry("front", **FRAME) is None
    frames.keep("front", FOUND, now_s=70.0)
    assert frames.carry("rear", **FRAME) is None
    assert frames.carry("front", **FRAME) is FOUND


def test_without_a_period_every_frame_is_a_key_frame():
    frames = KeyFrames(0.0)
    frames.keep(0, FOUND, now_s=70.0)
    assert frames.carry(0, **{**FRAME, "stamp_s": 10.0}) is None
