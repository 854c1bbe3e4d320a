"""The cell's categories as distance functions, for the second generator (see ``primitives``).

A shape is made for a size (its longest side in metres) and a paint; it stands on z = 0 around the
origin. Distance functions take points (N, 3) and return metres (N,), negative inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Distance = Callable[[np.ndarray], np.ndarray]
Paint = Callable[[np.ndarray], np.ndarray]
Shape = Callable[[float, np.ndarray], tuple[Distance, Paint]]
_Point = Sequence[float] | np.ndarray

DEFAULT_RGB = {
    "duck": (0.95, 0.8, 0.1),
    "teddy bear": (0.45, 0.28, 0.15),
    "soccer ball": (0.95, 0.95, 0.95),
    "domino": (0.95, 0.93, 0.88),
    "jenga block": (0.75, 0.56, 0.35),
    "banana": (0.95, 0.82, 0.15),
}
"""Paint of what has a natural look."""


def plain(rgb: Any) -> Paint:
    """Paint everything in one colour."""
    return lambda p: np.broadcast_to(np.asarray(rgb, float), p.shape).copy()


def sphere(center: _Point, radius: float) -> Distance:
    """Return a ball."""
    return lambda p: np.linalg.norm(p - np.asarray(center), axis=1) - radius


def box(center: _Point, half: _Point, edge: float = 0.0) -> Distance:
    """Return a box with round edges."""

    def distance(p: np.ndarray) -> np.ndarray:
        q = np.abs(p - np.asarray(center)) - np.asarray(half) + edge
        outside = np.linalg.norm(np.maximum(q, 0), axis=1)
        return np.asarray(outside + np.minimum(q.max(1), 0) - edge)

    return distance


def capsule(a: _Point, b: _Point, radius: float) -> Distance:
    """Return a tube with round ends."""
    start, way = np.asarray(a, float), np.asarray(b, float) - np.asarray(a, float)

    def distance(p: np.ndarray) -> np.ndarray:
        share = np.clip((p - start) @ way / (way @ way + 1e-12), 0, 1)
        return np.asarray(np.linalg.norm(p - start - share[:, None] * way, axis=1) - radius)

    return distance


def tube(center: _Point, radius: float, half: float, axis: int = 2) -> Distance:
    """Return a cylinder along an axis."""
    others = [k for k in range(3) if k != axis]

    def distance(p: np.ndarray) -> np.ndarray:
        q = p - np.asarray(center)
        return np.maximum(np.hypot(*q[:, others].T) - radius, np.abs(q[:, axis]) - half)

    return distance


def ring(center: _Point, radius: float, thick: float, axis: int = 2) -> Distance:
    """Return a torus around an axis."""
    others = [k for k in range(3) if k != axis]

    def distance(p: np.ndarray) -> np.ndarray:
        q = p - np.asarray(center)
        return np.hypot(np.hypot(*q[:, others].T) - radius, q[:, axis]) - thick

    return distance


def join(*parts: Distance) -> Distance:
    """Return all of several bodies."""
    return lambda p: np.min([part(p) for part in parts], axis=0)


def cut(body: Distance, away: Distance) -> Distance:
    """Return a body without what another takes away."""
    return lambda p: np.maximum(body(p), -away(p))


def _cube(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    h = 0.5 * s
    return box((0, 0, h), (h, h, h), 0.06 * s), plain(rgb)


def _ball(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    def stripes(p: np.ndarray) -> np.ndarray:
        turn = np.arctan2(p[:, 1], p[:, 0]) * 3 / math.pi
        return np.where((np.floor(turn) % 2 == 0)[:, None], rgb, 0.75 * rgb)

    return sphere((0, 0, 0.5 * s), 0.5 * s), stripes


def _soccer_ball(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    g = (1 + 5**0.5) / 2
    tips = [t for a in (-1, 1) for b in (-g, g) for t in ((0, a, b), (a, b, 0), (b, 0, a))]
    directions = np.array(tips) / math.hypot(1, g)

    def spots(p: np.ndarray) -> np.ndarray:
        q = (p - (0, 0, 0.5 * s)) / (0.5 * s)
        return np.where(((q @ directions.T).max(1) > 0.93)[:, None], 0.07, rgb)

    return sphere((0, 0, 0.5 * s), 0.5 * s), spots


def _mug(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    r, h = 0.33 * s, 0.42 * s
    body = cut(tube((0, 0, h), r, h), tube((0, 0, h + 0.08 * s), 0.85 * r, h))
    return join(body, ring((1.25 * r, 0, h), 0.23 * s, 0.045 * s, axis=1)), plain(rgb)


def _bowl(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    r = 0.5 * s
    shell = cut(sphere((0, 0, r), r), sphere((0, 0, r), 0.9 * r))
    return cut(shell, box((0, 0, 1.75 * r), (2 * r, 2 * r, r))), plain(rgb)


def _bottle(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    r = 0.15 * s
    body = join(
        tube((0, 0, 0.3 * s), r, 0.3 * s),
        sphere((0, 0, 0.6 * s), r),
        tube((0, 0, 0.8 * s), 0.4 * r, 0.2 * s),
        tube((0, 0, 0.95 * s), 0.5 * r, 0.04 * s),
    )

    def label(p: np.ndarray) -> np.ndarray:
        return np.where((np.abs(p[:, 2:3] - 0.32 * s) < 0.12 * s), 0.9, rgb)

    return body, label


def _traffic_cone(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    def cone(p: np.ndarray) -> np.ndarray:
        radius = 0.3 * s * (1 - p[:, 2] / (1.08 * s))
        side = (np.hypot(p[:, 0], p[:, 1]) - radius) * 0.95
        return np.maximum(side, np.abs(p[:, 2] - 0.5 * s) - 0.5 * s)

    def stripes(p: np.ndarray) -> np.ndarray:
        band = (np.abs(p[:, 2:3] - 0.55 * s) < 0.12 * s) | (np.abs(p[:, 2:3] - 0.9 * s) < 0.04 * s)
        return np.where(band, 0.92, rgb)

    return join(cone, box((0, 0, 0.03 * s), (0.38 * s, 0.38 * s, 0.03 * s))), stripes


def _banana(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    turns = np.linspace(-1.1, 1.1, 8)
    arc = 0.52 * s * np.stack([np.sin(turns), np.cos(turns) - 0.75, 0 * turns], 1)
    arc[:, 2] = 0.1 * s
    parts = [
        capsule(a, b, 0.095 * s * math.cos(0.9 * t))
        for a, b, t in zip(arc, arc[1:], turns, strict=False)
    ]
    return join(*parts), plain(rgb)


def _lego_brick(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    body = box((0, 0, 0.18 * s), (0.5 * s, 0.25 * s, 0.18 * s))
    studs = [
        tube((x * s, y * s, 0.4 * s), 0.075 * s, 0.05 * s)
        for x in (-0.375, -0.125, 0.125, 0.375)
        for y in (-0.125, 0.125)
    ]
    return join(body, *studs), plain(rgb)


def _jenga_block(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    def grain(p: np.ndarray) -> np.ndarray:
        lines = np.sin(90 * p[:, 1:2] / s + 3 * np.sin(6 * p[:, 0:1] / s))
        return np.asarray(rgb * (0.93 + 0.07 * lines))

    return box((0, 0, 0.1 * s), (0.5 * s, 0.17 * s, 0.1 * s), 0.01 * s), grain


def _domino(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    dots = np.array([(-0.3, 0), (0.2, -0.12), (0.2, 0.12), (0.38, -0.12), (0.38, 0.12)]) * s

    def pips(p: np.ndarray) -> np.ndarray:
        near = np.min([np.hypot(p[:, 0] - x, p[:, 1] - y) for x, y in dots], axis=0) < 0.045 * s
        return np.where((near | (np.abs(p[:, 0]) < 0.012 * s))[:, None], 0.05, rgb)

    return box((0, 0, 0.06 * s), (0.5 * s, 0.25 * s, 0.06 * s), 0.02 * s), pips


def _duck(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    def body(p: np.ndarray) -> np.ndarray:
        q = (p - (0, 0, 0.3 * s)) / (0.46, 0.34, 0.3)
        return (np.linalg.norm(q, axis=1) - s) * 0.3

    head, beak = sphere((0.24 * s, 0, 0.68 * s), 0.22 * s), np.array([0.5 * s, 0, 0.64 * s])

    def paint(p: np.ndarray) -> np.ndarray:
        return np.where((p[:, 0:1] > 0.42 * s) & (p[:, 2:3] > 0.55 * s), (0.95, 0.4, 0.05), rgb)

    return join(body, head, capsule(beak - (0.1 * s, 0, 0), beak, 0.06 * s)), paint


def _teddy_bear(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    balls = [(0.0, 0.0, 0.32, 0.27), (0.0, 0.0, 0.72, 0.21)]
    balls += [(0.0, y, 0.92, 0.08) for y in (-0.17, 0.17)] + [(0.18, 0.0, 0.68, 0.09)]
    balls += [(0.14, y, 0.12, 0.12) for y in (-0.2, 0.2)]
    balls += [(0.1, y, 0.45, 0.1) for y in (-0.27, 0.27)]
    body = join(*[sphere(np.array([x, y, z]) * s, r * s) for x, y, z, r in balls])
    eyes = np.array([(0.17, -0.08, 0.8), (0.17, 0.08, 0.8), (0.27, 0, 0.7)]) * s

    def paint(p: np.ndarray) -> np.ndarray:
        near = np.min([np.linalg.norm(p - eye, axis=1) for eye in eyes], axis=0)
        return np.where((near < 0.04 * s)[:, None], 0.03, rgb)

    return body, paint


def _toy_robot(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    body = join(
        tube((0, 0, 0.45 * s), 0.2 * s, 0.25 * s),
        sphere((0, 0, 0.72 * s), 0.2 * s),
        *[box((0, y * s, 0.3 * s), (0.07 * s, 0.05 * s, 0.3 * s)) for y in (-0.26, 0.26)],
        *[box((0.03 * s, y * s, 0.05 * s), (0.14 * s, 0.07 * s, 0.05 * s)) for y in (-0.26, 0.26)],
    )

    def paint(p: np.ndarray) -> np.ndarray:
        dome = (p[:, 2:3] > 0.7 * s) | ((p[:, 2:3] % (0.2 * s)) < 0.06 * s)
        return np.where(dome, rgb, 0.9)

    return body, paint


def _race_car(s: float, rgb: np.ndarray) -> tuple[Distance, Paint]:
    wheels = [(x, y) for x in (-0.3, 0.32) for y in (-0.2, 0.2)]
    body = join(
        box((0, 0, 0.14 * s), (0.48 * s, 0.1 * s, 0.06 * s), 0.04 * s),
        box((-0.05 * s, 0, 0.22 * s), (0.15 * s, 0.08 * s, 0.06 * s), 0.03 * s),
        box((-0.45 * s, 0, 0.26 * s), (0.05 * s, 0.2 * s, 0.015 * s)),
        box((0.46 * s, 0, 0.08 * s), (0.04 * s, 0.2 * s, 0.015 * s)),
        *[tube((x * s, y * s, 0.1 * s), 0.1 * s, 0.06 * s, axis=1) for x, y in wheels],
    )

    def paint(p: np.ndarray) -> np.ndarray:
        side = np.min([np.hypot(p[:, 0] - x * s, p[:, 2] - 0.1 * s) for x, _ in wheels], axis=0)
        tyre = (side < 0.105 * s) & (np.abs(p[:, 1]) > 0.12 * s)
        return np.where(tyre[:, None], 0.05, rgb)

    return body, paint


SHAPES: dict[str, Shape] = {
    "cube": _cube,
    "ball": _ball,
    "soccer ball": _soccer_ball,
    "mug": _mug,
    "bowl": _bowl,
    "bottle": _bottle,
    "traffic cone": _traffic_cone,
    "banana": _banana,
    "lego brick": _lego_brick,
    "jenga block": _jenga_block,
    "domino": _domino,
    "duck": _duck,
    "teddy bear": _teddy_bear,
    "toy robot": _toy_robot,
    "race car": _race_car,
}
"""Every movable category that is not novel."""
