"""How well objects keep their ids: CLEAR MOT and HOTA on instance masks.

CLEAR MOT: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance", 2008.
HOTA: Luiten et al., arXiv 2009.07736. Both as in MOTS: similarity is the IoU of masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

_ALPHAS = np.arange(0.05, 0.99, 0.05)
_MATCH = 0.5
_EPS = np.finfo(float).eps


@dataclass(frozen=True, kw_only=True)
class TrackScore:
    """How well objects were followed; shares in [0, 1].

    Attributes:
        mota: 1 - (misses + false alarms + switches) / objects; negative where there are more.
        id_switches: How often an object came back under another id.
        hota: Mean over similarity thresholds of sqrt(detection accuracy x association accuracy).
        deta: Detection accuracy of HOTA.
        assa: Association accuracy of HOTA.
        objects: Objects in all frames together.
        misses: Objects without a track.
        false_alarms: Tracks without an object.
    """

    mota: float
    id_switches: int
    hota: float
    deta: float
    assa: float
    objects: int
    misses: int
    false_alarms: int


class TrackScorer:
    """Collects frames, then scores them."""

    def __init__(self) -> None:
        """Begin without frames."""
        self._frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, truth: np.ndarray, tracks: np.ndarray) -> None:
        """Take the next frame.

        Args:
            truth: True object of every pixel, (H, W) integers, 0 for none.
            tracks: Track id of every pixel, (H, W) integers, 0 for none.

        Raises:
            ValueError: if the sizes differ.
        """
        if truth.shape != tracks.shape:
            raise ValueError(f"tracks: expected {truth.shape} as truth, got {tracks.shape}")
        true_ids, true_index = np.unique(truth, return_inverse=True)
        ids, index = np.unique(tracks, return_inverse=True)
        pairs = true_index.ravel() * len(ids) + index.ravel()
        shared = np.bincount(pairs, minlength=len(true_ids) * len(ids)).astype(float)
        shared = shared.reshape(len(true_ids), len(ids))
        union = shared.sum(1, keepdims=True) + shared.sum(0, keepdims=True) - shared
        iou = shared / union
        self._frames.append((true_ids[true_ids > 0], ids[ids > 0], iou[true_ids > 0][:, ids > 0]))

    def score(self) -> TrackScore:
        """Return the scores of all frames.

        Raises:
            ValueError: if there is no object in any of them.
        """
        objects = sum(len(true) for true, _, _ in self._frames)
        if not objects:
            raise ValueError("tracks: expected frames with objects, got none")
        misses, false_alarms, switches = self._clear()
        hota, deta, assa = self._hota()
        return TrackScore(
            mota=1 - (misses + false_alarms + switches) / objects,
            id_switches=switches,
            hota=hota,
            deta=deta,
            assa=assa,
            objects=objects,
            misses=misses,
            false_alarms=false_alarms,
        )

    def _clear(self) -> tuple[int, int, int]:
        """Return misses, false alarms and switches: pairs that hold are kept, others assigned."""
        misses = false_alarms = switches = 0
        last: dict[int, int] = {}  # the track that an object was matched with last
        before: dict[int, int] = {}  # the same in the previous frame only
        for true, ids, iou in self._frames:
            kept = np.array([[before.get(t) == i for i in ids] for t in true]).reshape(iou.shape)
            worth = np.where(iou >= _MATCH - _EPS, iou + 1000.0 * kept, 0.0)
            rows, columns = linear_sum_assignment(-worth)
            matched = [(r, c) for r, c in zip(rows, columns, strict=True) if worth[r, c] > _EPS]
            before = {int(true[r]): int(ids[c]) for r, c in matched}
            switches += sum(last.get(t, i) != i for t, i in before.items())
            last |= before
            misses += len(true) - len(matched)
            false_alarms += len(ids) - len(matched)
        return misses, false_alarms, switches

    def _hota(self) -> tuple[float, float, float]:
        """Return HOTA, DetA and AssA, each the mean over thresholds (equations 4 to 9)."""
        true_all = {
            t: n for n, t in enumerate(sorted({int(t) for f in self._frames for t in f[0]}))
        }
        ids_all = {i: n for n, i in enumerate(sorted({int(i) for f in self._frames for i in f[1]}))}
        shape = (len(true_all), len(ids_all))
        frames = [
            ([true_all[int(t)] for t in true], [ids_all[int(i)] for i in ids], iou)
            for true, ids, iou in self._frames
        ]
        true_count, id_count, likely = np.zeros(shape[0]), np.zeros(shape[1]), np.zeros(shape)
        for true, ids, iou in frames:
            rest = iou.sum(1, keepdims=True) + iou.sum(0, keepdims=True) - iou
            likely[np.ix_(true, ids)] += np.divide(
                iou, rest, out=np.zeros_like(iou), where=rest > _EPS
            )
            true_count[true] += 1
            id_count[ids] += 1
        either = true_count[:, None] + id_count[None]
        aligned = likely / (either - likely)
        hits = np.zeros(len(_ALPHAS))
        matches = np.zeros((len(_ALPHAS), *shape))
        for true, ids, iou in frames:
            rows, columns = linear_sum_assignment(-aligned[np.ix_(true, ids)] * iou)
            for row, column in zip(rows, columns, strict=True):
                similar = iou[row, column] >= _ALPHAS - _EPS
                hits += similar
                matches[:, true[row], ids[column]] += similar
        deta = hits / np.maximum(true_count.sum() + id_count.sum() - hits, 1)
        association = matches / np.maximum(either - matches, 1)
        assa = (matches * association).sum((1, 2)) / np.maximum(hits, 1)
        return float(np.sqrt(deta * assa).mean()), float(deta.mean()), float(assa.mean())
