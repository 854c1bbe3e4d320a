"""Recordings: what goes in comes out, up to JPEG and millimetres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.robot_cell.objects import category_id, category_names
from ovseg_ros.robot_cell.recording import RecordedSequence, SequenceFrame, record
from ovseg_ros.robot_cell.sensor import expose


def frames(count: int) -> list[SequenceFrame]:
    """Frames with a red square that moves to the right over a blue ground."""
    made = []
    for k in range(count):
        mask = np.full((48, 64), 1, np.uint8)
        mask[8:24, 8 + k : 24 + k] = 2
        image = np.where((mask == 2)[..., None], (200, 10, 10), (10, 10, 200)).astype(np.uint8)
        depth = np.full((48, 64), 1.5 + k / 100, np.float32)
        made.append(
            SequenceFrame(k, k / 10, image, mask, mask, depth, np.eye(3), np.eye(4) * (k + 1), (2,))
        )
    return made


def test_a_recording_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "move.zip"
    record(path, frames(4), 10, {1: "table", 2: "cube"}, quality=95)
    read = RecordedSequence(path)
    assert len(read) == 4 and read.fps == 10 and read.size == (64, 48)
    assert read.categories == category_names()
    for given, got in zip(frames(4), read, strict=True):
        assert got.stamp_s == pytest.approx(given.stamp_s) and got.moving == (2,)
        assert np.array_equal(got.instance_mask, given.instance_mask)
        assert np.array_equal(got.labels == category_id("cube"), given.instance_mask == 2)
        assert np.abs(got.image[2:6, 2:6].astype(int) - [10, 10, 200]).max() < 25
        assert np.allclose(got.depth_m, given.depth_m, atol=6e-4)
        assert np.allclose(got.camera_to_world, given.camera_to_world)
    assert read[-1].index == 3 and read.jpeg(0)[:2] == b"\xff\xd8"


def test_same_frames_same_bytes(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        record(tmp_path / name, frames(2), 10, {1: "table", 2: "cube"})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_is_not_a_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"nothing")
    for path in (tmp_path / "no.zip", tmp_path / "absent.zip"):
        with pytest.raises(ValueError, match="path must be a recording"):
            RecordedSequence(path)
    with pytest.raises(ValueError, match="frames must hold at least one"):
        record(tmp_path / "empty.zip", [], 10, {})


def test_the_shipped_recording_is_complete() -> None:
    sequence = RecordedSequence()
    assert len(sequence) == 200 and sequence.size == (640, 480)
    for frame in (sequence[0], sequence[117]):
        assert frame.image.shape == (480, 640, 3) and frame.depth_m.shape == (480, 640)
        assert (frame.labels > 0).all()
        assert {"mug", "duck", "table", "robot arm"} <= {
            sequence.categories[k] for k in np.unique(frame.labels)
        }


def test_depth_and_pose_of_the_shipped_recording_give_correspondence() -> None:
    sequence = RecordedSequence()
    first, second = sequence[40], sequence[43]
    v, u = (axis.ravel() for axis in np.mgrid[6:480:12, 6:640:12])  # stored depth pixels
    still = ~np.isin(first.instance_mask[v, u], first.moving)
    v, u = v[still], u[still]
    rays = np.linalg.inv(first.intrinsics) @ np.stack([u, v, np.ones_like(u)])
    points = first.camera_to_world[:3, :3] @ (rays * first.depth_m[v, u])
    points += first.camera_to_world[:3, 3:]
    pose = second.camera_to_world
    seen = pose[:3, :3].T @ (points - pose[:3, 3:])
    pixels = second.intrinsics @ (seen / seen[2])
    x, y = np.round(pixels[:2]).astype(int)
    inside = (x >= 0) & (x < 640) & (y >= 0) & (y < 480)
    x, y, z = x[inside], y[inside], seen[2][inside]
    unhidden = np.abs(second.depth_m[y, x] - z) < 0.03
    same = second.labels[y, x] == first.labels[v, u][inside]
    assert unhidden.mean() > 0.85 and same[unhidden].mean() > 0.99


def test_exposure_keeps_shape_and_is_decided_by_the_seed() -> None:
    image = np.full((20, 30, 3), 128, np.uint8)
    assert np.array_equal(expose(image, 3), expose(image, 3))
    assert not np.array_equal(expose(image, 3), expose(image, 4))
    assert np.array_equal(expose(image, 3, strength=0.0), image)
