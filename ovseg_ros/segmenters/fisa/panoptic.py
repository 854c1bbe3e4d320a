"""From named proposals to segments: every pixel belongs to one segment at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import find_objects
from torch import Tensor

from ovseg_ros.types import Segment, box_xywh

CHUNK_PIXELS = 2**25
"""Mask pixels that are brought to image size at a time; bounds the memory, not the result."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When a proposal becomes a segment.

    Attributes:
        score: Least probability of its name.
        overlap: Least share of its mask that no better proposal takes.
        mask: Least probability of a pixel of its mask.
    """

    score: float = 0.3
    overlap: float = 0.5
    mask: float = 0.5


@torch.inference_mode()
def merge_proposals(
    masks: Tensor,
    probabilities: Tensor,
    things: Tensor,
    enlarge: Callable[[Tensor], Tensor],
    size_hw: tuple[int, int],
    rules: Rules,
) -> tuple[Tensor, list[tuple[int, float]]]:
    """Merge the proposals of one image into segments.

    Proposals whose best name has at least ``score`` compete: a pixel belongs to the one with the
    highest product of its probabilities, of name and mask, if it lies in that mask. A proposal that
    keeps less than ``overlap`` of its mask is dropped. Stuff of one name is one segment, whose
    score is the mean of its parts' scores, weighed by their pixels.

    Args:
        masks: Mask logits, (Q, h, w).
        probabilities: Of every name, (Q, K).
        things: Which names are countable, (K,) bool.
        enlarge: Brings mask logits (1, q, h, w) to image size (1, q, H, W).
        size_hw: That size.
        rules: When a proposal becomes a segment.

    Returns:
        Segment of every pixel, (H, W) int32 on the device, 0 for none, and for the segments 1.. in
        order the index of the name and the score.
    """
    best, names = probabilities.max(-1)  # (Q,)
    kept = (best >= rules.score).nonzero().flatten()
    best, names = best[kept], names[kept]
    owner, inside, areas = _compete(masks[kept], best, enlarge, size_hw, rules.mask)
    owned = torch.bincount(owner[inside], minlength=len(kept))  # (q,)
    numbers = torch.zeros(len(kept) + 1, dtype=torch.int32)  # the last is for nobody's pixels
    found: list[tuple[int, float]] = []
    stuff: dict[int, int] = {}
    pixels: list[int] = []
    rows = zip(*(x.tolist() for x in (names, best, owned, areas, things[names])), strict=True)
    for row, (name, score, own, area, thing) in enumerate(rows):
        if own == 0 or own < rules.overlap * area:
            continue
        number = 0 if thing else stuff.get(name, 0)
        if number:
            known = found[number - 1][1]
            total = pixels[number - 1] + own
            found[number - 1] = name, (known * pixels[number - 1] + score * own) / total
            pixels[number - 1] = total
        else:
            found.append((name, score))
            pixels.append(own)
            number = len(found)
            if not thing:
                stuff[name] = number
        numbers[row] = number
    lookup = numbers.to(owner.device)
    return lookup[torch.where(inside, owner, len(kept))], found


def _compete(
    masks: Tensor,
    scores: Tensor,
    enlarge: Callable[[Tensor], Tensor],
    size_hw: tuple[int, int],
    least: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return who wins every pixel (H, W), whether it lies in that mask, and the masks' areas."""
    winning = masks.new_full(size_hw, -1.0)
    owner = torch.zeros(size_hw, dtype=torch.int64, device=masks.device)
    inside = torch.zeros(size_hw, dtype=torch.bool, device=masks.device)
    areas = torch.zeros(len(masks), dtype=torch.int64, device=masks.device)
    step = max(1, CHUNK_PIXELS // (size_hw[0] * size_hw[1]))
    for start in range(0, len(masks), step):
        part = slice(start, start + step)
        large = enlarge(masks[None, part])[0].sigmoid()  # (q, H, W)
        within = large >= least
        areas[part] = within.sum((1, 2))
        top, index = (large * scores[part, None, None]).max(0)
        better = top > winning  # of equals the first wins, however the chunks fall
        winning = torch.where(better, top, winning)
        owner = torch.where(better, index + start, owner)
        inside = torch.where(better, within.gather(0, index[None])[0], inside)
    return owner, inside, areas


def list_segments(
    ids: np.ndarray, found: Sequence[tuple[int, float]], categories: np.ndarray
) -> tuple[Segment, ...]:
    """Return the segments of an image, by rising id.

    Args:
        ids: Segment of every pixel, (H, W) integer; 0 is none.
        found: For the segments 1.. the index of the name and the score.
        categories: Category ids of the names, (K,).
    """
    areas = np.bincount(ids.ravel(), minlength=len(found) + 1)
    boxes = find_objects(ids.astype(np.int32), max_label=len(found))
    segments = []
    for number, ((name, score), box) in enumerate(zip(found, boxes, strict=True), start=1):
        segments.append(
            Segment(
                id=number,
                category_id=int(categories[name]),
                score=min(1.0, max(0.0, float(score))),
                area=int(areas[number]),
                box_xywh=box_xywh(box),
            )
        )
    return tuple(segments)
