"""Triangle meshes: a small OBJ reader and the shapes that pybullet_data lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Vector = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh without colours.

    Attributes:
        vertices: float64 (N, 3), in the mesh's own unit.
        faces: int64 (F, 3) indices into `vertices`, counter-clockwise seen from outside.
    """

    vertices: np.ndarray
    faces: np.ndarray


def load_obj(path: str | Path) -> Mesh:
    """Read the positions and (fan-triangulated) faces of a Wavefront OBJ; the rest is dropped."""
    vertices, faces = [], []
    for line in Path(path).read_text(errors="replace").splitlines():
        if line.startswith("v "):
            vertices.append([float(x) for x in line.split()[1:4]])
        elif line.startswith("f "):
            corners = [int(c.split("/")[0]) for c in line.split()[1:]]
            corners = [c - 1 if c > 0 else len(vertices) + c for c in corners]
            faces += [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]
    return Mesh(np.array(vertices), np.array(faces))


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Join meshes into one, keeping every vertex."""
    offsets = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    return Mesh(
        np.vstack([m.vertices for m in meshes]),
        np.vstack([m.faces + o for m, o in zip(meshes, offsets, strict=False)]),
    )


def box(half: Vector, center: Vector = (0, 0, 0)) -> Mesh:
    """Make an axis-aligned box from half extents and a centre."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return Mesh(corners * np.array(half) + np.array(center), np.array(faces))


def _grid(rows: np.ndarray, close: bool) -> Mesh:
    """Skin rings of points, float (R, S, 3), into a tube; `close` joins last ring and first."""
    count, segments = rows.shape[:2]
    faces = []
    for i in range(count if close else count - 1):
        for j in range(segments):
            a, b = i * segments + j, i * segments + (j + 1) % segments
            c, d = (x + segments if i + 1 < count else x - i * segments for x in (a, b))
            faces += [(a, b, d), (a, d, c)]
    return Mesh(rows.reshape(-1, 3), np.array(faces))


def lathe(profile: Sequence[tuple[float, float]], segments: int = 36) -> Mesh:
    """Turn a profile of (radius, height) points, listed bottom outside first, about z."""
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(segments)], axis=1)  # (S, 3)
    return _grid(np.stack([ring * r + [0, 0, z] for r, z in profile]), close=False)


def bowl() -> Mesh:
    """Make an open bowl of radius 1."""
    outside = [(0.01, 0), (0.45, 0), (0.5, 0.06), (0.75, 0.25), (0.92, 0.48), (1.0, 0.75)]
    inside = [(0.94, 0.75), (0.86, 0.5), (0.68, 0.29), (0.4, 0.12), (0.01, 0.08)]
    return lathe([*outside, *inside])


def bottle() -> Mesh:
    """Make a bottle of height 1."""
    body = [(0.005, 0), (0.14, 0), (0.16, 0.02), (0.16, 0.55), (0.14, 0.63), (0.09, 0.71)]
    neck = [(0.06, 0.77), (0.055, 0.88), (0.075, 0.885), (0.075, 0.99), (0.07, 1), (0.005, 1)]
    return lathe([*body, *neck])


def traffic_cone() -> tuple[Mesh, Mesh]:
    """Make a traffic cone of height 1: (cone with square foot, reflective band)."""
    cone = lathe([(0.3, 0.05), (0.3, 0.06), (0.06, 1.0), (0.005, 1.0)])
    band = lathe([(0.205, 0.42), (0.215, 0.42), (0.148, 0.68), (0.14, 0.68)])
    return merge([cone, box((0.38, 0.38, 0.03), (0, 0, 0.03))]), band


def ring() -> Mesh:
    """Make a torus of outer radius 1 that lies flat."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    tube = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    radius = 0.74 + 0.26 * np.cos(tube)  # (18,)
    rows = np.stack(
        [
            np.outer(np.cos(angle), radius),
            np.outer(np.sin(angle), radius),
            np.tile(0.26 * -np.sin(tube), (len(angle), 1)),
        ],
        axis=-1,
    )
    return _grid(rows, close=True)


def banana() -> tuple[Mesh, Mesh]:
    """Make a banana lying flat: (fruit, dark tips)."""
    along = np.linspace(-1, 1, 21)
    bend = along * 1.05
    radius = 0.19 * np.clip(1 - np.abs(along) ** 3.5, 0, None) ** 0.5
    radius = np.maximum(radius, 0.045)
    tube = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    rows = []
    for angle, r in zip(bend, radius, strict=True):
        distance = 0.85 + r * np.cos(tube)
        rows.append(
            np.stack([distance * np.sin(angle), distance * np.cos(angle), r * np.sin(tube)], axis=1)
        )
    tips = [
        box((0.05, 0.05, 0.04), (s * 0.85 * np.sin(1.09), 0.85 * np.cos(1.09), 0)) for s in (-1, 1)
    ]
    return _grid(np.array(rows), close=False), merge(tips)


def pyramid() -> Mesh:
    """Make a square pyramid of base 2 and height 1.7."""
    vertices = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0], [0, 0, 1.7]], float)
    faces = [(0, 2, 1), (0, 3, 2), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)]
    return Mesh(vertices, np.array(faces))


def tray(length: float, width: float, height: float) -> Mesh:
    """Make an open tray in metres, bottom 8 mm and rims 14 mm thick."""
    x, y, z, rim = length / 2, width / 2, height / 2, 0.007
    sides = [box((rim, y, z), (s * (x - rim), 0, z)) for s in (-1, 1)] + [
        box((x, rim, z), (0, s * (y - rim), z)) for s in (-1, 1)
    ]
    return merge([box((x, y, 0.004), (0, 0, 0.004)), *sides])


def superellipse(x: float, y: float, power: float, corners: int = 48) -> np.ndarray:
    """Make an outline (corners, 2): an ellipse at power 2, nearly a rectangle at high ones."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return unit / np.linalg.norm(unit, power, axis=1, keepdims=True) * [x, y]


def prism(outline: np.ndarray, low: float, high: float) -> Mesh:
    """Extrude a convex outline (N, 2) around the origin, closed below and above."""
    rings = [(outline * share, z) for share, z in ((1e-3, low), (1, low), (1, high), (1e-3, high))]
    return _grid(np.stack([np.insert(xy, 2, z, axis=1) for xy, z in rings]), close=False)


def rounded_tray(length: float, width: float, height: float, power: float) -> Mesh:
    """Make an open tray in metres whose outline is a superellipse a little larger than the box."""
    outline = superellipse(0.55 * length, 0.55 * width, power)
    rings = [
        (1e-3, 0.0),
        (0.9, 0.0),
        (1.0, height),
        (0.95, height),
        (0.86, 0.008),
        (1e-3, 0.008),
    ]
    rows = [np.insert(outline * share, 2, z, axis=1) for share, z in rings]
    return _grid(np.stack(rows), close=False)


def shaded_corners(mesh: Mesh, crease_deg: float = 38.0) -> tuple[np.ndarray, np.ndarray]:
    """Give every triangle corner its own vertex and a normal that is smooth up to a crease.

    Args:
        mesh: the mesh.
        crease_deg: neighbouring faces that meet at a larger angle keep a hard edge.

    Returns:
        Corner positions and normals, float64 (3F, 3) each, in the order of `mesh.faces`.
    """
    # Vertices that coincide are one, so that seams in the file do not show.
    _, welded = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    faces = welded.reshape(-1)[mesh.faces]  # (F, 3)
    corners = mesh.vertices[mesh.faces]  # (F, 3, 3)
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # (F, 3)
    unit = area / np.maximum(np.linalg.norm(area, axis=1, keepdims=True), 1e-12)
    touching: dict[int, list[int]] = {}
    for face, triple in enumerate(faces):
        for vertex in triple:
            touching.setdefault(int(vertex), []).append(face)
    limit = np.cos(np.deg2rad(crease_deg))
    normals = np.empty_like(corners)
    for face, triple in enumerate(faces):
        for k, vertex in enumerate(triple):
            near = touching[int(vertex)]
            smooth = unit[near] @ unit[face] > limit
            normals[face, k] = area[near][smooth].sum(axis=0) if smooth.any() else unit[face]
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-12)
    return corners.reshape(-1, 3), normals.reshape(-1, 3)
