"""Scene sampling: a seed and a split become a description of one scene and its views."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ovseg_ros.robot_cell.camera import around
from ovseg_ros.robot_cell.colors import COLORS, sample_rgb, sample_wood
from ovseg_ros.robot_cell.description import (
    RGB,
    Arm,
    Light,
    Placed,
    Scene,
    Surface,
    View,
)
from ovseg_ros.robot_cell.objects import BY_NAME, CATALOGUE, HELD_OUT_PAIRS, ObjectType
from ovseg_ros.robot_cell.wide import remake, widen

SPLITS: tuple[str, ...] = ("train", "val", "test", "novel", "sequence", "wild", "primitives")
FLOOR_TEXTURES = ("plain", "concrete", "planks", "tiles")
WALL_TEXTURES = ("plain", "plaster", "bricks")
ARM_COLORS = ("white", "gray", "black", "orange", "yellow", "blue")


def scene_rng(split: str, index: int, seed: int = 0) -> np.random.Generator:
    """Make the random generator that belongs to one scene of one split."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    return np.random.default_rng((seed, SPLITS.index(split), index))


def sample_scene(split: str, index: int, views: int = 3, seed: int = 0) -> Scene:
    """Sample scene `index` of a split, always the same for the same arguments.

    Args:
        split: "train", "val", "test", "novel", "sequence", "wild" or "primitives".
            Two of three scenes of train, and all of wild, are widened; those of train hold
            other makes of the things as well (see `wide`).
        index: scene number within the split, from 0.
        views: number of camera views.
        seed: seed of the whole data set.

    Returns:
        The scene. Only split "novel" holds novel objects and held-out pairs, nearly always both
        (a chosen object is left out when the table has no room for it).

    Raises:
        ValueError: if `split` is unknown.
    """
    rng = scene_rng(split, index, seed)
    table_m = (float(rng.uniform(0.95, 1.35)), float(rng.uniform(0.75, 1.05)), 0.03)
    tray, tray_m, tray_pose = _sample_tray(rng)
    arm = _sample_arm(rng, table_m, index) if rng.random() < 0.85 else None
    table = _sample_table(rng)
    floor = _sample_surface(rng, FLOOR_TEXTURES, tint=0.25)
    if floor.color is not None and floor.color == table.color:  # an edge must stay visible
        table = Surface(None, "wooden", "wood", sample_wood(rng))
    if tray is not None and tray.color is not None and tray.color == table.color:
        tray = None
    room = _Room(table_m, table.color, tray, tray_m, tray_pose, arm)
    objects = _sample_objects(rng, split == "novel", room)
    scene = Scene(
        split=split,
        index=index,
        floor=floor,
        wall=_sample_surface(rng, WALL_TEXTURES, tint=0.4),
        table=table,
        tray=tray,
        arm=arm,
        objects=objects,
        light=_sample_light(rng),
        views=tuple(_sample_view(rng) for _ in range(views)),
        table_m=table_m,
        tray_m=tray_m,
        tray_pose=tray_pose,
        floor_z_m=-float(rng.uniform(0.45, 0.8)),
        walls_m=_floats(rng.uniform(1.8, 2.7, size=4)),
    )
    if split == "primitives":  # other lenses for the second generator
        lenses = tuple(replace(v, fov_y_deg=float(rng.uniform(28, 72))) for v in scene.views)
        return replace(scene, views=lenses)
    if split == "train" and index % 3 > 0:
        return remake(widen(scene, rng), rng)
    return widen(scene, rng) if split == "wild" else scene


def _floats(values: Iterable[float]) -> Any:
    """Plain floats, as many as come: tuples that compare, print and hash."""
    return tuple(float(value) for value in values)


def _sample_surface(rng: np.random.Generator, textures: tuple[str, ...], tint: float) -> Surface:
    texture = str(rng.choice(textures))
    if texture == "planks" and rng.random() < 0.6:
        return Surface(None, "wooden", "planks", sample_wood(rng))
    color = str(rng.choice(COLORS))
    if rng.random() < 0.45:  # real rooms are mostly white and gray
        color = str(rng.choice(["white", "white", "gray", "brown"]))
    if texture == "bricks" and rng.random() < 0.4:
        color = "red"
    tint = 0.0 if color in ("black", "brown", "gray") else tint * float(rng.random())
    return Surface(color, None, texture, sample_rgb(color, rng, tint))


def _sample_table(rng: np.random.Generator) -> Surface:
    if rng.random() < 0.42:
        return Surface(None, "wooden", "wood", sample_wood(rng))
    color = str(rng.choice(COLORS))
    if rng.random() < 0.35:
        color = str(rng.choice(["white", "gray", "black"]))
    return Surface(color, None, str(rng.choice(["plain", "speckle"])), sample_rgb(color, rng))


def _sample_tray(
    rng: np.random.Generator,
) -> tuple[Surface | None, tuple[float, float, float], tuple[float, float, float]]:
    low, high = BY_NAME["tray"].size_m
    length = float(rng.uniform(low, high))
    size = (length, length * float(rng.uniform(0.65, 1.0)), float(rng.uniform(0.03, 0.055)))
    pose = (
        float(rng.uniform(-0.12, 0.25)),
        float(rng.choice([-1, 1]) * rng.uniform(0.08, 0.22)),
        float(rng.uniform(-0.6, 0.6)),
    )
    if rng.random() > 0.65:
        return None, size, pose
    color = str(rng.choice(COLORS))
    if rng.random() < 0.2:
        return Surface(None, "wooden", "plain", sample_wood(rng)), size, pose
    return Surface(color, None, "plain", sample_rgb(color, rng)), size, pose


def _sample_arm(rng: np.random.Generator, table_m: tuple[float, float, float], index: int) -> Arm:
    model = ("kuka", "panda")[index % 2]
    color = None if rng.random() < 0.5 else str(rng.choice(ARM_COLORS))
    if color is None and model == "panda":
        color, rgb = "white", None
    else:
        rgb = sample_rgb(color, rng) if color else None
    y = float(rng.uniform(-0.22, 0.22))
    return Arm(
        model=model,
        xy_m=(-table_m[0] / 2 + float(rng.uniform(0.12, 0.2)), y),
        yaw=float(rng.uniform(-0.4, 0.4)) - y,
        scale=float(rng.uniform(0.6, 0.8)),
        joints=sample_joints(model, rng),
        color=color,
        rgb=rgb,
    )


def sample_joints(model: str, rng: np.random.Generator) -> tuple[float, ...]:
    """Draw seven joint angles in radians that keep a "kuka" or "panda" above the table."""
    low, high = {
        "kuka": (
            (-0.8, 0.05, -0.3, -1.9, -0.4, -0.9, -3.0),
            (0.8, 0.65, 0.3, -1.1, 0.4, 0.9, 3.0),
        ),
        "panda": (
            (-0.8, -0.6, -0.3, -2.5, -0.4, 1.2, -1.5),
            (0.8, 0.25, 0.3, -1.7, 0.4, 2.4, 1.5),
        ),
    }[model]
    return _floats(rng.uniform(low, high))


def _sample_light(rng: np.random.Generator) -> Light:
    azimuth, height = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(40, 80))
    ambient = float(rng.uniform(0.50, 0.68))
    color = 1 + rng.uniform(-0.06, 0.06, size=3)
    return Light(
        direction=around((0, 0, 0), 1, azimuth, height),
        color=_floats(color),
        ambient=ambient,
        diffuse=float(rng.uniform(0.9, 1.1)) - ambient,
        specular=float(rng.uniform(0.0, 0.15)),
    )


def _sample_view(rng: np.random.Generator) -> View:
    distance = rng.uniform(0.7, 1.45)
    # The arm stands at -x: most views look at it from the front or the sides.
    azimuth = rng.uniform(-2.2, 2.2)
    elevation = math.radians(rng.uniform(18, 62))
    target = (
        float(rng.uniform(-0.15, 0.15)),
        float(rng.uniform(-0.15, 0.15)),
        float(rng.uniform(0.0, 0.15)),
    )
    return View(
        eye=around(target, distance, azimuth, elevation),
        target=target,
        fov_y_deg=float(rng.uniform(38, 56)),
        sensor_seed=int(rng.integers(2**31)),
    )


@dataclass(frozen=True)
class _Room:
    """What objects have to respect while they are placed."""

    table_m: tuple[float, float, float]
    table_color: str | None
    tray: Surface | None
    tray_m: tuple[float, float, float]
    tray_pose: tuple[float, float, float]
    arm: Arm | None


def _sample_objects(rng: np.random.Generator, novel: bool, room: _Room) -> tuple[Placed, ...]:
    """Choose 4-9 objects and place them without overlap, some in the tray."""
    taken = [(*room.arm.xy_m, 0.14)] if room.arm else []  # discs (x, y, radius)
    placed: list[Placed] = []
    for kind, color in _wanted(rng, novel):
        size = float(rng.uniform(*kind.size_m))
        in_tray = room.tray is not None and size < 0.22 and bool(rng.random() < 0.3)
        radius = 0.5 * size * (0.85 if in_tray else 0.95)
        for _ in range(60):
            x, y = _candidate(rng, room, radius, in_tray)
            if math.isnan(x) or any(math.hypot(x - a, y - b) < radius + r for a, b, r in taken):
                continue
            taken.append((x, y, radius))
            placed.append(_place(rng, kind, color, size, (x, y), in_tray, room.table_color))
            break
    return tuple(placed)


def _candidate(
    rng: np.random.Generator, room: _Room, radius: float, in_tray: bool
) -> tuple[float, float]:
    """Draw a spot on the table or in the tray; (nan, nan) if a disc does not fit there."""
    nowhere = (math.nan, math.nan)
    tx, ty, turn = room.tray_pose
    if in_tray:
        free = np.array(room.tray_m[:2]) - 2 * radius
        if (free < 0.02).any():
            return nowhere
        u, v = rng.uniform(-0.5, 0.5, 2) * free
        c, s = math.cos(turn), math.sin(turn)
        return tx + c * float(u) - s * float(v), ty + s * float(u) + c * float(v)
    half = np.minimum(np.array(room.table_m[:2]) / 2 - radius, [0.48, 0.42])
    x, y = (float(value) for value in rng.uniform(-half, half))
    keep = radius + 0.5 * math.hypot(*room.tray_m[:2])
    if room.tray is not None and math.hypot(x - tx, y - ty) < keep:
        return nowhere
    return x, y


def _wanted(rng: np.random.Generator, novel: bool) -> list[tuple[ObjectType, str | None]]:
    """Choose kinds with, for held-out pairs, the colour that goes with them."""
    known = [kind for kind in CATALOGUE if kind.movable and not kind.novel]
    count = int(rng.integers(5, 11))  # a few will find no room
    wanted: list[tuple[ObjectType, str | None]] = []
    if novel:
        new = [kind for kind in CATALOGUE if kind.novel]
        for i in rng.permutation(len(new))[: rng.integers(1, 4)]:
            wanted.append((new[i], None))
        pairs = sorted(HELD_OUT_PAIRS)
        for i in rng.permutation(len(pairs))[: rng.integers(1, 4)]:
            wanted.append((BY_NAME[pairs[i][1]], pairs[i][0]))
    for i in rng.permutation(len(known))[: max(1, count - len(wanted))]:
        wanted.append((known[i], None))
        if rng.random() < 0.12:  # twins, mostly in different colours
            wanted.append((known[i], None))
    return wanted


def _place(
    rng: np.random.Generator,
    kind: ObjectType,
    color: str | None,
    size_m: float,
    xy_m: tuple[float, float],
    in_tray: bool,
    table_color: str | None,
) -> Placed:
    """Give one object its look and pose; `color` forces a colour word."""
    natural = color is None and (not kind.colors or rng.random() < kind.default_share)
    if color is None:
        allowed = [
            c for c in kind.colors if (c, kind.name) not in HELD_OUT_PAIRS and c != table_color
        ]
        color = kind.default_color if natural else str(rng.choice(allowed))
    if natural and kind.textured:
        rgb: RGB = (float(rng.uniform(0.9, 1.0)),) * 3
    else:
        rgb = sample_rgb(color, rng) if color else (1.0, 1.0, 1.0)
    return Placed(
        category=kind.name,
        color=None if natural and kind.material else color,
        material=kind.material if natural else None,
        rgb=rgb,
        textured=natural and kind.textured,
        size_m=size_m,
        xy_m=xy_m,
        yaw=float(rng.uniform(-math.pi, math.pi)),
        rest=int(rng.integers(len(kind.rests))),
        in_tray=in_tray,
    )
