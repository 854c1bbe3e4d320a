"""Clusters of patches that many k-means runs agree on (BBoost, AutoSeg, arXiv 2312.04539)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class KMeans(NamedTuple):
    """Result of one k-means per requested k.

    Attributes:
        labels: Cluster of every point, (K, N) int64, row i in 0..ks[i]-1.
        inertia: Sum of the squared distances of the points to their centres, (K,) float32.
    """

    labels: Tensor
    inertia: Tensor


def positional_code(grid: tuple[int, int], dims: int) -> Tensor:
    """Return the 2-D sinusoid of every patch, (h * w, dims) float32 on the CPU, row by row.

    The first half of the dimensions encodes the row, the second the column; sine and cosine
    interleaved, frequencies ``10000 ** (-2 i / (dims / 2))``.

    Raises:
        ValueError: if ``dims`` is not a multiple of 4.
    """
    if dims < 0 or dims % 4:
        raise ValueError(f"positional_dims: expected a multiple of 4, got {dims}")
    half = dims // 2
    frequencies = 10_000.0 ** (-2 * torch.arange(half // 2) / max(half, 1))  # (dims / 4,)

    def encode(count: int) -> Tensor:
        angles = torch.arange(count)[:, None] * frequencies
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)  # (count, dims / 2)

    rows, columns = (encode(side) for side in grid)
    h, w = grid
    code = torch.cat((rows[:, None].expand(h, w, half), columns[None].expand(h, w, half)), dim=-1)
    return code.reshape(h * w, dims)


def kmeans(
    points: Tensor,
    ks: Sequence[int],
    *,
    inits: int = 8,
    iterations: int = 100,
    tolerance: float = 1e-4,
    generator: torch.Generator | None = None,
    starts: Tensor | None = None,
) -> KMeans:
    """Run Lloyd's k-means for every k from several random starts at once; keep each k's best.

    A point belongs to the nearest centre by Euclidean distance; a centre is the mean of its points,
    and stays where it is while it has none. A run rests when its centres' mean shift is below
    ``tolerance``. The best start is that with the least inertia.

    Args:
        points: (N, D) float32, on any device.
        ks: Numbers of clusters, each in 1..N.
        inits: Random starts per k: distinct points, drawn on the CPU so that devices agree.
        iterations: At most so many updates.
        tolerance: In the points' own unit.
        generator: CPU generator of the starts.
        starts: The starts themselves instead, indices of points (len(ks) * inits, max(ks)) int64,
            those of one k together; a smaller k takes the first of its row.

    Raises:
        ValueError: if a k does not fit the points.
    """
    count, device = len(points), points.device
    if not ks or min(ks) < 1 or max(ks) > count:
        raise ValueError(f"ks: expected values in 1..{count} (points), got {list(ks)}")
    widest = max(ks)
    clusters = torch.tensor(ks, device=device).repeat_interleave(inits)  # (R,) clusters per run
    absent = torch.arange(widest, device=device) >= clusters[:, None]  # (R, C) padding of small k
    if starts is None:
        starts = torch.rand(len(ks) * inits, count, generator=generator).argsort(dim=1)
    points = points - points.mean(dim=0)  # distances stay, and lose fewer digits
    centres = points[starts[:, :widest].to(device)]  # (R, C, D)

    active = torch.arange(len(clusters), device=device)
    for _ in range(iterations):
        now = centres[active]  # (A, C, D)
        nearest = _nearness(points, now, absent[active]).max(dim=1, keepdim=True).indices
        member = points.new_zeros(len(now), widest, count).scatter_(1, nearest, 1)  # (A, C, N)
        sizes = member.sum(dim=2, keepdim=True)
        means = (member.flatten(0, 1) @ points).view_as(now) / sizes.clamp(min=1)
        means = torch.where(sizes > 0, means, now)
        centres[active] = means
        moved = (means - now).norm(dim=2).sum(dim=1) / clusters[active]
        active = active[moved >= tolerance]
        if not len(active):
            break

    best, labels = _nearness(points, centres, absent).max(dim=1)  # (R, N) both
    squares = points.square().sum(dim=1) - 2 * best  # squared distances
    inertia = squares.clamp(min=0).sum(dim=1).view(len(ks), inits)
    chosen = inertia.argmin(dim=1)  # (K,)
    rows = torch.arange(len(ks), device=device)
    return KMeans(labels.view(len(ks), inits, count)[rows, chosen], inertia[rows, chosen])


def _nearness(points: Tensor, centres: Tensor, absent: Tensor) -> Tensor:
    """Return x.c - c.c / 2 (R, C, N) of points (N, D) and centres (R, C, D); padding is -inf.

    The nearest centre has the largest: the squared distance is x.x minus twice as much.
    """
    runs, widest, _ = centres.shape
    products = centres.flatten(0, 1) @ points.T  # one matrix product for all runs
    near = products.view(runs, widest, -1) - centres.square().sum(dim=2, keepdim=True) / 2
    return near.masked_fill(absent[:, :, None], -torch.inf)


def spherical_kmeans(points: Tensor, k: int, *, seed: int = 0, rounds: int = 20) -> Tensor:
    """Cluster directions from one random start; return labels (N,) int64 without gaps.

    Unlike in :func:`kmeans` lengths do not matter: centres are means of unit vectors, made unit
    vectors again, as a classifier compares them.

    Args:
        points: (N, D), N >= k.
        k: How many clusters at most.
        seed: Seed of the starts.
        rounds: How often centres move.
    """
    units = F.normalize(points, dim=1)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randperm(len(units), generator=generator)[:k].to(units.device)
    centres = units[start]
    labels = (units @ centres.T).argmax(1)
    for _ in range(rounds):
        sums = torch.zeros_like(centres).index_add(0, labels, units)
        centres = torch.where(sums.norm(dim=1, keepdim=True) > 0, F.normalize(sums, dim=1), centres)
        moved = (units @ centres.T).argmax(1)
        if bool((moved == labels).all()):
            break
        labels = moved
    return labels.unique(return_inverse=True)[1]


def resize_labels(labels: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bring label maps (..., h, w) to another grid by nearest neighbour (centres of cells)."""
    h, w = labels.shape[-2:]
    if (h, w) == grid:
        return labels

    def nearest(count: int, size: int) -> Tensor:
        return (torch.arange(count, device=labels.device) * 2 + 1) * size // (2 * count)

    return labels[..., nearest(grid[0], h)[:, None], nearest(grid[1], w)]


def align(runs: np.ndarray) -> np.ndarray:
    """Rename every run's clusters to those of the run with most clusters (the first on ties).

    Hungarian assignment maximises the summed IoU (AutoSeg's cross-clustering consistency).

    Args:
        runs: Labels of R clusterings of the same N points, (R, N) int64, >= 0.

    Returns:
        The same clusterings with labels 0..C-1, C the clusters of the reference run.
    """
    from scipy.optimize import linear_sum_assignment  # takes a fifth of a second of a start

    compact = [np.unique(run, return_inverse=True)[1].reshape(-1) for run in runs]
    sizes = [int(run.max()) + 1 for run in compact]
    reference = compact[int(np.argmax(sizes))]
    members = np.eye(max(sizes), dtype=np.float32)[reference]  # (N, C)
    aligned = np.empty_like(runs)
    for row, (run, size) in enumerate(zip(compact, sizes, strict=True)):
        own = np.eye(size, dtype=np.float32)[run]  # (N, c)
        common = own.T @ members
        union = own.sum(0)[:, None] + members.sum(0)[None] - common
        source, target = linear_sum_assignment(common / union, maximize=True)
        names = np.empty(size, dtype=runs.dtype)
        names[source] = target
        aligned[row] = names[run]
    return aligned


def vote(aligned: np.ndarray) -> np.ndarray:
    """Return P(n | p): the share of runs that put point p into cluster n, (C, N) float32.

    1e-6 is added before the shares are normalised, so that no probability is zero.
    """
    votes = (aligned[None] == np.arange(aligned.max() + 1)[:, None, None]).mean(axis=1) + 1e-6
    return (votes / votes.sum(axis=0)).astype(np.float32)


def majority_filter(labels: np.ndarray, *, rounds: int = 8) -> np.ndarray:
    """Give every cell its 3x3 neighbourhood's most frequent label, until nothing changes.

    Args:
        labels: (h, w) integers >= 0; beyond the border the border repeats.
        rounds: At most so many repetitions.

    Returns:
        The filtered labels, same shape and dtype; ties go to the lowest label.
    """
    h, w = labels.shape
    classes = np.arange(labels.max() + 1)
    for _ in range(rounds):
        padded = np.pad(labels, 1, mode="edge")
        windows = [padded[i : i + h, j : j + w] for i in range(3) for j in range(3)]
        counts = (np.stack(windows)[None] == classes[:, None, None, None]).sum(axis=1)
        filtered = counts.argmax(axis=0).astype(labels.dtype)
        if np.array_equal(filtered, labels):
            break
        labels = filtered
    return labels


def drop_empty(labels: np.ndarray) -> np.ndarray:
    """Renumber labels to 0..n-1 without gaps, in ascending order, same shape, int64."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)
