"""Makes of toys: ducks, teddy bears, robots, cars."""

from __future__ import annotations

import numpy as np

from ovseg_ros.robot_cell.meshes import box, lathe, merge
from ovseg_ros.robot_cell.solids import (
    BLACK,
    GRAY,
    Part,
    blob,
    moved,
    rod,
    soft_box,
    trim,
    turn_about,
)


def duck(rng: np.random.Generator) -> list[Part]:
    """Make a toy duck."""
    long, wide, tall = rng.uniform(0.8, 1.15), rng.uniform(0.55, 0.8), rng.uniform(0.5, 0.75)
    head = float(rng.uniform(0.34, 0.5))
    x, z = float(rng.uniform(0.35, 0.65)) * long, tall * 0.9 + head * float(rng.uniform(0.5, 1.2))
    tail = [
        rod(
            (-0.75 * long, 0, 0.25 * tall),
            (-1.15 * long, 0, float(rng.uniform(0.5, 1.1)) * tall),
            0.3 * wide,
            0.04,
        )
    ]
    neck = [rod((0.8 * x, 0, 0.3 * tall), (x, 0, z), head * 0.75)]
    wings = [
        blob(
            (0.5 * long, 0.1, 0.35 * tall),
            (-0.1 * long, s * 0.92 * wide, 0.1 * tall),
            turn_about("y", -12),
        )
        for s in (-1, 1)
    ]
    painted = [blob((long, wide, tall)), blob((head,) * 3, (x, 0, z)), *tail, *neck, *wings]
    lip = float(rng.uniform(0.2, 0.4))
    bill = blob(
        (lip, 0.7 * lip, float(rng.uniform(0.06, 0.14))), (x + head + 0.4 * lip, 0, z - 0.1 * head)
    )
    eyes = [
        blob((0.08 * head / 0.4,) * 3, (x + 0.75 * head, s * 0.5 * head, z + 0.35 * head))
        for s in (-1, 1)
    ]
    orange = (0.95, 0.5, 0.08) if rng.random() < 0.8 else (0.9, 0.25, 0.08)
    return [Part(merge(painted)), Part(bill, orange), Part(merge(eyes), BLACK)]


def teddy(rng: np.random.Generator) -> list[Part]:
    """Make a teddy bear, sitting or standing."""
    body, head = rng.uniform(0.5, 0.75, 3) * [1.0, 1.0, 1.2], float(rng.uniform(0.42, 0.62))
    top = body[2] + 0.75 * head
    limb, ear = float(rng.uniform(0.17, 0.28)), float(rng.uniform(0.14, 0.24))
    sitting = rng.random() < 0.6
    painted = [blob(body), blob((head, 1.05 * head, 0.95 * head), (0, 0, top))]
    soft = []
    for s in (-1, 1):
        painted.append(blob((0.5 * ear, ear, ear), (0, s * 0.75 * head, top + 0.75 * head)))
        soft.append(
            blob(
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
            painted += [rod(a, b, limb), blob((1.1 * limb,) * 3, a), blob((1.15 * limb,) * 3, b)]
    soft.append(blob((0.4 * head, 0.45 * head, 0.35 * head), (0.75 * head, 0, top - 0.2 * head)))
    dark = [blob((0.1 * head, 0.14 * head, 0.1 * head), (1.14 * head, 0, top - 0.05 * head))]
    dark += [
        blob((0.09 * head,) * 3, (0.85 * head, s * 0.38 * head, top + 0.22 * head)) for s in (-1, 1)
    ]
    if rng.random() < 0.4:  # a belly
        soft.append(blob(0.75 * body, (0.32 * body[0], 0, -0.05)))
    light = (0.86, 0.76, 0.62) if rng.random() < 0.6 else None
    return [Part(merge(painted)), Part(merge(soft), light), Part(merge(dark), BLACK)]


def toy_robot(rng: np.random.Generator) -> list[Part]:
    """Make a toy robot of boxes or tubes."""
    half = rng.uniform([0.28, 0.35, 0.35], [0.42, 0.55, 0.6])
    metal, leg = trim(rng), float(rng.uniform(0.15, 0.6))
    round_body, head_kind = rng.random() < 0.4, int(rng.integers(3))
    z = leg + half[2]
    body = (
        moved(lathe([(0.005, -1), (1, -1), (1, 1), (0.005, 1)], 26), half, (0, 0, z))
        if round_body
        else box(half, (0, 0, z))
    )
    size, top = float(rng.uniform(0.22, 0.4)), z + half[2]
    head = [
        blob((size, size, size), (0, 0, top + 0.35 * size)),
        box((size, size, 0.75 * size), (0, 0, top + 0.8 * size)),
        rod((0, 0, top), (0, 0, top + 1.4 * size), size),
    ][head_kind]
    head_rgb = None if rng.random() < 0.5 else metal
    trims = []
    for s in (-1, 1):
        foot = box((0.6 * half[0], 0.14, 0.07), (0.1, s * 0.5 * half[1], 0.07))
        shank = rod((0, s * 0.5 * half[1], 0.05), (0, s * 0.5 * half[1], leg + 0.05), 0.1)
        side = s * (half[1] + 0.1)
        hand = np.array([float(rng.uniform(0, 0.45)), side, z - float(rng.uniform(-0.1, 0.5))])
        arm = [rod((0, side, z + 0.55 * half[2]), hand, 0.085), blob((0.13,) * 3, hand)]
        trims += [foot, shank, *arm]
        trims.append(
            rod(
                (size * 0.85, s * 0.4 * size, top + 0.8 * size),
                (size * 1.05, s * 0.4 * size, top + 0.8 * size),
                0.2 * size,
            )
        )
    if rng.random() < 0.5:
        trims.append(rod((0, 0, top + size), (0, 0, top + 2.2 * size), 0.025))
        trims.append(blob((0.06,) * 3, (0, 0, top + 2.2 * size)))
    panel = box((0.02, 0.5 * half[1], 0.4 * half[2]), (half[0], 0, z + 0.1 * half[2]))
    return [Part(body), Part(head, head_rgb), Part(merge(trims), metal), Part(panel, trim(rng))]


def race_car(rng: np.random.Generator) -> list[Part]:
    """Make a race car with open wheels or a closed body."""
    wide, low = float(rng.uniform(0.16, 0.34)), float(rng.uniform(0.06, 0.12))
    wheel, track = float(rng.uniform(0.13, 0.2)), float(rng.uniform(0.36, 0.46))
    base = [float(rng.uniform(0.5, 0.72)), -float(rng.uniform(0.5, 0.72))]
    dark, painted = [], []
    floor = 0.6 * wheel
    if rng.random() < 0.5:  # open wheels and a nose
        painted += [
            box((0.45, wide, low), (-0.25, 0, floor + low)),
            rod((0.2, 0, floor + low), (1.1, 0, floor + 0.6 * low), 0.8 * wide, 0.25 * wide),
        ]
        painted.append(box((0.08, 1.5 * wide, 0.02), (1.05, 0, floor)))
        painted.append(blob((0.3, 0.5 * wide, 0.22), (-0.35, 0, floor + 2 * low)))
        dark.append(blob((0.16, 0.55 * wide, 0.1), (0.05, 0, floor + 2.1 * low)))
    else:  # a closed body
        painted.append(
            moved(soft_box((1.0, track * 0.95, 2 * low), 4.0), shift=(0, 0, floor + 1.5 * low))
        )
        cabin = moved(
            soft_box((float(rng.uniform(0.35, 0.55)), 0.75 * track, 1.7 * low), 3.0),
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
            dark.append(rod((x, s * track - half, wheel), (x, s * track + half, wheel), wheel))
            hubs.append(
                rod(
                    (x, s * (track + half) - 0.005, wheel),
                    (x, s * (track + half) + 0.005, wheel),
                    0.55 * wheel,
                )
            )
    return [Part(merge(painted)), Part(merge(dark), BLACK), Part(merge(hubs), GRAY)]
