"""A far wider cell: what a scene may look like beyond the tidy room of the benchmark.

Three of ten scenes lose their room, floors and tables carry any pattern, arms are of any make and
pose, lenses of any focal length, and cameras add what bad cameras add. Captions and masks stay
true: a surface whose pattern no colour word describes is named without one.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ovseg_ros.robot_cell.camera import around
from ovseg_ros.robot_cell.colors import COLORS, sample_rgb, sample_wood
from ovseg_ros.robot_cell.description import RGB, Arm, Light, Placed, Scene, Surface, View
from ovseg_ros.robot_cell.makes import MAKES, made

PATTERNS = 240
"""How many patterns there are; see ``textures.build_texture``."""


def widen(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return an ordinary scene with the same things in a wider world."""
    missing = rng.random()
    floor = None if missing < 0.2 else _surface(scene.floor, rng)
    wall = None if missing < 0.3 else _surface(scene.wall, rng)
    return replace(
        scene,
        floor=floor,
        wall=wall,
        table=_surface(scene.table, rng) or scene.table,
        tray=_surface(scene.tray, rng),
        tray_m=(*scene.tray_m[:2], scene.tray_m[2] * float(rng.uniform(0.4, 1.6))),
        arm=None if scene.arm is None else _arm(scene.arm, rng),
        objects=tuple(_thing(item, rng) for item in scene.objects),
        light=_light(rng),
        views=tuple(_view(view, rng, far=wall is None) for view in scene.views),
        backdrop=_pattern(rng) if rng.random() < 0.6 else "plain",
        backdrop_rgb=_any_rgb(rng),
        worn=True,
    )


def remake(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return a scene with other makes of most things, and round tables and trays at times."""
    return replace(
        scene,
        objects=tuple(_other_make(item, rng) for item in scene.objects),
        table_corners=float(rng.choice([0.0, 0.0, 2.0, 3.0, 5.0])),
        tray_corners=float(rng.choice([0.0, 0.0, 2.0, 4.0])),
    )


def _other_make(item: Placed, rng: np.random.Generator) -> Placed:
    """Another make; what had its maker's texture gets the paint that its words promise."""
    if item.category not in made() or rng.random() < 0.25:
        return item
    item = replace(item, make=int(rng.integers(1, MAKES + 1)))
    if item.material == "wooden":
        return replace(item, textured=False, rgb=sample_wood(rng), pattern="wood")
    if item.textured:
        return replace(item, textured=False, rgb=sample_rgb(item.color or "white", rng))
    return item


def _pattern(rng: np.random.Generator) -> str:
    return f"pattern-{int(rng.integers(PATTERNS))}"


def _any_rgb(rng: np.random.Generator) -> RGB:
    red, green, blue = (float(value) for value in rng.uniform(0.02, 1.0, 3))
    return red, green, blue


def _surface(surface: Surface | None, rng: np.random.Generator) -> Surface | None:
    """Keep a surface, paint it plainly, or give it a pattern that no word describes."""
    choice = rng.random()
    if surface is None or choice < 0.25:
        return surface
    if choice < 0.55:
        color = str(rng.choice(COLORS))
        return Surface(color, None, "plain", sample_rgb(color, rng))
    tint = float(rng.uniform(0.5, 1.0))
    return Surface(None, None, _pattern(rng), (tint, tint, tint))


def _arm(arm: Arm, rng: np.random.Generator) -> Arm:
    """Another pose and scale, often another make or paint."""
    joints = tuple(float(angle + rng.uniform(-0.35, 0.35)) for angle in arm.joints)
    model = arm.model
    if rng.random() < 0.5:
        model = "jointed"
        joints = tuple(float(value) for value in rng.uniform(-1, 1, 7))
    color, rgb = arm.color, arm.rgb
    if rng.random() < 0.5:
        color = str(rng.choice(COLORS))
        rgb = sample_rgb(color, rng)
    if model == "jointed" and rgb is None:
        color, rgb = None, _any_rgb(rng)
    scale = arm.scale * float(rng.uniform(0.75, 1.35))
    return replace(arm, model=model, joints=joints, scale=scale, color=color, rgb=rgb)


def _thing(item: Placed, rng: np.random.Generator) -> Placed:
    """Smaller at times, and some painted things carry a pattern."""
    item = replace(item, size_m=item.size_m * float(rng.uniform(0.6, 1.0)))
    if item.textured or rng.random() > 0.3:
        return item
    if rng.random() < 0.5:  # shades of the paint: the colour word stays true
        return replace(item, pattern=f"shades-{int(rng.integers(PATTERNS))}")
    return replace(item, pattern=_pattern(rng), rgb=(1.0, 1.0, 1.0), color=None, material=None)


def _light(rng: np.random.Generator) -> Light:
    azimuth, height = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(15, 88))
    ambient = float(rng.uniform(0.35, 0.85))
    red, green, blue = (float(value) for value in 1 + rng.uniform(-0.18, 0.18, size=3))
    return Light(
        direction=around((0, 0, 0), 1, azimuth, height),
        color=(red, green, blue),
        ambient=ambient,
        diffuse=max(0.05, float(rng.uniform(0.75, 1.2)) - ambient),
        specular=float(rng.uniform(0.0, 0.5)),
    )


def _view(view: View, rng: np.random.Generator, *, far: bool) -> View:
    """Any focal length; the distance follows, so that things keep about their size."""
    fov = float(rng.uniform(22, 82))
    away = np.array(view.eye) - np.array(view.target)
    wanted = (
        float(np.linalg.norm(away)) * math.tan(math.radians(24)) / math.tan(math.radians(fov / 2))
    )
    distance = min(max(wanted * float(rng.uniform(0.55, 1.5)), 0.32), 3.5 if far else 1.5)
    azimuth = math.atan2(away[1], away[0]) + float(rng.uniform(-0.6, 0.6))
    elevation = math.radians(float(rng.uniform(10, 78)))
    x, y, z = around(view.target, distance, azimuth, elevation)
    return replace(view, eye=(x, y, max(0.12, z)), fov_y_deg=fov)
