"""Reading a split from disk needs no pybullet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.robot_cell.dataset import RobotCell, read_records
from ovseg_ros.robot_cell.instances import Instance, Member, visible_instances
from ovseg_ros.robot_cell.objects import category_id


def test_frames_come_with_shapes_types_and_colour_order(mini_root: Path) -> None:
    cell = RobotCell(mini_root, "val")
    assert len(cell) == 2 and len(cell[:]) == 2 and cell[-1].name == "00000_1"
    frame = cell[0]
    assert frame.image.shape == (24, 32, 3) and frame.image.dtype == np.uint8
    assert np.abs(frame.image[0, 0].astype(int) - [200, 100, 20]).max() < 6  # RGB, not BGR
    assert frame.labels[11, 5] == category_id("mug") and frame.labels[0, 0] == category_id("wall")
    assert frame.depth_m is not None and np.allclose(frame.depth_m, 1.234)
    assert frame.intrinsics.shape == (3, 3) and frame.camera_to_world.shape == (4, 4)
    table = next(i for i in frame.instances if i.category == "table")
    assert table.attribute == "wooden" and table.bbox_xyxy == (0, 0, 32, 24)
    assert cell.captions(0) == ("a red mug on a wooden table",)
    assert cell.categories[0] == "unlabelled"


def test_a_line_still_being_written_is_left_out(mini_root: Path) -> None:
    with open(mini_root / "val" / "frames.jsonl", "a") as index:
        index.write('{"name": "00001_0", "scen')
    assert len(RobotCell(mini_root, "val")) == 2


def test_a_missing_split_or_image_is_named(mini_root: Path) -> None:
    with pytest.raises(ValueError, match=r"split 'test' is not under .* ovseg render"):
        RobotCell(mini_root, "test")
    (mini_root / "val" / "labels" / "00000_0.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"00000_0\.png is missing"):
        RobotCell(mini_root, "val")[0]


def test_instances_survive_json_and_boxes_are_exclusive_at_the_end() -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[2:4, 3:6] = 7
    member = Member(7, "mug", "red", None, False)
    hidden = Member(8, "duck", None, None, False)
    (seen,) = visible_instances([member, hidden], mask)
    assert seen.pixels == 6 and seen.bbox_xyxy == (3, 2, 6, 4)
    assert Instance.from_json(seen.to_json()) == seen


@pytest.mark.parametrize("damage", [b"{\n", b"[1]\n", b"null\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_a_damaged_list_of_frames_is_named(tmp_path, damage):
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b'{"name": "0"}\n' + damage)
    with pytest.raises(ValueError, match=r"frames\.jsonl, line 2 is damaged"):
        list(read_records(path))
