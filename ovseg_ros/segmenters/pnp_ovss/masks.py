"""From salience at patch resolution to masks: threshold, blur, dense CRF."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d

from ovseg_ros.models.crf import dense_crf
from ovseg_ros.photographs import shrink
from ovseg_ros.segmenters.pnp_ovss.config import MaskConfig

_LEAST = 1e-5  # probabilities below it do not count in the CRF


def label(
    salience: np.ndarray, image: np.ndarray, config: MaskConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Label an image.

    Args:
        salience: Salience of K names, (K, h, w) float32 at least 0.
        image: RGB, (H, W, 3) uint8.
        config: How.

    Returns:
        Labels (H, W) int64, 1..K as in ``salience`` and 0 where there is nothing, and the
        probability of the label, (H, W) float32.
    """
    size_hw = image.shape[:2]
    image = shrink(image, config.max_side)
    evidence = channels(salience, image.shape[:2], config)  # (1 + K, h, w), background first
    used = [0] if evidence[0].any() else []
    used += [k for k in range(1, len(evidence)) if evidence[k].any()]
    if not used:
        return np.zeros(size_hw, np.int64), np.zeros(size_hw, np.float32)
    odds = softmax(evidence[used])
    if config.crf:
        odds = dense_crf(np.clip(odds, _LEAST, 1), image, config.kernels)
    winner = odds.argmax(0)
    labels, confidence = np.array(used)[winner], odds.max(0)
    if not config.crf:  # nothing says what is there, and no neighbour was asked
        labels[~evidence.any(0)] = 0
    if image.shape[:2] != size_hw:
        full = (size_hw[1], size_hw[0])
        labels = cv2.resize(
            labels.astype(np.int32), full, interpolation=cv2.INTER_NEAREST_EXACT
        ).astype(np.int64)
        confidence = cv2.resize(confidence, full, interpolation=cv2.INTER_LINEAR)
    return labels, confidence


def channels(salience: np.ndarray, size_hw: tuple[int, int], config: MaskConfig) -> np.ndarray:
    """Return the evidence of background and names at image size.

    Enlarging and blurring are linear, so both are one small matrix on either side of a map.

    Args:
        salience: (K, h, w) float32 at least 0.
        size_hw: Size (H, W) of the image.
        config: How.

    Returns:
        (1 + K, H, W) float32 in [0, 1]; the first one is zero where there is no background.
    """
    kept = cut(salience, config.threshold)
    sigma = config.sigma * max(size_hw)
    down, across = (
        _enlarge(count, side, sigma) for count, side in zip(kept.shape[1:], size_hw, strict=True)
    )
    found = np.zeros((1 + len(kept), *size_hw), np.float32)
    found[1:] = down @ kept @ across.T
    if config.background == "always" or (config.background == "few" and len(kept) < 3):
        down, across = (
            _enlarge(count, side, 0.0) for count, side in zip(kept.shape[1:], size_hw, strict=True)
        )
        found[0] = blur(down @ kept.sum(0) @ across.T == 0, sigma)
    return np.stack([stretch(one) for one in found])


def cut(salience: np.ndarray, threshold: float) -> np.ndarray:
    """Keep what reaches a share of each map's own range; a constant map says nothing.

    Args:
        salience: (K, h, w) float.
        threshold: In [0, 1].
    """
    low, high = (f(axis=(1, 2), keepdims=True) for f in (salience.min, salience.max))
    span = high - low
    share = (salience - low) / np.where(span > 0, span, 1)
    return np.where((share >= threshold) & (span > 0), salience, 0).astype(np.float32)


def blur(values: np.ndarray, sigma: float) -> np.ndarray:
    """Blur (H, W) by a Gaussian of ``sigma`` pixels that mirrors at the border."""
    values = values.astype(np.float32)
    if sigma > 0:
        for axis in (0, 1):
            values = gaussian_filter1d(values, sigma, axis=axis)
    return values


def stretch(values: np.ndarray) -> np.ndarray:
    """Scale (H, W) to 0..1; what is constant says nothing and becomes 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def softmax(values: np.ndarray) -> np.ndarray:
    """Return the softmax over the first axis."""
    odds: np.ndarray = np.exp(values - values.max(0))
    return odds / odds.sum(0)


@lru_cache(maxsize=64)
def _enlarge(count: int, side: int, sigma: float) -> np.ndarray:
    """Return the matrix (side, count) that enlarges bilinearly and blurs, float32.

    The first and the last patch stand at the image's border, as in the authors' code.
    """
    corners = torch.eye(count)[None]  # every column is a map with a single one
    matrix = F.interpolate(corners, size=side, mode="linear", align_corners=True)[0].T.numpy()
    found = gaussian_filter1d(matrix, sigma, axis=0) if sigma > 0 else matrix
    return np.ascontiguousarray(found, np.float32)
