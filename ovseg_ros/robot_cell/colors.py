"""The colour words of the robot cell and the RGB values that deserve them."""

from __future__ import annotations

import colorsys

import numpy as np

PROTOTYPES: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.07, 0.07),
    "green": (0.10, 0.58, 0.16),
    "blue": (0.08, 0.20, 0.80),
    "yellow": (0.95, 0.83, 0.08),
    "orange": (0.98, 0.47, 0.04),
    "purple": (0.46, 0.13, 0.62),
    "pink": (0.98, 0.52, 0.68),
    "brown": (0.38, 0.22, 0.11),
    "black": (0.06, 0.06, 0.06),
    "white": (0.94, 0.94, 0.94),
    "gray": (0.48, 0.48, 0.48),
}
COLORS: tuple[str, ...] = tuple(PROTOTYPES)


def sample_rgb(
    color: str, rng: np.random.Generator, tint: float = 0.0
) -> tuple[float, float, float]:
    """Draw an RGB value near the prototype of a colour word.

    Args:
        color: one of `COLORS`.
        rng: source of randomness.
        tint: share of white mixed in, 0..1 (painted walls are paler than toys).

    Returns:
        Linear (r, g, b), each 0..1.

    Raises:
        ValueError: if `color` is not a colour word of the cell.
    """
    if color not in PROTOTYPES:
        raise ValueError(f"color must be one of {', '.join(COLORS)}; got {color!r}")
    hue, saturation, value = colorsys.rgb_to_hsv(*PROTOTYPES[color])
    if saturation > 0.1:  # hue jitter stays well inside the word; grays have no hue
        hue = (hue + rng.uniform(-0.013, 0.013)) % 1.0
        saturation = float(np.clip(saturation * rng.uniform(0.86, 1.08), 0, 1))
    value = float(np.clip(value * rng.uniform(0.88, 1.08), 0, 1))
    rgb = np.array(colorsys.hsv_to_rgb(hue, saturation, value))
    if saturation <= 0.1:
        rgb = rgb * rng.uniform(0.97, 1.03, size=3)
    rgb = (1 - tint) * rgb + tint
    red, green, blue = (float(c) for c in np.clip(rgb, 0, 1))
    return red, green, blue


def sample_wood(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw the RGB value of a kind of wood, each 0..1."""
    tone = np.array([0.80, 0.60, 0.40]) * rng.uniform(0.6, 1.2) + rng.uniform(-0.03, 0.03, 3)
    red, green, blue = (float(value) for value in np.clip(tone, 0, 1))
    return red, green, blue
