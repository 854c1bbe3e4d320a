"""The second generator: other pixels, the same names, no PyBullet."""

from __future__ import annotations

import numpy as np
import pytest

from ovseg_ros.robot_cell.objects import CATALOGUE
from ovseg_ros.robot_cell.primitives import PrimitiveWorld
from ovseg_ros.robot_cell.scenes import sample_scene
from ovseg_ros.robot_cell.shapes import SHAPES


def test_every_known_thing_has_a_shape():
    assert set(SHAPES) == {kind.name for kind in CATALOGUE if kind.movable and not kind.novel}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_shapes_stand_on_the_table_and_have_their_size(name: str):
    distance, paint = SHAPES[name](0.2, np.array([0.5, 0.1, 0.1]))
    axis = np.linspace(-0.15, 0.25, 41)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    inside = grid[distance(grid) < 0]
    assert len(inside)
    assert inside[:, 2].min() > -0.02
    assert 0.12 <= np.ptp(inside, axis=0).max() <= 0.24
    colors = paint(inside)
    assert colors.shape == inside.shape and colors.min() >= 0 and colors.max() <= 1


def test_a_frame_shows_what_its_mask_says():
    world = PrimitiveWorld()
    scene = sample_scene("primitives", 0)
    members = world.build(scene)
    shot = world.render(scene.views[0], (64, 48))
    again = world.render(scene.views[0], (64, 48))
    assert (shot.rgb == again.rgb).all()
    assert shot.instances.shape == shot.depth_m.shape == (48, 64)
    shown = {members[i - 1].category for i in np.unique(shot.instances) if i}
    assert "table" in shown and len(shown) >= 4
