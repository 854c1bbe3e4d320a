"""Mean field in torch: no compiled extension, any device, a close match of the reference."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.models.crf import check_probabilities


def smooth(
    probabilities: np.ndarray, *, weight: float = 6.0, theta: float = 0.8, iterations: int = 5
) -> np.ndarray:
    """Do what ``ovseg_ros.models.crf.smooth`` does, (C, H, W) in and out."""
    return mean_field(
        torch.from_numpy(check_probabilities(probabilities)),
        weight=weight,
        theta=theta,
        iterations=iterations,
    ).numpy()


def mean_field(probabilities: Tensor, *, weight: float, theta: float, iterations: int) -> Tensor:
    """Smooth class probabilities with a Potts model and one Gaussian kernel.

    The kernel is separable and symmetrically normalised, as in the reference; a cell is its own
    neighbour there, too.

    Args:
        probabilities: (C, H, W) float32 in (0, 1].
        weight: Weight of the smoothness term.
        theta: Standard deviation of the Gaussian in cells.
        iterations: Rounds.

    Returns:
        Probabilities, (C, H, W) float32 on the same device.
    """
    logits = probabilities.log()
    kernel = _gaussian(theta, probabilities)
    scale = _blur(torch.ones_like(probabilities[:1]), kernel).rsqrt()  # (1, H, W)
    belief = logits.softmax(dim=0)
    for _ in range(iterations):
        belief = (logits + weight * scale * _blur(scale * belief, kernel)).softmax(dim=0)
    return belief


def _gaussian(theta: float, like: Tensor) -> Tensor:
    reach = max(1, round(4 * theta))
    steps = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    return torch.exp(-(steps**2) / (2 * theta**2))


def _blur(maps: Tensor, kernel: Tensor) -> Tensor:
    """Blur (C, H, W) with a separable kernel; beyond the border there is nothing."""
    reach = len(kernel) // 2
    maps = F.conv2d(maps[:, None], kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(maps, kernel.view(1, 1, 1, -1), padding=(0, reach))[:, 0]
