"""What a real camera adds to a clean rendering: exposure, white balance, vignetting, noise."""

from __future__ import annotations

import cv2
import numpy as np


def expose(rgb: np.ndarray, seed: int, strength: float = 1.0) -> np.ndarray:
    """Make a rendering look like a camera image.

    Args:
        rgb: uint8 RGB (H, W, 3).
        seed: decides all random choices; frames of one sequence pass different seeds for
            different noise and `strength` 0.3 or so for steady exposure.
        strength: 0 changes nothing, 1 is the range of the data set.

    Returns:
        uint8 RGB (H, W, 3).
    """
    rng = np.random.default_rng(seed)
    height, width = rgb.shape[:2]
    image: np.ndarray = rgb.astype(np.float32) / 255
    gamma = 1 + strength * rng.uniform(-0.12, 0.12)
    gain = 1 + strength * rng.uniform(-0.12, 0.06)
    balance = 1 + strength * rng.uniform(-0.04, 0.04, size=3)
    image = image**gamma * (gain * balance).astype(np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    image *= (1 - strength * rng.uniform(0, 0.12) * (x**2 + y**2) / 2)[..., None]
    if rng.random() < 0.3 * strength:  # slightly out of focus
        sigma = float(rng.uniform(0.4, 0.8)) * width / 640
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    image += noise * np.float32(strength * rng.uniform(0.002, 0.012))
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def wear(rgb: np.ndarray, seed: int) -> np.ndarray:
    """Make a camera image look like one of a bad camera.

    Args:
        rgb: uint8 RGB (H, W, 3).
        seed: decides all random choices: colour cast, contrast, haze, blur, noise, JPEG blocks.

    Returns:
        uint8 RGB (H, W, 3).
    """
    rng = np.random.default_rng((seed, 2))
    image: np.ndarray = rgb.astype(np.float32) / 255
    image = image ** rng.uniform(0.65, 1.5) * rng.uniform(0.88, 1.12, 3).astype(np.float32)
    contrast, haze = rng.uniform(0.65, 1.2), rng.uniform(-0.05, 0.12)
    image = (image - 0.5) * np.float32(contrast) + np.float32(0.5 + haze)
    gray = image.mean(2, keepdims=True)
    image = gray + np.float32(rng.uniform(0.55, 1.25)) * (image - gray)
    if rng.random() < 0.35:
        sigma = float(rng.uniform(0.5, 1.8)) * rgb.shape[1] / 640
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))
    noise = rng.standard_normal(rgb.shape, dtype=np.float32)
    image = image + noise * np.float32(rng.uniform(0, 0.04))
    worn = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))]
        worn = cv2.imdecode(cv2.imencode(".jpg", worn, quality)[1], cv2.IMREAD_COLOR)
    return np.ascontiguousarray(worn)
