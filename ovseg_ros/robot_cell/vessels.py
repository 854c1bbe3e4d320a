"""Makes of what holds something: mugs, bowls, bottles."""

from __future__ import annotations

import numpy as np

from ovseg_ros.robot_cell.meshes import lathe
from ovseg_ros.robot_cell.solids import Part, moved, squared, trim, tube, turn_about, walled


def mug(rng: np.random.Generator) -> list[Part]:
    """Make a mug, some lying: cylinders, cones, bellies, a handle of any bend."""
    height, foot, belly = rng.uniform(0.75, 1.7), rng.uniform(0.6, 1.0), rng.uniform(-0.12, 0.2)
    steps = np.linspace(0, 1, 7)
    radii = 0.5 * (foot + (1 - foot) * steps + belly * np.sin(np.pi * steps))
    wall = float(rng.uniform(0.03, 0.07))
    cup = walled([(float(r), float(z)) for r, z in zip(radii, height * steps, strict=True)], wall)
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
    handle = tube(path, rng.uniform(0.03, 0.07), rng.uniform(0.8, 1.9))
    parts = [Part(cup), Part(handle)]
    if rng.random() < 0.3:  # a band round it
        z = float(rng.uniform(0.3, 0.7)) * height
        r = float(np.interp(z, height * steps, radii)) + 0.012
        parts.append(
            Part(lathe([(r - 0.05, z), (r, z), (r, z + 0.1), (r - 0.05, z + 0.1)]), trim(rng))
        )
    return _lying(parts, rng, 0.2)


def bowl(rng: np.random.Generator) -> list[Part]:
    """Make a bowl: any depth and curve, some with a brim or a band."""
    height, foot = float(rng.uniform(0.35, 0.95)), float(rng.uniform(0.3, 0.7))
    power, wall = float(rng.uniform(0.35, 1.1)), float(rng.uniform(0.03, 0.08))
    steps = np.linspace(0, 1, 9)
    radii = foot + (1 - foot) * steps**power
    outside = [(float(r), float(z)) for r, z in zip(radii, 0.05 + height * steps, strict=True)]
    if rng.random() < 0.4:  # a brim
        outside.append((1.0 + float(rng.uniform(0.05, 0.25)), outside[-1][1] + 0.02))
    outside = [(foot * 0.95, 0.0), *outside]
    parts = [Part(walled(outside, wall))]
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
                trim(rng),
            )
        )
    return parts


def bottle(rng: np.random.Generator) -> list[Part]:
    """Make a bottle, some lying: any shoulder, round to square, cap, label."""
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
    body = squared(lathe(profile, 32), square)
    cap = lathe([(0.005, 0.93), (neck * 1.25, 0.93), (neck * 1.25, 1.0), (0.005, 1.0)], 18)
    parts = [Part(body), Part(cap, trim(rng) if rng.random() < 0.6 else None)]
    if rng.random() < 0.5:  # a label
        low = float(rng.uniform(0.1, 0.3))
        high = min(shoulder, low + float(rng.uniform(0.12, 0.3)))
        r = wide * max(waist, 1.0) + 0.004
        label = lathe([(r - 0.03, low), (r, low), (r, high), (r - 0.03, high)], 32)
        parts.append(Part(squared(label, square), trim(rng)))
    return _lying(parts, rng, 0.25)


def _lying(parts: list[Part], rng: np.random.Generator, share: float) -> list[Part]:
    """Lay some makes on their side."""
    if rng.random() >= share:
        return parts
    return [Part(moved(p.mesh, turn=turn_about("x", 90)), p.rgb) for p in parts]
