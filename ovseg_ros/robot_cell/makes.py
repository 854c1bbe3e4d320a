"""Other makes of the things in the catalogue: no two mugs of the world are alike.

A name in the catalogue has one mesh; a model that only ever saw that one knows the mesh, not the
name. Training scenes therefore hold things of ``MAKES`` other builds each, drawn from the number
of the make: proportions, profiles, handles, legs, wheels, caps and trims vary. All stand upright
(z up) or lie as such things lie; only ratios matter, for bodies are scaled to their longest side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ovseg_ros.robot_cell.meshes import Mesh, box, lathe, merge
from ovseg_ros.robot_cell.solids import (
    BLACK,
    GRAY,
    WHITE,
    Part,
    ball_profile,
    moved,
    rod,
    soft_box,
    trim,
    tube,
    turn_about,
)
from ovseg_ros.robot_cell.toys import duck, race_car, teddy, toy_robot
from ovseg_ros.robot_cell.vessels import bottle, bowl, mug

MAKES = 48
"""How many makes a name has, numbered from 1."""


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
    foot_rgb = BLACK if rng.random() < 0.3 else None
    parts = [Part(hollow), Part(foot, foot_rgb)]
    bands, rgb = int(rng.integers(0, 4)), WHITE if rng.random() < 0.8 else GRAY
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
    fruit = tube(path, radii, float(rng.uniform(0.8, 1.1)), int(rng.choice([5, 6, 10])))
    ends = [
        rod(
            path[i], path[i] + 0.12 * (path[i] - path[j]) / np.linalg.norm(path[i] - path[j]), 0.045
        )
        for i, j in ((0, 1), (-1, -2))
    ]
    flat = turn_about("x", 90) if rng.random() < 0.8 else np.eye(3)
    dark = (0.16, 0.12, 0.08)
    return [Part(moved(fruit, turn=flat)), *(Part(moved(e, turn=flat), dark) for e in ends)]


def _cube(rng: np.random.Generator) -> list[Part]:
    half = rng.uniform(0.85, 1.1, 3)
    power = float(rng.choice([6.0, 10.0, 16.0]))
    body = box(half) if rng.random() < 0.6 else soft_box(half, power)
    parts = [Part(body)]
    if rng.random() < 0.25:  # edges of another colour, as a crate has
        rgb, t = trim(rng), 0.06
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
    body = moved(lathe(ball_profile(20), 32), turn=turn_about("x", float(rng.uniform(0, 90))))
    parts = [Part(body)]
    kind = rng.random()
    turn = turn_about("x", float(rng.uniform(0, 90))) @ turn_about("y", float(rng.uniform(0, 90)))
    if kind < 0.25:  # a stripe
        half = float(rng.uniform(0.06, 0.25))
        z = np.linspace(-half, half, 7)
        ring = [(1.008 * math.sqrt(1 - h * h), float(h)) for h in z]
        parts.append(Part(moved(lathe([(0.8, -half), *ring, (0.8, half)]), turn=turn), trim(rng)))
    elif kind < 0.4:  # gores
        rgb = trim(rng)
        whole = lathe(ball_profile(20), 36)
        center = whole.vertices[whole.faces].mean(1)
        sector = np.floor((np.arctan2(center[:, 1], center[:, 0]) + np.pi) / (np.pi / 3)).astype(
            int
        )
        gores = Mesh(1.006 * whole.vertices, whole.faces[sector % 2 == 0])
        parts.append(Part(moved(gores, turn=turn), rgb))
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
    turn = turn_about("x", float(rng.uniform(0, 360))) @ turn_about("z", float(rng.uniform(0, 360)))
    whole = lathe(ball_profile(40), 72)
    center = whole.vertices[whole.faces].mean(1)
    center /= np.linalg.norm(center, axis=1, keepdims=True)
    near = (center @ corners.T).max(1)
    spots = Mesh(1.004 * whole.vertices, whole.faces[near > math.cos(rng.uniform(0.3, 0.42))])
    dark = BLACK if rng.random() < 0.7 else (0.1, 0.12, 0.4)
    return [Part(moved(lathe(ball_profile(20), 32))), Part(moved(spots, turn=turn), dark)]


def _lego(rng: np.random.Generator) -> list[Part]:
    columns, rows = sorted(rng.integers([1, 1], [7, 4]))[::-1]
    columns = max(int(columns), 2)
    tall, stud = float(rng.choice([0.4, 1.0, 1.2])), float(rng.uniform(0.26, 0.34))
    body = box((columns / 2, rows / 2, tall / 2), (0, 0, tall / 2))
    studs = [
        rod(
            (x - (columns - 1) / 2, y - (rows - 1) / 2, tall),
            (x - (columns - 1) / 2, y - (rows - 1) / 2, tall + 0.2),
            stud,
        )
        for x in range(columns)
        for y in range(int(rows))
    ]
    return [Part(merge([body, *studs]))]


def _jenga(rng: np.random.Generator) -> list[Part]:
    half = np.array([1.0, rng.uniform(0.22, 0.42), rng.uniform(0.13, 0.3)])
    body = box(half) if rng.random() < 0.7 else soft_box(half, 12.0)
    return [Part(moved(body, turn=_turned_box(rng)))]


def _domino(rng: np.random.Generator) -> list[Part]:
    half = np.array([1.0, rng.uniform(0.42, 0.6), rng.uniform(0.08, 0.22)])
    body = box(half) if rng.random() < 0.6 else soft_box(half, 10.0)
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
            marks.append(rod((x, y, half[2] - 0.01), (x, y, half[2] + 0.012), size))
    turn = _turned_box(rng)
    return [Part(moved(body, turn=turn)), Part(moved(merge(marks), turn=turn), BLACK)]


def _turned_box(rng: np.random.Generator) -> np.ndarray:
    """Choose which side a box lies on: flat mostly."""
    choice = rng.random()
    if choice < 0.65:
        return np.eye(3)
    return turn_about("x", 90) if choice < 0.85 else turn_about("y", 90)


_BUILDERS: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "mug": mug,
    "duck": duck,
    "teddy bear": teddy,
    "cube": _cube,
    "soccer ball": _soccer_ball,
    "ball": _ball,
    "lego brick": _lego,
    "jenga block": _jenga,
    "domino": _domino,
    "toy robot": toy_robot,
    "race car": race_car,
    "bowl": bowl,
    "bottle": bottle,
    "traffic cone": _cone,
    "banana": _banana,
}
