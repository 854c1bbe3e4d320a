"""Other makes of things: solid, varied, reproducible, and none of what must stay novel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ovseg_ros.robot_cell import makes
from ovseg_ros.robot_cell.meshes import Mesh
from ovseg_ros.robot_cell.objects import BY_NAME


def proportions(parts: tuple[makes.Part, ...]) -> np.ndarray:
    """Sides of the bounding box by the longest."""
    sides = np.ptp(np.vstack([part.mesh.vertices for part in parts]), axis=0)
    return sides / sides.max()


def test_what_is_novel_has_no_make_and_the_rest_has() -> None:
    known = {kind.name for kind in BY_NAME.values() if kind.movable and not kind.novel}
    assert set(makes.made()) == known


@pytest.mark.parametrize("name", makes.made())
def test_every_make_is_solid_painted_first_and_of_few_parts(
    name: str, volume: Callable[[Mesh], float]
) -> None:
    for make in range(1, makes.MAKES + 1):
        parts = makes.build(name, make)
        assert parts[0].rgb is None and all(part.rgb for part in parts[1:])
        assert len({part.rgb for part in parts}) == len(parts) <= 4
        assert volume(parts[0].mesh) > 0
        for part in parts:
            assert np.isfinite(part.mesh.vertices).all()
            assert part.mesh.faces.min() >= 0
            assert part.mesh.faces.max() < len(part.mesh.vertices)


@pytest.mark.parametrize("name", sorted(set(makes.made()) - {"ball", "soccer ball"}))
def test_makes_differ_in_their_proportions(name: str) -> None:
    found = np.array([proportions(makes.build(name, make)) for make in range(1, 13)])
    assert found.std(axis=0).max() > 0.02


def test_a_make_is_the_same_every_time() -> None:
    first, again = (makes.build("teddy bear", 5) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert one.rgb == other.rgb
        np.testing.assert_array_equal(one.mesh.vertices, other.mesh.vertices)


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"name must be one of .*mug.*; got 'bunny'"):
        makes.build("bunny", 1)
    with pytest.raises(ValueError, match="make must be 1 to 48; got 0"):
        makes.build("mug", 0)
    with pytest.raises(ValueError, match="make must be 1 to 48; got 49"):
        makes.build("mug", 49)
