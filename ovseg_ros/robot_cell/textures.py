"""Procedural surface textures: pale images that paint multiplies."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = 256


def _noise(rng: np.random.Generator, cells: tuple[int, int]) -> np.ndarray:
    """Make smooth noise, float32 (SIZE, SIZE) in 0..1, with about `cells` (rows, cols) blobs."""
    coarse = rng.random(cells, dtype=np.float32)
    return np.clip(cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), 0, 1)


def build_texture(name: str) -> np.ndarray:
    """Draw a texture.

    Args:
        name: "wood", "planks", "concrete", "tiles", "plaster", "bricks" or "speckle";
            "pattern-N" for one of any colours, "shades-N" for the same in light grays.

    Returns:
        uint8 RGB (256, 256, 3); mean brightness about 0.9 so that colour words stay true.

    Raises:
        ValueError: if `name` is unknown.
    """
    kind, _, number = name.partition("-")
    if kind in ("pattern", "shades") and number.isdecimal():
        image = _pattern(np.random.default_rng((7, int(number))))
        if kind == "shades":
            image = 0.72 + 0.26 * np.repeat(image.mean(2, keepdims=True), 3, axis=2)
        return (np.clip(image, 0, 1) * 255).astype(np.uint8)
    if name not in _BUILDERS:
        raise ValueError(f"name must be one of {', '.join(_BUILDERS)}; got {name!r}")
    gray = _BUILDERS[name](np.random.default_rng(len(name)))
    return np.repeat((np.clip(gray, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def _wood(rng: np.random.Generator) -> np.ndarray:
    warp = _noise(rng, (5, 3)) * 9 + np.arange(SIZE, dtype=np.float32)[:, None] / 9
    return 0.88 + 0.07 * np.sin(warp * 2.2) + 0.10 * (_noise(rng, (128, 6)) - 0.5)


def _planks(rng: np.random.Generator) -> np.ndarray:
    image = _wood(rng)
    for row in range(4):
        image[row * 64 : row * 64 + 64] *= rng.uniform(0.86, 1.06)
        image[row * 64 : row * 64 + 2] *= 0.6
        joint = int(rng.integers(SIZE - 2))
        image[row * 64 : row * 64 + 64, joint : joint + 2] *= 0.65
    return image


def _concrete(rng: np.random.Generator) -> np.ndarray:
    fine = rng.random((SIZE, SIZE), dtype=np.float32)
    return 0.82 + 0.12 * _noise(rng, (6, 6)) + 0.08 * _noise(rng, (40, 40)) + 0.05 * (fine - 0.5)


def _tiles(rng: np.random.Generator) -> np.ndarray:
    image = 0.93 + 0.04 * _noise(rng, (16, 16))
    for k in range(0, SIZE, 128):
        image[k : k + 5], image[:, k : k + 5] = 0.7, 0.7
    return image


def _plaster(rng: np.random.Generator) -> np.ndarray:
    return 0.88 + 0.07 * _noise(rng, (60, 60)) + 0.07 * _noise(rng, (8, 8))


def _bricks(rng: np.random.Generator) -> np.ndarray:
    image = np.full((SIZE, SIZE), 0.98, np.float32)
    for row in range(8):
        for col in range(-1, 4):
            x0 = max(col * 64 + 32 * (row % 2), 0)
            x1 = col * 64 + 32 * (row % 2) + 60
            if x1 > x0:
                image[row * 32 : row * 32 + 28, x0:x1] = rng.uniform(0.74, 0.9)
    return image + 0.05 * (_noise(rng, (80, 80)) - 0.5)


def _speckle(rng: np.random.Generator) -> np.ndarray:
    dots = (rng.random((SIZE, SIZE), dtype=np.float32) > 0.96).astype(np.float32)
    return 0.96 - 0.2 * cv2.GaussianBlur(dots, (0, 0), 1.0) * 3


def _pattern(rng: np.random.Generator) -> np.ndarray:
    """Draw any pattern: clouds, checks, stripes, dots or clutter of many colours, 0..1."""
    colors = rng.uniform(0.02, 1.0, (6, 3)).astype(np.float32)
    if rng.random() < 0.35:  # muted, as most of the world is
        colors = 0.3 * colors + 0.7 * colors.mean(1, keepdims=True)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    turn, period = rng.uniform(0, np.pi), rng.uniform(8, 90)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    kind = rng.integers(5)
    if kind == 0:  # clouds at three scales
        where = sum(_noise(rng, (n, n)) / (k + 1) for k, n in enumerate((4, 13, 47)))
        index = np.clip((where - 0.55) * 4.5, 0, 4.999)
    elif kind == 1:
        index = (np.floor(u / period) + np.floor(v / period)) % 2
    elif kind == 2:
        index = np.floor(u / period) % rng.integers(2, 6)
    elif kind == 3:
        spots = np.hypot(u % period - period / 2, v % period - period / 2)
        index = (spots < rng.uniform(0.15, 0.45) * period).astype(np.float32)
    else:
        return _clutter(rng, colors)
    low = np.floor(index).astype(int)
    share = (index - low)[..., None]
    image = colors[low] * (1 - share) + colors[(low + 1) % 6] * share
    grain = rng.uniform(0, 0.12) * (rng.random((SIZE, SIZE, 1), dtype=np.float32) - 0.5)
    shade = 1 - rng.uniform(0, 0.4) * _noise(rng, (5, 5))[..., None]
    return np.asarray(image * shade + grain, np.float32)


def _clutter(rng: np.random.Generator, colors: np.ndarray) -> np.ndarray:
    """Draw overlapping boxes, discs and lines, as a full shelf looks from afar."""
    image = np.full((SIZE, SIZE, 3), colors[0], np.float32)
    for _ in range(int(rng.integers(15, 90))):
        color = [float(c) for c in np.clip(colors[rng.integers(6)] * rng.uniform(0.5, 1.3), 0, 1)]
        a, b = (tuple(int(c) for c in rng.integers(0, SIZE, 2)) for _ in range(2))
        size = int(rng.integers(3, 45))
        shape = rng.integers(3)
        if shape == 0:
            cv2.rectangle(image, a, (a[0] + size, a[1] + 2 * size), color, -1)
        elif shape == 1:
            cv2.circle(image, a, size, color, -1)
        else:
            cv2.line(image, a, b, color, max(1, size // 6))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 3))))


def backdrop(name: str, rgb: tuple[float, float, float], size: tuple[int, int]) -> np.ndarray:
    """Draw what stands behind everything.

    Args:
        name: A texture, or "plain".
        rgb: Its paint, each 0..1.
        size: Width and height in pixels.

    Returns:
        uint8 RGB (height, width, 3).
    """
    paint = np.array(rgb, np.float32) * 255
    if name == "plain":
        return np.full((size[1], size[0], 3), paint, np.uint8)
    return cv2.resize(build_texture(name), size, interpolation=cv2.INTER_CUBIC)


_BUILDERS = {
    "wood": _wood,
    "planks": _planks,
    "concrete": _concrete,
    "tiles": _tiles,
    "plaster": _plaster,
    "bricks": _bricks,
    "speckle": _speckle,
}
