"""A mini robot cell on disk, as `ovseg render` lays it out; four frames of 64x48 pixels."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ovseg_ros.robot_cell.objects import category_id, category_names
from ovseg_ros.training.frames import Frames, load_frames

CAPTIONS = (
    ["a red mug on a wooden table", "a mug", "a wooden table in front of the white wall"],
    ["a yellow duck on a wooden table", "a photo of a duck", "a table and the wall"],
    ["a red mug and a yellow duck on a wooden table", "a duck on a table", "the white wall"],
    ["a wooden table in front of the white wall", "a table", "the wall"],
)
RGB = {
    "wall": (230, 230, 230),
    "table": (140, 90, 40),
    "mug": (200, 20, 20),
    "duck": (240, 220, 20),
}
LOOKS = {
    "wall": ("white", None),
    "table": (None, "wooden"),
    "mug": ("red", None),
    "duck": ("yellow", None),
}
BOXES = {"mug": (slice(20, 36), slice(8, 24)), "duck": (slice(16, 30), slice(36, 52))}
"""Rows and columns of the objects; the mug is in frames 0 and 2, the duck in 1 and 2."""


def write_cell(root: Path) -> None:
    """Write split "train" under ``root``."""
    folder = root / "train"
    for name in ("rgb", "labels", "instances"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.json").write_text(
        json.dumps({"categories": list(category_names()), "synonyms": {}})
    )
    lines = []
    for index, captions in enumerate(CAPTIONS):
        shown = ["wall", "table", *(["mug"] * (index in (0, 2))), *(["duck"] * (index in (1, 2)))]
        mask = np.ones((48, 64), np.uint8)
        mask[24:] = 2
        for number, name in enumerate(shown[2:], start=3):
            mask[BOXES[name]] = number
        labels = np.zeros_like(mask)
        rgb = np.zeros((48, 64, 3), np.uint8)
        instances = []
        for number, name in enumerate(shown, start=1):
            color, material = LOOKS[name]
            labels[mask == number] = category_id(name)
            rgb[mask == number] = RGB[name]
            instances.append(
                {
                    "id": number,
                    "category": name,
                    "color": color,
                    "material": material,
                    "in_tray": False,
                    "pixels": int((mask == number).sum()),
                    "bbox_xyxy": [0, 0, 64, 48],
                }
            )
        stem = f"0000{index}_0"
        cv2.imwrite(str(folder / "rgb" / f"{stem}.jpg"), rgb[..., ::-1])
        cv2.imwrite(str(folder / "labels" / f"{stem}.png"), labels)
        cv2.imwrite(str(folder / "instances" / f"{stem}.png"), mask)
        record = {
            "name": stem,
            "scene": index,
            "views": 1,
            "seed": 0,
            "size": [64, 48],
            "depth": False,
            "captions": captions,
            "instances": instances,
            "intrinsics": np.eye(3).tolist(),
            "camera_to_world": np.eye(4).tolist(),
        }
        lines.append(json.dumps(record))
    (folder / "frames.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the data set."""
    root = tmp_path_factory.mktemp("cell")
    write_cell(root)
    return root


@pytest.fixture(scope="session")
def frames(cell: Path) -> Frames:
    """The train split in memory."""
    return load_frames(cell, "train")
