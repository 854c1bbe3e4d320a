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
        name: "wood", "planks", "concrete", "tiles", "plaster", "bricks" or "speckle".

    Returns:
        uint8 RGB (256, 256, 3); mean brightness about 0.9 so that colour words stay true.

    Raises:
        ValueError: if `name` is unknown.
    """
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


_BUILDERS = {
    "wood": _wood,
    "planks": _planks,
    "concrete": _concrete,
    "tiles": _tiles,
    "plaster": _plaster,
    "bricks": _bricks,
    "speckle": _speckle,
}
