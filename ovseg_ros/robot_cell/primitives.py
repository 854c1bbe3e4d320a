"""A second generator: the same categories drawn from spheres, boxes and tubes by ray marching.

It shares nothing with PyBullet's scenes but the names and where things stand: other shapes, an arm
of its own, other surfaces, shading, backgrounds and lenses. For evaluation only (split
``primitives``, seed 0): nothing is trained on it, so that it tells what a model knows of a mug from
what it knows of a renderer. Needs numpy and OpenCV only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from ovseg_ros.robot_cell.camera import camera_to_world, intrinsics
from ovseg_ros.robot_cell.description import Arm, Placed, Scene, View
from ovseg_ros.robot_cell.instances import Member
from ovseg_ros.robot_cell.shapes import (
    DEFAULT_RGB,
    SHAPES,
    Distance,
    Paint,
    capsule,
    join,
    plain,
    sphere,
)
from ovseg_ros.robot_cell.world import Shot

_STEPS = 48
_FAR_M = 12.0


@dataclass(frozen=True)
class _Solid:
    """A body: its distance function in local metres, its pose, its bounding sphere, its paint."""

    member: int
    distance: Distance
    center: np.ndarray  # (3,), world
    radius: float
    origin: np.ndarray  # (3,), world
    turn: np.ndarray  # (3, 3), local to world
    paint: Paint


class PrimitiveWorld:
    """Builds and renders scenes; the same methods as ``World``."""

    def __init__(self) -> None:
        """Start without a scene."""
        self.scene: Scene | None = None
        self.members: tuple[Member, ...] = ()
        self._solids: list[_Solid] = []

    def build(self, scene: Scene) -> tuple[Member, ...]:
        """Replace the scene; return its instances."""
        self.scene = scene
        rng = np.random.default_rng((scene.index, 3))
        names: list[tuple[str, str | None, bool]] = [
            (name, None, False) for name in ("floor", "wall", "table")
        ]
        self._solids = []
        self._look = _Look.draw(rng)
        if scene.tray is not None:
            names.append(("tray", None, False))
            self._solids.append(_tray(scene, len(names), rng))
        if scene.arm is not None:
            names.append(("robot arm", None, False))
            self._solids.append(_arm(scene.arm, len(names), rng))
        for item in scene.objects:
            names.append((item.category, item.color, item.in_tray))
            self._solids.append(_thing(item, len(names), rng))
        self.members = tuple(
            Member(number, name, color, None, in_tray)
            for number, (name, color, in_tray) in enumerate(names, start=1)
        )
        return self.members

    def render(self, view: View, size: tuple[int, int] = (640, 480)) -> Shot:
        """Render the scene at width and height in pixels.

        Raises:
            RuntimeError: if no scene was built yet.
        """
        if self.scene is None:
            raise RuntimeError("PrimitiveWorld.render needs a scene: call build(scene) first")
        width, height = size
        pose, lens = camera_to_world(view), intrinsics(view.fov_y_deg, size)
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        rays = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ np.linalg.inv(lens).T
        depth_per_ray = 1 / np.linalg.norm(rays, axis=1)
        rays = (rays @ pose[:3, :3].T) * depth_per_ray[:, None]
        eye = pose[:3, 3]
        reach, mask, rgb = self._room(eye, rays)
        for solid in self._solids:
            _march(solid, eye, rays, reach, mask, rgb, self._look)
        fog = np.clip(reach / _FAR_M, 0, 1)[:, None] * self._look.haze
        rgb = rgb * (1 - fog) + self._look.sky * fog
        image = (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(height, width, 3)
        depth = np.minimum(reach, _FAR_M) * depth_per_ray
        return Shot(
            cv2.GaussianBlur(image, (0, 0), 0.6),
            depth.reshape(height, width).astype(np.float32),
            mask.reshape(height, width),
        )

    def _room(self, eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return reach (N,), member (N,) and colour (N, 3) of floor, walls and table."""
        scene, look = self.scene, self._look
        assert scene is not None
        reach = np.full(len(rays), np.inf)
        mask = np.zeros(len(rays), np.uint8)
        rgb = look.sky * (0.75 + 0.25 * rays[:, 2:3])
        a, b, c, d = scene.walls_m
        planes = [(2, scene.floor_z_m, 1)]
        if look.walls:
            planes += [(0, -a, 2), (0, b, 2), (1, -c, 2), (1, d, 2)]
        half_x, half_y, _ = np.array(scene.table_m) / 2
        for axis, at, member in [*planes, (2, 0.0, 3)]:
            with np.errstate(divide="ignore", invalid="ignore"):
                far = (at - eye[axis]) / rays[:, axis]
            point = eye + far[:, None] * rays
            hit = (far > 0.05) & (far < reach)
            if member == 3:
                inside = look.table(point[:, 0] / half_x, point[:, 1] / half_y)
                hit &= inside & (eye[2] > 0)
            others = [k for k in range(3) if k != axis]
            shade = look.surface(member, point[hit][:, others])
            if member == 3:
                shade = shade * _contact(point[hit], self._solids)[:, None]
            reach[hit], mask[hit], rgb[hit] = far[hit], member, shade
        return reach, mask, rgb


@dataclass(frozen=True)
class _Look:
    """Light and surfaces of one scene."""

    sun: np.ndarray
    sky: np.ndarray
    haze: float
    walls: bool
    round_table: bool
    colors: np.ndarray  # (4, 2, 3): two colours of floor, wall and table; row 0 unused
    kinds: tuple[int, ...]
    period: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Look:
        azimuth, height = rng.uniform(0, 2 * math.pi), rng.uniform(0.5, 1.4)
        sun = np.array([math.cos(azimuth), math.sin(azimuth), math.tan(height)])
        base = rng.uniform(0.15, 0.95, (4, 1, 3))
        colors = np.clip(base + rng.uniform(-0.2, 0.2, (4, 2, 1)), 0.03, 1)
        gray = colors.mean(2, keepdims=True)
        return cls(
            sun=sun / np.linalg.norm(sun),
            sky=rng.uniform(0.3, 1.0, 3),
            haze=float(rng.uniform(0, 0.35)),
            walls=bool(rng.random() < 0.7),
            round_table=bool(rng.random() < 0.3),
            colors=0.5 * colors + 0.5 * gray,
            kinds=tuple(int(k) for k in rng.integers(0, 4, 4)),
            period=float(rng.uniform(0.05, 0.3)),
        )

    def table(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return which points of the table's plane are the table."""
        if self.round_table:
            return np.asarray(np.hypot(x, y) < 1.05)
        return (np.abs(x) < 1) & (np.abs(y) < 1)

    def surface(self, member: int, uv: np.ndarray) -> np.ndarray:
        """Return the colour (N, 3) of a surface at points (N, 2) in metres."""
        first, second = self.colors[member]
        u, v = uv.T / self.period
        kind = self.kinds[member]
        if kind == 0:
            share = np.zeros(len(uv))
        elif kind == 1:  # veins
            share = 0.5 + 0.5 * np.sin(3 * u + 2 * np.sin(1.7 * v) + np.sin(5.1 * u + 2.3 * v))
        elif kind == 2:  # joints
            share = (np.minimum(u % 3, v % 3) < 0.12).astype(float)
        else:
            share = 0.5 + 0.25 * (np.sin(7 * u) * np.sin(9 * v) + np.sin(2.3 * u + 1.1 * v))
        return first + (second - first) * share[:, None]

    def shade(self, rgb: np.ndarray, normals: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """Return paint (N, 3) in the light: a wrapped sun, a sky above, a soft highlight."""
        sun = np.clip(0.25 + 0.75 * normals @ self.sun, 0, None)[:, None]
        above = (0.5 + 0.5 * normals[:, 2:3]) * self.sky
        half = self.sun - rays
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        shine = np.clip((normals * half).sum(1), 0, 1)[:, None] ** 40
        return rgb * (0.6 * sun + 0.45 * above) + 0.25 * shine


def _contact(points: np.ndarray, solids: Sequence[_Solid]) -> np.ndarray:
    """Return how much light reaches points (N, 3) of the table between the things on it, (N,)."""
    light = np.ones(len(points))
    for solid in solids:
        apart = np.hypot(*(points[:, :2] - solid.center[:2]).T) / max(solid.radius, 1e-3)
        light *= 1 - 0.45 * np.exp(-2.5 * apart**2)
    return light


def _march(
    solid: _Solid,
    eye: np.ndarray,
    rays: np.ndarray,
    reach: np.ndarray,
    mask: np.ndarray,
    rgb: np.ndarray,
    look: _Look,
) -> None:
    """Draw a solid into reach, mask and colours, in place."""
    away = solid.center - eye
    along = rays @ away
    off = away @ away - along**2
    near = (off < solid.radius**2) & (along > 0)
    half = np.sqrt(np.clip(solid.radius**2 - off, 0, None))
    chosen = np.flatnonzero(near & (along - half < reach))
    if not len(chosen):
        return
    way, far = rays[chosen], np.maximum(along - half, 0.03)[chosen]
    last = (along + half)[chosen]

    def local(at: np.ndarray) -> np.ndarray:
        return (at - solid.origin) @ solid.turn

    going = np.arange(len(far))
    for _ in range(_STEPS):
        step = solid.distance(local(eye + far[going, None] * way[going]))
        far[going] += 0.9 * np.clip(step, -0.01, 0.5)
        going = going[(np.abs(step) > 1e-3) & (far[going] < last[going])]
        if not len(going):
            break
    point = local(eye + far[:, None] * way)
    hit = (np.abs(solid.distance(point)) < 0.003) & (far < np.minimum(last + 0.01, reach[chosen]))
    chosen, point, far, way = chosen[hit], point[hit], far[hit], way[hit]
    if not len(chosen):
        return
    tiny = 1e-3
    normals = np.stack(
        [
            solid.distance(point + tiny * axis) - solid.distance(point - tiny * axis)
            for axis in np.eye(3)
        ],
        axis=1,
    )
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    rgb[chosen] = look.shade(solid.paint(point), normals @ solid.turn.T, way)
    reach[chosen], mask[chosen] = far, solid.member


def _turn(yaw: float) -> np.ndarray:
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _thing(item: Placed, member: int, rng: np.random.Generator) -> _Solid:
    size, shape = item.size_m, SHAPES[item.category]
    rgb = np.array(item.rgb)
    if item.textured or item.color is None:
        rgb = np.array(DEFAULT_RGB.get(item.category, (0.7, 0.55, 0.35)))
    rgb = np.clip(rgb * rng.uniform(0.8, 1.15, 3), 0.02, 1)
    distance, paint = shape(size, rgb)
    at = np.array([*item.xy_m, 0.008 if item.in_tray else 0.0])
    middle = at + np.array([0.0, 0.0, 0.45 * size])
    return _Solid(member, distance, middle, 0.95 * size, at, _turn(item.yaw), paint)


def _tray(scene: Scene, member: int, rng: np.random.Generator) -> _Solid:
    length, width, height = scene.tray_m
    x, y, yaw = scene.tray_pose
    wall = 0.012

    def distance(p: np.ndarray) -> np.ndarray:
        outer = np.abs(p - (0, 0, height / 2)) - (length / 2, width / 2, height / 2)
        inner = np.abs(p - (0, 0, height)) - (length / 2 - wall, width / 2 - wall, height - 0.006)
        return np.asarray(np.maximum(outer.max(1), -inner.max(1)))

    at = np.array([x, y, 0.0])
    radius = 0.55 * math.hypot(length, width)
    return _Solid(member, distance, at, radius, at, _turn(yaw), plain(rng.uniform(0.05, 0.95, 3)))


def _arm(arm: Arm, member: int, rng: np.random.Generator) -> _Solid:
    """A slender arm of tubes: a post, an upper arm, a forearm and two fingers."""
    scale = arm.scale
    lean, bend = rng.uniform(0.2, 0.8), rng.uniform(1.3, 2.2)
    points = [np.zeros(3), np.array([0, 0, rng.uniform(0.2, 0.4) * scale])]
    for length in rng.uniform(0.3, 0.5, 2) * scale:
        step = np.array([math.sin(lean), rng.uniform(-0.1, 0.1), math.cos(lean)])
        points.append(points[-1] + length * step)
        points[-1][2] = max(points[-1][2], 0.12)
        lean += bend
    thick = rng.uniform(0.035, 0.06) * scale
    parts = [capsule(a, b, thick * (1 - 0.2 * k)) for k, (a, b) in enumerate(pairwise(points))]
    parts += [sphere(p, 1.5 * thick) for p in points[1:]]
    for side in (-1, 1):
        root = points[-1] + np.array([0, side * 1.4 * thick, 0])
        parts.append(capsule(root, root - np.array([0, 0, 0.09 * scale]), 0.45 * thick))
    paint, joint = rng.uniform(0.05, 0.95, (2, 3))

    def color(p: np.ndarray) -> np.ndarray:
        apart = np.min([np.linalg.norm(p - q, axis=1) for q in points], axis=0)
        return np.where((apart < 1.6 * thick)[:, None], joint, paint)

    at = np.array([*arm.xy_m, 0.0])
    turn = _turn(arm.yaw + arm.joints[0])
    middle = at + turn @ np.mean(points, axis=0)
    radius = max(float(np.linalg.norm(at + turn @ p - middle)) for p in points) + 0.2 * scale
    return _Solid(member, join(*parts), middle, radius, at, turn, color)
