"""From similarities at patch resolution to label masks at image size.

Up-sampling every category and taking the best would cost time and memory in proportion to the
vocabulary. The same labels come cheaper. The categories that win most patches are enlarged; any
other can win only in the few cells between four patches where it surpasses them at a corner, since
a bilinear map is a weighted mean of the corners, and is evaluated at these cells' pixels alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.models.stages import stage
from ovseg_ros.types import label_dtype

CHIEF = 16
"""How many categories of an image are enlarged as a whole: those that win most patches."""

CHUNK = 2**22
"""Pixels of cells that are evaluated at a time; bounds the memory, not the result."""


@torch.inference_mode()
def label_pixels(
    logits: Tensor,
    ids: np.ndarray,
    *,
    size_hw: tuple[int, int],
    temperature: float,
    background: float | None = None,
    among: Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return label masks and confidences.

    Every pixel gets the category that wins it when all maps are enlarged bilinearly, however many
    categories that makes; ties go to the smaller channel. The confidence is the winner's softmax
    among itself, the background and the (at most ``CHIEF``) categories that win most patches of
    those that surpass the background anywhere.

    Args:
        logits: Similarity of every category, (B, n, h, w) float.
        ids: Ids of all categories, (K,) uint16.
        size_hw: Size (H, W) of the masks in pixels.
        temperature: Divides the logits before the softmax of the confidence.
        background: Constant logit of an unlabelled channel, or None.
        among: Which categories the n channels are, (n,) int64 ascending; all of them if None.

    Returns:
        Labels (B, H, W), uint8 if every id fits and uint16 otherwise, and confidence (B, H, W)
        uint8, 0..255 for a softmax probability of 0..1.
    """
    kind = label_dtype(ids)  # torch hardly knows uint16
    known = torch.from_numpy(ids.astype(np.int32)).to(logits.device)
    known = known.byte() if kind is np.uint8 else known
    known = known if among is None else known[among]
    if background is not None:
        known = F.pad(known, (1, 0))
    with stage("upsample + argmax"):
        if background is not None:  # enlarging lifts no category above its best patch
            rise = logits.amax((0, 2, 3)) > background
            logits, known = logits[:, rise], known[F.pad(rise, (1, 0), value=True)]
            if not logits.shape[1]:
                logits = logits.new_full((len(logits), 1, 1, 1), background - 1)
        found = [_label(image, size_hw, temperature, background) for image in logits]
        labels = torch.stack([_look_up(known, index) for index, _ in found])
        confidence = torch.stack([share for _, share in found])
    with stage("device to host"):
        return labels.cpu().numpy().astype(kind, copy=False), confidence.cpu().numpy()


def _label(
    logits: Tensor, size_hw: tuple[int, int], temperature: float, background: float | None
) -> tuple[Tensor, Tensor]:
    """Return the best channel (H, W) int64 and its confidence (H, W) uint8 of an image (K, h, w).

    Channel 0 is the background where there is one.
    """
    first = _argmax(logits).flatten()  # (h * w,)
    wins = torch.bincount(first, minlength=len(logits))  # (K,)
    most = min(CHIEF, int((wins > 0).sum()))
    enlarged = wins.topk(most).indices.sort().values  # (n,) ascending, for stable ties
    # Divided while they are small: from here on exp() is what the softmax wants.
    maps = _enlarge(logits[enlarged] / temperature, size_hw)  # (n, H, W)
    best, index = _winners(maps)  # (H, W)
    shift, index = 0, _look_up(enlarged, index)
    nothing = None if background is None else background / temperature
    if nothing is not None:
        shift, index = 1, (index + 1).masked_fill_(best <= nothing, 0)
        best = best.clamp_(min=nothing)
    odds = maps.sub_(best).exp_().sum(0)
    if nothing is not None:
        odds += (nothing - best).exp_()
    for rows, columns, values, channels in _challenges(
        logits, first, enlarged, size_hw, background
    ):
        channels, values = channels + shift, values / temperature
        before, holder = best[rows, columns], index[rows, columns]
        # Ties go to the smaller channel, as they would if all were enlarged.
        won = (values > before) | ((values == before) & (channels < holder))
        odds[rows, columns] = torch.where(
            won,
            odds[rows, columns] * (before - values).clamp(max=0).exp() + 1,
            odds[rows, columns],
        )
        index[rows, columns] = torch.where(won, channels, holder)
    return index, (255 / odds).round_().to(torch.uint8)


def _argmax(logits: Tensor) -> Tensor:
    """Return the first of the best channels (h, w) int64 of an image (K, h, w)."""
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        return logits.argmax(0)
    # NumPy's is vectorised where the channels of a patch lie side by side, as products leave them.
    return torch.from_numpy(logits.permute(1, 2, 0).numpy().argmax(2))


def _enlarge(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return maps (n, h, w) at image size (n, H, W), bilinear, pixels at their centres."""
    if maps.device.type != "cpu":
        return F.interpolate(maps[None], size=size_hw, mode="bilinear")[0]
    # OpenCV does the same, on float32 in a tenth of the time.
    found = np.empty((len(maps), *size_hw), np.float32)
    for small, large in zip(maps.float().numpy(), found, strict=True):
        cv2.resize(small, size_hw[::-1], dst=large, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(found)


def _winners(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest values (H, W) of maps (n, H, W), and the first map of each (H, W)."""
    if maps.device.type != "cpu":
        return maps.max(0)  # type: ignore[return-value]
    # The maximum alone is vectorised, and so is looking for it; both at once is not.
    best = maps.amax(0)
    index = torch.zeros(best.shape, dtype=torch.int32)
    for number in reversed(range(len(maps))):
        index.masked_fill_(maps[number] == best, number)
    return best, index


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return ``table[index]`` of a table (n,), like ``index``, in a tenth of its time on a CPU."""
    return table.index_select(0, index.flatten()).view(index.shape)


class _Axis(NamedTuple):
    """Where the pixels of one axis lie among its patches.

    Attributes:
        after: The patch after each one, the last for itself, (n,) int64.
        pixels: Pixels between a patch and the one after, (n, p) int64, -1 behind the last.
        shares: How far each of them is on its way to ``after``, (n, p) float32.
    """

    after: Tensor
    pixels: Tensor
    shares: Tensor


def _axis(count: int, size: int, device: torch.device) -> _Axis:
    """Lay ``size`` pixels over ``count`` patches, as bilinear interpolation does it."""
    pixel = torch.arange(size, device=device)
    at = ((pixel + 0.5) * (count / size) - 0.5).clamp(0, count - 1)
    cell = at.long()
    place = pixel - torch.searchsorted(cell, torch.arange(count, device=device))[cell]
    pixels = torch.full((count, int(place.max()) + 1), -1, device=device)
    shares = torch.zeros(pixels.shape, device=device)
    pixels[cell, place], shares[cell, place] = pixel, (at - cell).float()
    return _Axis((torch.arange(count, device=device) + 1).clamp(max=count - 1), pixels, shares)


def _challenges(
    logits: Tensor,
    first: Tensor,
    enlarged: Tensor,
    size_hw: tuple[int, int],
    background: float | None,
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield the best of the channels that are not enlarged, at pixels where one may win.

    Yields:
        Rows, columns (P,) int64, values (P,) float32 and channels (P,) int64; no pixel twice.
    """
    count = logits.shape[2]
    if len(enlarged) == len(logits):
        return
    rows, columns = (
        _axis(n, size, logits.device) for n, size in zip(logits.shape[1:], size_hw, strict=True)
    )
    maps, places = logits.flatten(1), _corner_places(rows, columns)  # (K, C), (4, C)
    channels, may, cells = _challengers(
        maps, first, places, enlarged, background
    )  # (n,), (n, M), (M,)
    if not len(cells):
        return
    order = torch.arange(len(channels), 0, -1, device=may.device)[:, None]
    counts, most, pixels = may.sum(0), 1, rows.pixels.shape[1] * columns.pixels.shape[1]
    while most < 2 * len(channels):
        alike = ((counts > most // 2) & (counts <= most)).nonzero()[:, 0]
        width = min(most, len(channels))
        for part in alike.split(max(1, CHUNK // (pixels * width))):
            ranked = (may[:, part] * order).topk(width, dim=0)  # ascending channels, then padding
            owner, cell = channels[ranked.indices], cells[part]  # (c, M), (M,)
            corner = maps[owner, places[:, None, cell]].float()  # (4, c, M)
            corner = corner.masked_fill(ranked.values == 0, -1e30)  # infinities would make NaN
            y, x = cell // count, cell % count
            left = torch.lerp(corner[0, ..., None], corner[2, ..., None], rows.shares[y])
            right = torch.lerp(corner[1, ..., None], corner[3, ..., None], rows.shares[y])
            values, first = torch.lerp(
                left[..., None], right[..., None], columns.shares[x][:, None]
            ).max(0)  # (M, y, x)
            winner = owner.gather(0, first.flatten(1).T).T.reshape(first.shape)
            down, across = rows.pixels[y][:, :, None], columns.pixels[x][:, None]
            real = (down >= 0) & (across >= 0)  # (M, y, x)
            where = (down.expand_as(real)[real], across.expand_as(real)[real])
            yield *where, values[real], winner[real]
        most *= 2


def _corner_places(rows: _Axis, columns: _Axis) -> Tensor:
    """Return the patches at every cell's corners, (4, C) int64 with C = h * w."""
    width = len(columns.after)
    top = torch.arange(len(rows.after), device=rows.after.device)[:, None] * width
    left, below = torch.arange(width, device=rows.after.device), rows.after[:, None] * width
    corners = (top + left, top + columns.after, below + left, below + columns.after)
    return torch.stack([corner.flatten() for corner in corners])


def _challengers(
    maps: Tensor, first: Tensor, places: Tensor, enlarged: Tensor, background: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return channels that are not enlarged, and where they may win pixels.

    A channel wins nothing in a cell where another is as good at all four corners. It is compared
    with the corners' winners and with the best of the others in the middle.

    Args:
        maps: (K, C) values of all channels at the patches.
        first: (C,) the best channel of every patch.
        places: (4, C) patches at the corners of every cell.
        enlarged: The channels that are enlarged.
        background: Value of the channel that is everywhere the same, if any.

    Returns:
        Channels (n,) int64, which of them may win in a cell (n, M) bool, the cells (M,) int64.
    """
    other = torch.ones(len(maps), dtype=torch.bool, device=maps.device)
    other[enlarged] = False
    corner = first[places]  # (4, C)
    # A cell with one winner at all corners is that winner's; if enlarged, there is nothing to do.
    cells = ((corner != corner[0]).any(0) | other[corner[0]]).nonzero()[:, 0]  # (M,)
    at, corner = places[:, cells], corner[:, cells]  # (4, M)
    # What each corner's winner has at its worst corner, every winner of the cell has at least.
    least = maps[corner[:, None], at[None]].amin(1).amax(0)  # (M,)
    if background is not None:
        least = least.clamp(min=background)
    floor = torch.full_like(maps[0], torch.inf)
    floor.scatter_reduce_(0, at.flatten(), least.repeat(4), "amin")
    channels = ((maps.amax(1) >= floor.min()) & other).nonzero()[:, 0]
    channels = channels[(maps[channels] >= floor).any(1)]
    values = maps[channels][:, at]  # (n, 4, M)
    may = values.amax(1) >= least
    rivals = list(corner)
    if len(channels):
        rivals.append(channels[values.mean(1).argmax(0)])
    for rival in rivals:
        better = (values > maps[rival, at]).any(1)
        may &= better | (channels[:, None] == rival)
    taken = may.any(0)
    return channels, may[:, taken], cells[taken]
