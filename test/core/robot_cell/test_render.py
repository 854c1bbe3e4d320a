"""Rendering: needs pybullet, small images only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.robot_cell.camera import camera_to_world, intrinsics
from ovseg_ros.robot_cell.dataset import RobotCell
from ovseg_ros.robot_cell.description import Placed, View
from ovseg_ros.robot_cell.makes import made
from ovseg_ros.robot_cell.render import render_split
from ovseg_ros.robot_cell.scenes import sample_scene
from ovseg_ros.robot_cell.world import World

pytest.importorskip(
    "pybullet", reason="needs pybullet (no wheel for Python 3.12: make render-deps)"
)


def test_a_shot_is_reproducible_and_every_pixel_has_an_owner() -> None:
    with World() as world:
        with pytest.raises(RuntimeError, match="call build"):
            world.render(View((1, 0, 1), (0, 0, 0), 50, 0))
        scene = sample_scene("novel", 3)
        members = world.build(scene)
        first = world.render(scene.views[0], (160, 120))
        assert first.rgb.shape == (120, 160, 3) and first.depth_m.shape == (120, 160)
        assert first.instances.min() > 0 and first.instances.max() <= len(members)
        world.build(sample_scene("train", 1))
        world.build(scene)
        again = world.render(scene.views[0], (160, 120))
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.instances, again.instances)


def test_every_make_and_rounded_table_can_be_rendered() -> None:
    with World() as world:
        for name in made():
            item = Placed(name, None, None, (0.5, 0.5, 0.5), False, 0.2, (0, 0), 0.3, 0, False)
            scene = replace(
                sample_scene("train", 0),
                objects=(replace(item, make=3, pattern="wood"),),
                tray=None,
                arm=None,
                table_corners=2.0,
            )
            members = world.build(scene)
            shot = world.render(View((0.4, 0, 0.35), (0, 0, 0.07), 45, 0), (80, 60))
            thing = next(member.id for member in members if member.category == name)
            seen = shot.instances == thing
            assert 0.01 < seen.mean() < 0.6, name
            assert seen[20:50, 25:55].any()


def test_depth_intrinsics_and_pose_put_the_table_at_height_zero() -> None:
    with World() as world:
        scene = sample_scene("test", 0)
        members = world.build(scene)
        view, size = scene.views[0], (320, 240)
        shot = world.render(view, size)
    table = next(m.id for m in members if m.category == "table")
    v, u = np.nonzero(shot.instances == table)
    rays = np.linalg.inv(intrinsics(view.fov_y_deg, size)) @ np.stack([u, v, np.ones_like(u)])
    pose = camera_to_world(view)
    points = pose[:3, :3] @ (rays * shot.depth_m[v, u]) + pose[:3, 3:]
    assert abs(np.median(points[2])) < 0.01


def test_the_arm_moves() -> None:
    with World() as world:
        scene = next(s for s in (sample_scene("test", k) for k in range(9)) if s.arm)
        members = world.build(scene)
        arm = next(m.id for m in members if m.category == "robot arm")
        view = View((1.5, 0.8, 0.9), (0, 0, 0.2), 60, 0)
        before = world.render(view, (96, 72)).instances == arm
        world.move_arm((1.5, *scene.arm.joints[1:]))
        after = world.render(view, (96, 72)).instances == arm
    assert before.any() and (before != after).any()


def test_a_split_is_rendered_and_resumed(tmp_path: Path) -> None:
    folder = render_split(tmp_path, "val", count=2, size=(80, 60), workers=1)
    index = folder / "frames.jsonl"
    one = index.read_text()
    # A scene whose second view is missing is rendered again; the finished one is not.
    stamp = (folder / "rgb" / "00000_0.jpg").stat().st_mtime_ns
    index.write_text(one + one.splitlines()[0].replace('"scene": 0', '"scene": 1') + "\n")
    render_split(tmp_path, "val", count=4, size=(80, 60), workers=1)
    cell = RobotCell(tmp_path, "val")
    assert [frame.name for frame in cell] == ["00000_0", "00000_1", "00001_0", "00001_1"]
    assert (folder / "rgb" / "00000_0.jpg").stat().st_mtime_ns == stamp
    frame = cell[3]
    assert frame.image.shape == (60, 80, 3) and frame.depth_m is not None
    assert (frame.labels > 0).all() and len(frame.captions) == 3
    with pytest.raises(ValueError, match="another folder"):
        render_split(tmp_path, "val", count=2, size=(80, 60), seed=1)
    table = folder / "classes.json"
    table.write_text(table.read_text().replace('"mug"', '"cup"'))
    with pytest.raises(ValueError, match="rendered with other categories"):
        render_split(tmp_path, "val", count=5, size=(80, 60), workers=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "tset"}, "split must be one of"),
        ({"split": "val", "count": 0}, "count must be at least 1"),
        ({"split": "val", "workers": 0}, "workers must be at least 1"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_split(tmp_path, **arguments)
