"""BBoost as it was released, where the release differs from the paper (AutoSeg, arXiv 2312.04539).

The published numbers contain these differences, so whoever wants to see them again can switch them
on with ``bboost.as_released``; ``docs/as_released.md`` lists them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_SEED = 123
"""The release's k-means solver starts from the same points in every image."""


def kmeans_starts(count: int, ks: Sequence[int], inits: int) -> Tensor:
    """Return the points that k-means starts from, (len(ks) * inits, max(ks)) int64 on the CPU."""
    rows = []
    for k in ks:
        generator = torch.Generator().manual_seed(_SEED)
        even = torch.full((inits, count), 1 / count)
        drawn = torch.multinomial(even, k, replacement=False, generator=generator)
        rows.append(F.pad(drawn, (0, max(ks) - k)))
    return torch.cat(rows)


def resize_labels(labels: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bring label maps (..., h, w) to another grid by OpenCV's nearest neighbour (corners)."""
    h, w = labels.shape[-2:]
    rows = torch.arange(grid[0], device=labels.device) * h // grid[0]
    columns = torch.arange(grid[1], device=labels.device) * w // grid[1]
    return labels[..., rows[:, None], columns]


def align(runs: np.ndarray) -> np.ndarray:
    """Rename clusters as ``clustering.align`` does, by the fewest points that differ.

    Args:
        runs: Labels of R clusterings of the same N points, (R, N) int64, >= 0.
    """
    from scipy.optimize import linear_sum_assignment  # takes a fifth of a second of a start

    names = [np.unique(run) for run in runs]
    first = int(np.argmax([len(found) for found in names]))
    reference = runs[first][None] == names[first][:, None]  # (C, N)
    aligned = runs.copy()
    for row, run in enumerate(runs):
        if row == first:
            continue
        own = run[None] == names[row][:, None]  # (c, N)
        differ = (reference[:, None] != own[None]).sum(axis=2)  # (C, c)
        targets, sources = linear_sum_assignment(differ)
        for source, target in zip(names[row][sources], names[first][targets], strict=True):
            aligned[row][run == source] = target
    return aligned


def smooth(
    probabilities: np.ndarray, *, weight: float = 6.0, theta: float = 0.8, iterations: int = 5
) -> np.ndarray:
    """Smooth cluster probabilities along columns and clusters, as if rows were the classes.

    The release hands a map of shape (rows, columns, clusters) to a CRF that takes the first axis
    for the classes, and probabilities where it expects logits.

    Args:
        probabilities: (C, h, w) float32.
        weight: Weight of the smoothness kernel.
        theta: Its standard deviation, in columns and in clusters.
        iterations: Rounds of mean field.

    Returns:
        Scores, (C, h, w) float32; they are no probabilities.
    """
    unary = torch.from_numpy(probabilities).permute(1, 2, 0)  # (h, w, C): rows, columns, clusters
    steps = torch.arange(-5, 6, dtype=torch.float32)
    kernel = torch.exp(-((steps / theta) ** 2) / 2)
    kernel[5] = 0  # a cell is not its own neighbour
    scores = unary
    for _ in range(iterations):
        belief = scores.softmax(dim=0)[:, None]  # (h, 1, w, C)
        belief = F.conv2d(belief, kernel.view(1, 1, -1, 1), padding=(5, 0))
        belief = F.conv2d(belief, kernel.view(1, 1, 1, -1), padding=(0, 5))
        scores = unary + weight * belief[:, 0]
    return scores.permute(2, 0, 1).numpy()


class DriftingPositions:
    """A position table that is resized from what the last image left of it.

    The release overwrites the model's table with every resized one, so that it blurs from image to
    image. The first table is that of the largest size.
    """

    def __init__(self, table: Tensor, side: int) -> None:
        """Start from a checkpoint's table (1, 1 + n, D) resized to ``side`` x ``side`` patches."""
        self._table = table
        self.resize(side)

    def resize(self, side: int) -> Tensor:
        """Resize the table and keep it; return it, (1, 1 + side * side, D)."""
        patches = self._table[:, 1:]
        old = round(patches.shape[1] ** 0.5)
        if old != side:
            grid = patches.unflatten(1, (old, old)).permute(0, 3, 1, 2)
            grid = F.interpolate(grid, size=(side, side), mode="bicubic")
            patches = grid.flatten(2).transpose(1, 2)
            self._table = torch.cat((self._table[:, :1], patches), dim=1)
        return self._table
