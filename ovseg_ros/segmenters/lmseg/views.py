"""Windows of an image, and where they lie in segment-anything's map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.segmenters.dense import window_starts


@dataclass(frozen=True)
class Window:
    """A square part of the canvas, in pixels."""

    top: int
    left: int
    side: int


def windows(canvas: int, side: int, stride: int, *, whole: bool) -> list[Window]:
    """Return the windows that cover a square canvas, the last ones flush with its edges.

    Args:
        canvas: Side of the canvas.
        side: Side of the windows.
        stride: Step between them.
        whole: Whether the canvas as a whole is one view more.
    """
    if canvas <= side:
        return [Window(0, 0, canvas)]
    starts = window_starts(canvas, side, stride)
    found = [Window(top, left, side) for top in starts for left in starts]
    return [*found, Window(0, 0, canvas)] if whole else found


def crop_map(features: Tensor, window: Window, canvas: int) -> Tensor:
    """Return the part of a map (C, h, w) of the whole canvas that a window shows.

    The part keeps the map's own resolution; its places are sampled bilinearly.
    """
    share = window.side / canvas
    if share == 1:
        return features
    size = [max(1, round(side * share)) for side in features.shape[1:]]
    centre = [2 * (start + window.side / 2) / canvas - 1 for start in (window.left, window.top)]
    theta = torch.tensor(
        [[[share, 0.0, centre[0]], [0.0, share, centre[1]]]],
        device=features.device, dtype=features.dtype,
    )  # fmt: skip
    grid = F.affine_grid(theta, [1, 1, *size], align_corners=False)
    return F.grid_sample(features[None], grid, align_corners=False, padding_mode="border")[0]
