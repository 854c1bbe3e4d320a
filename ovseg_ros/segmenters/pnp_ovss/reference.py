"""The same maths as plainly as it can be written: image by image, pass by pass, name by name.

It exists to be compared with: the segmenter must give the same maps, several times faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from ovseg_ros.segmenters.pnp_ovss.config import MaskConfig
from ovseg_ros.segmenters.pnp_ovss.segmenter import PnpOvssSegmenter


def plain_salience(
    segmenter: PnpOvssSegmenter, image: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Return the salience of each name, (K, grid, grid) float32, of an image (H, W, 3) uint8."""
    matcher, config = segmenter.matcher, segmenter.config.saliency
    pixels = matcher.prepare(image[None])
    side, patch = matcher.grid, matcher.patch
    parts = matcher.write(names, config.opening)
    total = np.zeros((len(names), side * side), np.float32)
    gone: list[int] = []
    for _ in range(config.passes):
        seen = pixels.clone()
        for index in gone:
            top, left = (patch * k for k in divmod(index, side))
            seen[:, :, top : top + patch, left : left + patch] = 0
        summed = np.zeros(side * side, np.float32)
        for part in parts:
            for k in range(len(names)):
                tokens = torch.nonzero(part.words[k]).flatten()
                if len(tokens) == 0:
                    continue
                attention, gradient = matcher.attend(
                    matcher.encode(seen), [0], [part], config.layer
                )
                maps = attention[0, config.head - 1, tokens]  # (n, P)
                if config.gradcam:
                    maps = maps * gradient[0, config.head - 1, tokens].clamp_min(0)
                total[k] += maps.mean(0).cpu().numpy()
                summed += maps.sum(0).cpu().numpy()
        summed[gone] = -np.inf
        gone += np.argsort(-summed, kind="stable")[: config.dropped].tolist()
    return total.reshape(-1, side, side)


def plain_channels(
    salience: np.ndarray, size_hw: tuple[int, int], config: MaskConfig
) -> np.ndarray:
    """Do what ``masks.channels`` does at full size, one name after the other."""
    large = []
    for one in salience:
        span = one.max() - one.min()
        kept = np.zeros_like(one)
        if span > 0:
            kept = np.where((one - one.min()) / span >= config.threshold, one, 0)
        grown = F.interpolate(
            torch.from_numpy(kept)[None, None], size=size_hw, mode="bilinear", align_corners=True
        )
        large.append(grown[0, 0].numpy())
    nothing = np.zeros(size_hw, np.float32)
    if config.background == "always" or (config.background == "few" and len(large) < 3):
        nothing = (np.max(large, axis=0) == 0).astype(np.float32)
    sigma = config.sigma * max(size_hw)
    found = []
    for one in (nothing, *large):
        soft = gaussian_filter(one, sigma) if sigma > 0 else one
        span = soft.max() - soft.min()
        found.append((soft - soft.min()) / span if span > 0 else np.zeros_like(soft))
    return np.stack(found)
