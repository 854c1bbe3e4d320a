"""A mini data set on disk, written without pybullet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from ovseg_ros.robot_cell.meshes import Mesh
from ovseg_ros.robot_cell.objects import category_id, category_names


@pytest.fixture(scope="session")
def volume() -> Callable[[Mesh], float]:
    """Signed volume of a mesh; positive when the faces of a closed one face outwards."""

    def measure(mesh: Mesh) -> float:
        a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
        return float((a * np.cross(b, c)).sum() / 6)

    return measure


@pytest.fixture
def mini_root(tmp_path: Path) -> Path:
    """Two frames of split "val": a wall over a table with a red mug."""
    folder = tmp_path / "val"
    for name in ("rgb", "labels", "instances", "depth"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.json").write_text(
        json.dumps({"categories": list(category_names()), "synonyms": {"mug": ["cup"]}})
    )
    mask = np.full((24, 32), 1, np.uint8)
    mask[12:] = 2
    mask[10:18, 4:10] = 3
    kinds = {1: ("wall", "white", 512), 2: ("table", None, 208), 3: ("mug", "red", 48)}
    labels = np.zeros_like(mask)
    for key, (category, _, _) in kinds.items():
        labels[mask == key] = category_id(category)
    lines = []
    for name in ("00000_0", "00000_1"):
        rgb = np.full((24, 32, 3), (200, 100, 20), np.uint8)
        cv2.imwrite(str(folder / "rgb" / f"{name}.jpg"), rgb[..., ::-1])
        cv2.imwrite(str(folder / "labels" / f"{name}.png"), labels)
        cv2.imwrite(str(folder / "instances" / f"{name}.png"), mask)
        cv2.imwrite(str(folder / "depth" / f"{name}.png"), np.full((24, 32), 1234, np.uint16))
        instances = [
            {
                "id": key,
                "category": category,
                "color": color,
                "material": "wooden" if category == "table" else None,
                "in_tray": False,
                "pixels": int((mask == key).sum()),
                "bbox_xyxy": [0, 0, 32, 24],
            }
            for key, (category, color, _) in kinds.items()
        ]
        lines.append(
            json.dumps(
                {
                    "name": name,
                    "scene": 0,
                    "views": 2,
                    "seed": 0,
                    "size": [32, 24],
                    "depth": True,
                    "captions": ["a red mug on a wooden table"],
                    "instances": instances,
                    "intrinsics": np.eye(3).tolist(),
                    "camera_to_world": np.eye(4).tolist(),
                }
            )
        )
    (folder / "frames.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path
