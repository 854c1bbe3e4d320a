#!/usr/bin/env python3
"""Rebuild ``ovseg_ros/robot_cell/assets/sequence.zip``, the recording that ships with the package.

    python scripts/record_sequence.py [OUTPUT.zip]

Needs pybullet. The same version of it gives the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from ovseg_ros.robot_cell.recording import SHIPPED, record
from ovseg_ros.robot_cell.scenes import sample_scene
from ovseg_ros.robot_cell.sequence import SHIPPED_SEED, sequence
from ovseg_ros.robot_cell.world import World

FRAMES, FPS = 200, 10.0


def main() -> None:
    """Render the sequence at 640x480 and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, nargs="?", default=SHIPPED)
    output = parser.parse_args().output
    with World() as world:
        members = world.build(sample_scene("sequence", SHIPPED_SEED, views=1))
        names = {member.id: member.category for member in members}
        looks = {member.id: member.material or member.color for member in members}
        words = {i: word for i, word in looks.items() if word}
        frames = sequence(SHIPPED_SEED, FRAMES, fps=FPS, world=world)
        record(output, tqdm(frames, total=FRAMES, unit="frame"), FPS, names, words)


if __name__ == "__main__":
    main()
