"""Procedural shapes: closed where they should be, normals pointing out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.robot_cell import meshes
from ovseg_ros.robot_cell.textures import build_texture


@pytest.mark.parametrize(
    "mesh",
    [
        meshes.box((1, 2, 3)),
        meshes.bowl(),
        meshes.bottle(),
        meshes.ring(),
        meshes.pyramid(),
        meshes.traffic_cone()[0],
        meshes.banana()[0],
        meshes.tray(0.4, 0.3, 0.05),
        meshes.rounded_tray(0.4, 0.3, 0.05, 3.0),
        meshes.prism(meshes.superellipse(0.5, 0.4, 2.0), -0.03, 0.0),
    ],
    ids=[
        *("box", "bowl", "bottle", "ring", "pyramid", "cone", "banana", "tray"),
        *("rounded tray", "prism"),
    ],
)
def test_faces_point_outwards(mesh: meshes.Mesh, volume: Callable[[meshes.Mesh], float]) -> None:
    assert volume(mesh) > 0
    assert mesh.faces.max() < len(mesh.vertices)


def test_box_has_its_volume_and_hard_edges(volume: Callable[[meshes.Mesh], float]) -> None:
    box = meshes.box((1, 2, 3))
    assert volume(box) == pytest.approx(48)
    _, normals = meshes.shaded_corners(box)
    assert np.allclose(np.sort(np.abs(normals), axis=1), [0, 0, 1])


def test_obj_files_are_read_with_polygons_and_negative_indices(tmp_path: Path) -> None:
    path = tmp_path / "quad.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1/1 2/2 3/3 4/4\nf -4 -3 -2\n")
    mesh = meshes.load_obj(path)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]


@pytest.mark.parametrize(
    "name", ["wood", "planks", "concrete", "tiles", "plaster", "bricks", "speckle"]
)
def test_textures_stay_pale_so_that_paint_decides_the_colour(name: str) -> None:
    texture = build_texture(name)
    assert texture.shape == (256, 256, 3) and texture.dtype == np.uint8
    assert texture.mean() > 0.75 * 255 and np.ptp(texture) > 5
    with pytest.raises(ValueError, match="name must be one of"):
        build_texture("marble")


def test_superellipses_run_from_a_circle_to_a_square() -> None:
    circle, square = (meshes.superellipse(2.0, 2.0, power) for power in (2.0, 60.0))
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), 2.0)
    assert np.abs(square).max(axis=1) == pytest.approx(np.full(48, 2.0), abs=0.03)
