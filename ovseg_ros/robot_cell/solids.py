"""Solids that the makes of things are put together from; sizes are ratios, z points up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from ovseg_ros.robot_cell.description import RGB
from ovseg_ros.robot_cell.meshes import Mesh, lathe, merge

BLACK: RGB = (0.06, 0.06, 0.07)
WHITE: RGB = (0.93, 0.93, 0.92)
GRAY: RGB = (0.5, 0.5, 0.52)
_TRIMS = (BLACK, WHITE, GRAY, (0.75, 0.75, 0.78))


@dataclass(frozen=True)
class Part:
    """A piece of a body: its mesh and its own colour, or None where the paint goes."""

    mesh: Mesh
    rgb: RGB | None = None


@cache
def ball_profile(rows: int = 12) -> tuple[tuple[float, float], ...]:
    """Return the profile of a sphere of radius 1, to be turned on a lathe."""
    angle = np.linspace(0, np.pi, rows)
    return tuple((max(1e-3, float(math.sin(a))), -float(math.cos(a))) for a in angle)


def moved(mesh: Mesh, scale: object = 1.0, shift: object = 0.0, turn: object = None) -> Mesh:
    """Scale, then turn by (3, 3), then shift."""
    points = mesh.vertices * np.asarray(scale, float)
    if turn is not None:
        points = points @ np.asarray(turn).T
    return Mesh(points + np.asarray(shift, float), mesh.faces)


def turn_about(axis: str, degrees: float) -> np.ndarray:
    """Return the rotation (3, 3) about x, y or z."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turns = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return np.array(turns[axis], float)


def blob(radii: object, center: object = 0.0, turn: object = None) -> Mesh:
    """Make an ellipsoid."""
    return moved(lathe(ball_profile(), 18), radii, center, turn)


def tube(path: np.ndarray, radii: object, aspect: float = 1.0, segments: int = 10) -> Mesh:
    """Skin a path (N, 3) that lies in the xz plane, with closed ends.

    Args:
        path: Points.
        radii: Half width in the plane, one or N.
        aspect: Half width across the plane by that in it.
        segments: Corners of a section.
    """
    path = np.asarray(path, float)
    path = np.vstack([path[:1], path, path[-1:]])
    radii = np.broadcast_to(np.asarray(radii, float), len(path) - 2)
    radii = np.array([1e-3, *radii, 1e-3])
    ahead = np.gradient(path, axis=0)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    across = np.array([0.0, 1.0, 0.0])
    side = np.cross(across, ahead)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    rings = path[:, None] + radii[:, None, None] * (
        np.cos(angle)[:, None] * side[:, None] + aspect * np.sin(angle)[:, None] * across
    )
    template = lathe([(1.0, float(z)) for z in range(len(path))], segments)
    return Mesh(rings.reshape(-1, 3), template.faces)


def rod(a: object, b: object, radius: float, end: float | None = None) -> Mesh:
    """Make a round rod from a to b; `end` is the radius at b."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    way = b - a
    length = float(np.linalg.norm(way))
    z = way / max(length, 1e-9)
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(z, x), z], axis=1)
    end = radius if end is None else end
    return moved(lathe([(1e-3, 0), (radius, 0), (end, length), (1e-3, length)], 14), 1.0, a, turn)


def soft_box(half: object, power: float, cells: int = 6) -> Mesh:
    """Make a box whose edges are rounder the nearer `power` is to 2 (a superellipsoid)."""
    ticks = np.linspace(-1, 1, cells + 1)
    u, v = np.meshgrid(ticks, ticks, indexing="ij")
    corner = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = (
        corner[i : i + cells, j : j + cells].ravel() for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))
    )
    faces = np.vstack([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    sides = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            points = np.stack([np.full(u.size, sign), u.ravel(), v.ravel()], 1)
            sides.append(Mesh(np.roll(points, axis, axis=1), faces if sign > 0 else faces[:, ::-1]))
    mesh = merge(sides)
    norm = np.linalg.norm(mesh.vertices, power, axis=1, keepdims=True)
    return Mesh(mesh.vertices / norm * np.asarray(half, float), mesh.faces)


def squared(mesh: Mesh, power: float) -> Mesh:
    """Make round sections squarer: power 2 leaves them."""
    if power == 2.0:
        return mesh
    xy = mesh.vertices[:, :2]
    length = np.linalg.norm(xy, axis=1, keepdims=True)
    unit = xy / np.maximum(length, 1e-9)
    norm = np.linalg.norm(unit, power, axis=1, keepdims=True)
    return Mesh(np.hstack([xy / norm, mesh.vertices[:, 2:]]), mesh.faces)


def walled(outside: list[tuple[float, float]], wall: float) -> Mesh:
    """Turn an open vessel: its outside from the bottom up, then its inside down again."""
    inside = [(max(r - wall, 0.02), max(z, wall)) for r, z in outside[::-1]]
    return lathe([(0.005, 0.0), *outside, *inside, (0.005, wall)], 32)


def trim(rng: np.random.Generator) -> RGB:
    """Draw a colour of caps, bands and the like: none that a caption would name."""
    return _TRIMS[int(rng.integers(len(_TRIMS)))]
