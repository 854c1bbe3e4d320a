"""Other makes of the things in the catalogue: no two mugs of the world are alike.

A name in the catalogue has one mesh; a model that only ever saw that one knows the mesh, not the
name. Training scenes therefore hold things of ``MAKES`` other builds each, drawn from the number
of the make: proportions, profiles, handles, legs, wheels, caps and trims vary. All stand upright
(z up) or lie as such things lie; only ratios matter, for bodies are scaled to their longest side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from ovseg_ros.robot_cell.description import RGB
from ovseg_ros.robot_cell.meshes import Mesh, box, lathe, merge

MAKES = 48
"""How many makes a name has, numbered from 1."""

_BLACK: RGB = (0.06, 0.06, 0.07)
_WHITE: RGB = (0.93, 0.93, 0.92)
_GRAY: RGB = (0.5, 0.5, 0.52)
_TRIMS = (_BLACK, _WHITE, _GRAY, (0.75, 0.75, 0.78))


@dataclass(frozen=True)
class Part:
    """A piece of a body: its mesh and its own colour, or None where the paint goes."""

    mesh: Mesh
    rgb: RGB | None = None


def build(name: str, make: int) -> tuple[Part, ...]:
    """Build one make of a thing: the painted part first, then a part for every other colour.

    Args:
        name: A movable category of the catalogue that `made` lists.
        make: 1..MAKES.

    Raises:
        ValueError: if there is no such thing or make.
    """
    if name not in _BUILDERS:
        raise ValueError(f"name must be one of {', '.join(_BUILDERS)}; got {name!r}")
    if not 1 <= make <= MAKES:
        raise ValueError(f"make must be 1 to {MAKES}; got {make}")
    rng = np.random.default_rng((17, list(_BUILDERS).index(name), make))
    parts = _BUILDERS[name](rng)
    colors = dict.fromkeys([None, *(part.rgb for part in parts)])
    return tuple(Part(merge([p.mesh for p in parts if p.rgb == rgb]), rgb) for rgb in colors)


def made() -> tuple[str, ...]:
    """Return the names that have other makes."""
    return tuple(_BUILDERS)


@cache
def _ball_profile(rows: int = 12) -> tuple[tuple[float, float], ...]:
    angle = np.linspace(0, np.pi, rows)
    return tuple((max(1e-3, float(math.sin(a))), -float(math.cos(a))) for a in angle)


def _moved(mesh: Mesh, scale: object = 1.0, shift: object = 0.0, turn: object = None) -> Mesh:
    """Scale, then turn by (3, 3), then shift."""
    points = mesh.vertices * np.asarray(scale, float)
    if turn is not None:
        points = points @ np.asarray(turn).T
    return Mesh(points + np.asarray(shift, float), mesh.faces)


def _round(axis: str, degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turns = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return np.array(turns[axis], float)


def _blob(radii: object, center: object = 0.0, turn: object = None) -> Mesh:
    """Make an ellipsoid."""
    return _moved(lathe(_ball_profile(), 18), radii, center, turn)


def _tube(path: np.ndarray, radii: object, aspect: float = 1.0, segments: int = 10) -> Mesh:
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


def _rod(a: object, b: object, radius: float, end: float | None = None) -> Mesh:
    """Make a round rod from a to b; `end` is the radius at b."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    way = b - a
    length = float(np.linalg.norm(way))
    z = way / max(length, 1e-9)
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(z, x), z], axis=1)
    end = radius if end is None else end
    return _moved(lathe([(1e-3, 0), (radius, 0), (end, length), (1e-3, length)], 14), 1.0, a, turn)


def _soft_box(half: object, power: float, cells: int = 6) -> Mesh:
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
    norm = (np.abs(mesh.vertices) ** power).sum(1, keepdims=True) ** (1 / power)
    return Mesh(mesh.vertices / norm * np.asarray(half, float), mesh.faces)


def _trim(rng: np.random.Generator) -> RGB:
    return _TRIMS[int(rng.integers(len(_TRIMS)))]


def _walled(outside: list[tuple[float, float]], wall: float) -> Mesh:
    """Turn an open vessel: its outside from the bottom up, then its inside down again."""
    inside = [(max(r - wall, 0.02), max(z, wall)) for r, z in outside[::-1]]
    return lathe([(0.005, 0.0), *outside, *inside, (0.005, wall)], 32)


def _mug(rng: np.random.Generator) -> list[Part]:
    height, foot, belly = rng.uniform(0.75, 1.7), rng.uniform(0.6, 1.0), rng.uniform(-0.12, 0.2)
    steps = np.linspace(0, 1, 7)
    radii = 0.5 * (foot + (1 - foot) * steps + belly * np.sin(np.pi * steps))
    wall = float(rng.uniform(0.03, 0.07))
    cup = _walled([(float(r), float(z)) for r, z in zip(radii, height * steps, strict=True)], wall)
    low, high = sorted(rng.uniform(0.15, 0.9, 2) * height)
    if high - low < 0.4 * height:
        low, high = 0.22 * height, 0.8 * height
    reach = float(rng.uniform(0.2, 0.42))
    power = float(rng.uniform(0.35, 1.0))  # a D, a ring, nearly a square
    angle = np.linspace(-np.pi / 2, np.pi / 2, 12)
    bend = np.stack([np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power, np.sin(angle)], 1)
    start = float(np.interp((low + high) / 2, height * steps, radii)) - wall
    path = np.stack(
        [
            start + (reach + wall) * bend[:, 0],
            np.zeros(12),
            (low + high) / 2 + (high - low) / 2 * bend[:, 1],
        ],
        1,
    )
    handle = _tube(path, rng.uniform(0.03, 0.07), rng.uniform(0.8, 1.9))
    parts = [Part(cup), Part(handle)]
    if rng.random() < 0.3:  # a band round it
        z = float(rng.uniform(0.3, 0.7)) * height
        r = float(np.interp(z, height * steps, radii)) + 0.012
        parts.append(
            Part(lathe([(r - 0.05, z), (r, z), (r, z + 0.1), (r - 0.05, z + 0.1)]), _trim(rng))
        )
    return _lying(parts, rng, 0.2)


def _lying(parts: list[Part], rng: np.random.Generator, share: float) -> list[Part]:
    """Lay some makes on their side."""
    if rng.random() >= share:
        return parts
    return [Part(_moved(p.mesh, turn=_round("x", 90)), p.rgb) for p in parts]


def _bowl(rng: np.random.Generator) -> list[Part]:
    height, foot = float(rng.uniform(0.35, 0.95)), float(rng.uniform(0.3, 0.7))
    power, wall = float(rng.uniform(0.35, 1.1)), float(rng.uniform(0.03, 0.08))
    steps = np.linspace(0, 1, 9)
    radii = foot + (1 - foot) * steps**power
    outside = [(float(r), float(z)) for r, z in zip(radii, 0.05 + height * steps, strict=True)]
    if rng.random() < 0.4:  # a brim
        outside.append((1.0 + float(rng.uniform(0.05, 0.25)), outside[-1][1] + 0.02))
    outside = [(foot * 0.95, 0.0), *outside]
    parts = [Part(_walled(outside, wall))]
    if rng.random() < 0.35:
        r, z = outside[-1]
        parts.append(
            Part(
                lathe(
                    [
                        (r - wall, z - 0.03),
                        (r + 0.012, z - 0.03),
                        (r + 0.012, z + 0.02),
                        (r - wall, z + 0.02),
                    ]
                ),
                _trim(rng),
            )
        )
    return parts


def _bottle(rng: np.random.Generator) -> list[Part]:
    wide, neck = float(rng.uniform(0.1, 0.24)), float(rng.uniform(0.03, 0.075))
    shoulder, top = float(rng.uniform(0.4, 0.72)), float(rng.uniform(0.74, 0.88))
    waist = float(rng.uniform(0.8, 1.1))
    slope = np.linspace(0, 1, 6)
    if rng.random() < 0.5:
        slope_radii = neck + (wide - neck) * np.cos(slope * np.pi / 2)
    else:
        slope_radii = neck + (wide - neck) * (1 - slope)
    profile = [(0.005, 0.0), (0.93 * wide, 0.0), (wide, 0.03), (waist * wide, 0.5 * shoulder)]
    profile += [
        (float(r), float(z))
        for r, z in zip(slope_radii, shoulder + (top - shoulder) * slope, strict=True)
    ]
    profile += [(neck, 0.97), (0.005, 0.97)]
    square = float(rng.choice([2.0, 2.0, 2.0, 3.0, 6.0]))
    body = _squared(lathe(profile, 32), square)
    cap = lathe([(0.005, 0.93), (neck * 1.25, 0.93), (neck * 1.25, 1.0), (0.005, 1.0)], 18)
    parts = [Part(body), Part(cap, _trim(rng) if rng.random() < 0.6 else None)]
    if rng.random() < 0.5:  # a label
        low = float(rng.uniform(0.1, 0.3))
        high = min(shoulder, low + float(rng.uniform(0.12, 0.3)))
        r = wide * max(waist, 1.0) + 0.004
        label = lathe([(r - 0.03, low), (r, low), (r, high), (r - 0.03, high)], 32)
        parts.append(Part(_squared(label, square), _trim(rng)))
    return _lying(parts, rng, 0.25)


def _squared(mesh: Mesh, power: float) -> Mesh:
    """Make round sections squarer: power 2 leaves them."""
    if power == 2.0:
        return mesh
    xy = mesh.vertices[:, :2]
    length = np.linalg.norm(xy, axis=1, keepdims=True)
    unit = xy / np.maximum(length, 1e-9)
    norm = (np.abs(unit) ** power).sum(1, keepdims=True) ** (1 / power)
    return Mesh(np.hstack([xy / norm, mesh.vertices[:, 2:]]), mesh.faces)


def _cone(rng: np.random.Generator) -> list[Part]:
    wide, tip = float(rng.uniform(0.2, 0.4)), float(rng.uniform(0.03, 0.09))
    base, thick = wide * float(rng.uniform(1.1, 1.5)), float(rng.uniform(0.03, 0.08))

    def at(z: float) -> float:
        return wide + (tip - wide) * (z - thick) / (1 - thick)

    hollow = lathe([(wide, thick), (tip, 1.0), (0.6 * tip, 1.0), (0.005, 0.9)], 30)
    foot = (
        box((base, base, thick / 2), (0, 0, thick / 2))
        if rng.random() < 0.6
        else lathe(
            [(0.005, 0), (base, 0), (base, thick), (0.005, thick)], int(rng.choice([6, 8, 30]))
        )
    )
    foot_rgb = _BLACK if rng.random() < 0.3 else None
    parts = [Part(hollow), Part(foot, foot_rgb)]
    bands, rgb = int(rng.integers(0, 4)), _WHITE if rng.random() < 0.8 else _GRAY
    height = float(rng.uniform(0.07, 0.2))
    for k in range(bands):
        low = thick + 0.15 + 0.75 * k / max(bands, 1)
        high = min(low + height, 0.97)
        ring = [
            (at(low) - 0.02, low),
            (at(low) + 0.008, low),
            (at(high) + 0.008, high),
            (at(high) - 0.02, high),
        ]
        parts.append(Part(lathe(ring, 30), rgb))
    return parts


def _banana(rng: np.random.Generator) -> list[Part]:
    half, thick = float(rng.uniform(0.5, 1.25)), float(rng.uniform(0.11, 0.24))
    along = np.linspace(-1, 1, 17)
    shape = np.clip(1 - np.abs(along) ** float(rng.uniform(2.2, 5)), 0, None) ** 0.5
    radii = np.maximum(thick * shape, 0.035)
    path = np.stack([np.sin(half * along), np.zeros(17), np.cos(half * along)], 1) / half
    fruit = _tube(path, radii, float(rng.uniform(0.8, 1.1)), int(rng.choice([5, 6, 10])))
    ends = [
        _rod(
            path[i], path[i] + 0.12 * (path[i] - path[j]) / np.linalg.norm(path[i] - path[j]), 0.045
        )
        for i, j in ((0, 1), (-1, -2))
    ]
    flat = _round("x", 90) if rng.random() < 0.8 else np.eye(3)
    dark = (0.16, 0.12, 0.08)
    return [Part(_moved(fruit, turn=flat)), *(Part(_moved(e, turn=flat), dark) for e in ends)]


def _cube(rng: np.random.Generator) -> list[Part]:
    half = rng.uniform(0.85, 1.1, 3)
    power = float(rng.choice([6.0, 10.0, 16.0]))
    body = box(half) if rng.random() < 0.6 else _soft_box(half, power)
    parts = [Part(body)]
    if rng.random() < 0.25:  # edges of another colour, as a crate has
        rgb, t = _trim(rng), 0.06
        for axis in range(3):
            for a in (-1, 1):
                for b in (-1, 1):
                    size, center = np.full(3, t), np.zeros(3)
                    size[axis] = half[axis] + t
                    center[[k for k in range(3) if k != axis]] = (
                        np.array([a, b]) * half[[k for k in range(3) if k != axis]]
                    )
                    parts.append(Part(box(size, center), rgb))
    return parts


def _ball(rng: np.random.Generator) -> list[Part]:
    body = _moved(lathe(_ball_profile(20), 32), turn=_round("x", float(rng.uniform(0, 90))))
    parts = [Part(body)]
    kind = rng.random()
    turn = _round("x", float(rng.uniform(0, 90))) @ _round("y", float(rng.uniform(0, 90)))
    if kind < 0.25:  # a stripe
        half = float(rng.uniform(0.06, 0.25))
        z = np.linspace(-half, half, 7)
        ring = [(1.008 * math.sqrt(1 - h * h), float(h)) for h in z]
        parts.append(Part(_moved(lathe([(0.8, -half), *ring, (0.8, half)]), turn=turn), _trim(rng)))
    elif kind < 0.4:  # gores
        rgb = _trim(rng)
        whole = lathe(_ball_profile(20), 36)
        center = whole.vertices[whole.faces].mean(1)
        sector = np.floor((np.arctan2(center[:, 1], center[:, 0]) + np.pi) / (np.pi / 3)).astype(
            int
        )
        gores = Mesh(1.006 * whole.vertices, whole.faces[sector % 2 == 0])
        parts.append(Part(_moved(gores, turn=turn), rgb))
    return parts


def _soccer_ball(rng: np.random.Generator) -> list[Part]:
    golden = (1 + math.sqrt(5)) / 2
    corners = np.array(
        [(0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
        + [(a, b * golden, 0) for a in (-1, 1) for b in (-1, 1)]
        + [(b * golden, 0, a) for a in (-1, 1) for b in (-1, 1)],
        float,
    )
    corners /= np.linalg.norm(corners[0])
    turn = _round("x", float(rng.uniform(0, 360))) @ _round("z", float(rng.uniform(0, 360)))
    whole = lathe(_ball_profile(40), 72)
    center = whole.vertices[whole.faces].mean(1)
    center /= np.linalg.norm(center, axis=1, keepdims=True)
    near = (center @ corners.T).max(1)
    spots = Mesh(1.004 * whole.vertices, whole.faces[near > math.cos(rng.uniform(0.3, 0.42))])
    dark = _BLACK if rng.random() < 0.7 else (0.1, 0.12, 0.4)
    return [Part(_moved(lathe(_ball_profile(20), 32))), Part(_moved(spots, turn=turn), dark)]


def _lego(rng: np.random.Generator) -> list[Part]:
    columns, rows = sorted(rng.integers([1, 1], [7, 4]))[::-1]
    columns = max(int(columns), 2)
    tall, stud = float(rng.choice([0.4, 1.0, 1.2])), float(rng.uniform(0.26, 0.34))
    body = box((columns / 2, rows / 2, tall / 2), (0, 0, tall / 2))
    studs = [
        _rod(
            (x - (columns - 1) / 2, y - (rows - 1) / 2, tall),
            (x - (columns - 1) / 2, y - (rows - 1) / 2, tall + 0.2),
            stud,
        )
        for x in range(columns)
        for y in range(int(rows))
    ]
    return [Part(merge([body, *studs]))]


def _turned_box(half: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose which side a box lies on: flat mostly."""
    choice = rng.random()
    if choice < 0.65:
        return np.eye(3)
    return _round("x", 90) if choice < 0.85 else _round("y", 90)


def _jenga(rng: np.random.Generator) -> list[Part]:
    half = np.array([1.0, rng.uniform(0.22, 0.42), rng.uniform(0.13, 0.3)])
    body = box(half) if rng.random() < 0.7 else _soft_box(half, 12.0)
    return [Part(_moved(body, turn=_turned_box(half, rng)))]


def _domino(rng: np.random.Generator) -> list[Part]:
    half = np.array([1.0, rng.uniform(0.42, 0.6), rng.uniform(0.08, 0.22)])
    body = box(half) if rng.random() < 0.6 else _soft_box(half, 10.0)
    marks = [box((0.02, 0.85 * half[1], 0.01), (0, 0, half[2]))]
    spots = {
        1: [(0, 0)],
        2: [(-1, -1), (1, 1)],
        3: [(-1, -1), (0, 0), (1, 1)],
        4: [(-1, -1), (1, 1), (-1, 1), (1, -1)],
        5: [(-1, -1), (1, 1), (-1, 1), (1, -1), (0, 0)],
        6: [(-1, -1), (1, 1), (-1, 1), (1, -1), (-1, 0), (1, 0)],
    }
    size = float(rng.uniform(0.07, 0.12))
    for middle in (-0.5, 0.5):
        for u, v in spots.get(int(rng.integers(7)), []):
            x, y = middle + 0.27 * u, 0.55 * half[1] * v
            marks.append(_rod((x, y, half[2] - 0.01), (x, y, half[2] + 0.012), size))
    turn = _turned_box(half, rng)
    return [Part(_moved(body, turn=turn)), Part(_moved(merge(marks), turn=turn), _BLACK)]


def _duck(rng: np.random.Generator) -> list[Part]:
    long, wide, tall = rng.uniform(0.8, 1.15), rng.uniform(0.55, 0.8), rng.uniform(0.5, 0.75)
    head = float(rng.uniform(0.34, 0.5))
    x, z = float(rng.uniform(0.35, 0.65)) * long, tall * 0.9 + head * float(rng.uniform(0.5, 1.2))
    tail = [
        _rod(
            (-0.75 * long, 0, 0.25 * tall),
            (-1.15 * long, 0, float(rng.uniform(0.5, 1.1)) * tall),
            0.3 * wide,
            0.04,
        )
    ]
    neck = [_rod((0.8 * x, 0, 0.3 * tall), (x, 0, z), head * 0.75)]
    wings = [
        _blob(
            (0.5 * long, 0.1, 0.35 * tall),
            (-0.1 * long, s * 0.92 * wide, 0.1 * tall),
            _round("y", -12),
        )
        for s in (-1, 1)
    ]
    painted = [_blob((long, wide, tall)), _blob((head,) * 3, (x, 0, z)), *tail, *neck, *wings]
    lip = float(rng.uniform(0.2, 0.4))
    bill = _blob(
        (lip, 0.7 * lip, float(rng.uniform(0.06, 0.14))), (x + head + 0.4 * lip, 0, z - 0.1 * head)
    )
    eyes = [
        _blob((0.08 * head / 0.4,) * 3, (x + 0.75 * head, s * 0.5 * head, z + 0.35 * head))
        for s in (-1, 1)
    ]
    orange = (0.95, 0.5, 0.08) if rng.random() < 0.8 else (0.9, 0.25, 0.08)
    return [Part(merge(painted)), Part(bill, orange), Part(merge(eyes), _BLACK)]


def _teddy(rng: np.random.Generator) -> list[Part]:
    body, head = rng.uniform(0.5, 0.75, 3) * [1.0, 1.0, 1.2], float(rng.uniform(0.42, 0.62))
    top = body[2] + 0.75 * head
    limb, ear = float(rng.uniform(0.17, 0.28)), float(rng.uniform(0.14, 0.24))
    sitting = rng.random() < 0.6
    painted = [_blob(body), _blob((head, 1.05 * head, 0.95 * head), (0, 0, top))]
    soft = []
    for s in (-1, 1):
        painted.append(_blob((0.5 * ear, ear, ear), (0, s * 0.75 * head, top + 0.75 * head)))
        soft.append(
            _blob(
                (0.3 * ear, 0.6 * ear, 0.6 * ear), (0.42 * ear, s * 0.75 * head, top + 0.75 * head)
            )
        )
        shoulder = np.array([0.1, s * 0.85 * body[1], 0.55 * body[2]])
        hand = shoulder + np.array(
            [rng.uniform(0.1, 0.6), s * rng.uniform(0.15, 0.5), rng.uniform(-0.5, 0.35)]
        )
        hip = np.array([0.1, s * 0.6 * body[1], -0.75 * body[2]])
        foot = hip + (
            np.array([0.75, s * 0.2, -0.05]) if sitting else np.array([0.1, s * 0.08, -0.6])
        )
        for a, b in ((shoulder, hand), (hip, foot)):
            painted += [_rod(a, b, limb), _blob((1.1 * limb,) * 3, a), _blob((1.15 * limb,) * 3, b)]
    soft.append(_blob((0.4 * head, 0.45 * head, 0.35 * head), (0.75 * head, 0, top - 0.2 * head)))
    dark = [_blob((0.1 * head, 0.14 * head, 0.1 * head), (1.14 * head, 0, top - 0.05 * head))]
    dark += [
        _blob((0.09 * head,) * 3, (0.85 * head, s * 0.38 * head, top + 0.22 * head))
        for s in (-1, 1)
    ]
    if rng.random() < 0.4:  # a belly
        soft.append(_blob(0.75 * body, (0.32 * body[0], 0, -0.05)))
    light = (0.86, 0.76, 0.62) if rng.random() < 0.6 else None
    return [Part(merge(painted)), Part(merge(soft), light), Part(merge(dark), _BLACK)]


def _toy_robot(rng: np.random.Generator) -> list[Part]:
    half = rng.uniform([0.28, 0.35, 0.35], [0.42, 0.55, 0.6])
    metal, leg = _trim(rng), float(rng.uniform(0.15, 0.6))
    round_body, head_kind = rng.random() < 0.4, int(rng.integers(3))
    z = leg + half[2]
    body = (
        _moved(lathe([(0.005, -1), (1, -1), (1, 1), (0.005, 1)], 26), half, (0, 0, z))
        if round_body
        else box(half, (0, 0, z))
    )
    size, top = float(rng.uniform(0.22, 0.4)), z + half[2]
    head = [
        _blob((size, size, size), (0, 0, top + 0.35 * size)),
        box((size, size, 0.75 * size), (0, 0, top + 0.8 * size)),
        _rod((0, 0, top), (0, 0, top + 1.4 * size), size),
    ][head_kind]
    head_rgb = None if rng.random() < 0.5 else metal
    trims = []
    for s in (-1, 1):
        foot = box((0.6 * half[0], 0.14, 0.07), (0.1, s * 0.5 * half[1], 0.07))
        shank = _rod((0, s * 0.5 * half[1], 0.05), (0, s * 0.5 * half[1], leg + 0.05), 0.1)
        side = s * (half[1] + 0.1)
        hand = np.array([float(rng.uniform(0, 0.45)), side, z - float(rng.uniform(-0.1, 0.5))])
        arm = [_rod((0, side, z + 0.55 * half[2]), hand, 0.085), _blob((0.13,) * 3, hand)]
        trims += [foot, shank, *arm]
        trims.append(
            _rod(
                (size * 0.85, s * 0.4 * size, top + 0.8 * size),
                (size * 1.05, s * 0.4 * size, top + 0.8 * size),
                0.2 * size,
            )
        )
    if rng.random() < 0.5:
        trims.append(_rod((0, 0, top + size), (0, 0, top + 2.2 * size), 0.025))
        trims.append(_blob((0.06,) * 3, (0, 0, top + 2.2 * size)))
    panel = box((0.02, 0.5 * half[1], 0.4 * half[2]), (half[0], 0, z + 0.1 * half[2]))
    return [Part(body), Part(head, head_rgb), Part(merge(trims), metal), Part(panel, _trim(rng))]


def _race_car(rng: np.random.Generator) -> list[Part]:
    wide, low = float(rng.uniform(0.16, 0.34)), float(rng.uniform(0.06, 0.12))
    wheel, track = float(rng.uniform(0.13, 0.2)), float(rng.uniform(0.36, 0.46))
    base = [float(rng.uniform(0.5, 0.72)), -float(rng.uniform(0.5, 0.72))]
    dark, painted = [], []
    floor = 0.6 * wheel
    if rng.random() < 0.5:  # open wheels and a nose
        painted += [
            box((0.45, wide, low), (-0.25, 0, floor + low)),
            _rod((0.2, 0, floor + low), (1.1, 0, floor + 0.6 * low), 0.8 * wide, 0.25 * wide),
        ]
        painted.append(box((0.08, 1.5 * wide, 0.02), (1.05, 0, floor)))
        painted.append(_blob((0.3, 0.5 * wide, 0.22), (-0.35, 0, floor + 2 * low)))
        dark.append(_blob((0.16, 0.55 * wide, 0.1), (0.05, 0, floor + 2.1 * low)))
    else:  # a closed body
        painted.append(
            _moved(_soft_box((1.0, track * 0.95, 2 * low), 4.0), shift=(0, 0, floor + 1.5 * low))
        )
        cabin = _moved(
            _soft_box((float(rng.uniform(0.35, 0.55)), 0.75 * track, 1.7 * low), 3.0),
            shift=(-0.15, 0, floor + 3.3 * low),
        )
        (dark if rng.random() < 0.6 else painted).append(cabin)
        stripe = rng.random() < 0.5
        if stripe:
            dark.append(box((1.0, 0.05, 0.004), (0, 0, floor + 3.5 * low)))
    if rng.random() < 0.75:  # a wing
        z = floor + float(rng.uniform(3.5, 5.5)) * low
        painted.append(box((0.12, track, 0.02), (-0.95, 0, z)))
        dark += [
            box((0.04, 0.02, (z - floor) / 2), (-0.92, s * 0.6 * track, (z + floor) / 2))
            for s in (-1, 1)
        ]
    hubs = []
    for x in base:
        for s in (-1, 1):
            half = 0.075
            dark.append(_rod((x, s * track - half, wheel), (x, s * track + half, wheel), wheel))
            hubs.append(
                _rod(
                    (x, s * (track + half) - 0.005, wheel),
                    (x, s * (track + half) + 0.005, wheel),
                    0.55 * wheel,
                )
            )
    return [Part(merge(painted)), Part(merge(dark), _BLACK), Part(merge(hubs), _GRAY)]


_BUILDERS: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "mug": _mug,
    "duck": _duck,
    "teddy bear": _teddy,
    "cube": _cube,
    "soccer ball": _soccer_ball,
    "ball": _ball,
    "lego brick": _lego,
    "jenga block": _jenga,
    "domino": _domino,
    "toy robot": _toy_robot,
    "race car": _race_car,
    "bowl": _bowl,
    "bottle": _bottle,
    "traffic cone": _cone,
    "banana": _banana,
}
