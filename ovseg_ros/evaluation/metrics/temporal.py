"""How steady masks and words are over time, as pure functions of numpy arrays."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import numpy as np


def video_consistency(
    truth: Sequence[np.ndarray],
    predicted: Sequence[np.ndarray],
    *,
    window: int,
    void: Collection[int] = (),
) -> float:
    """Return VC of a number of frames (VSPW, Miao et al., CVPR 2021).

    Of the pixels whose ground truth stays the same over ``window`` consecutive frames, the share
    that is predicted right in all of them; mean over all windows that have such pixels.

    Args:
        truth: Labels of every frame, each (H, W) integer.
        predicted: Predicted labels of every frame in the same numbers.
        window: Frames per window: 8 for VC8, 16 for VC16.
        void: Values of ``truth`` that do not count.

    Returns:
        The mean in [0, 1], NaN if there is no window with steady ground truth.

    Raises:
        ValueError: if the frames do not fit each other, or the window is empty.
    """
    _check(truth, predicted)
    if window < 1:
        raise ValueError(f"window: expected at least 1 frame, got {window}")
    shares = []
    for start in range(len(truth) - window + 1):
        first = truth[start]
        steady = ~np.isin(first, list(void))
        right = steady & (predicted[start] == first)
        for k in range(start + 1, start + window):
            steady &= truth[k] == first
            right &= predicted[k] == first
        if steady.any():
            shares.append(float((right & steady).sum() / steady.sum()))
    return float(np.mean(shares)) if shares else float("nan")


def label_churn(
    truth: Sequence[np.ndarray], predicted: Sequence[np.ndarray], *, void: Collection[int] = ()
) -> float:
    """Return the share of static pixels whose predicted label changes from a frame to the next.

    A pixel is static from one frame to the next if its ground truth stays the same and is not
    void. Right or wrong does not matter: only flicker counts.

    Raises:
        ValueError: if the frames do not fit each other.
    """
    _check(truth, predicted)
    static = changed = 0
    for k in range(1, len(truth)):
        same = (truth[k] == truth[k - 1]) & ~np.isin(truth[k], list(void))
        static += int(same.sum())
        changed += int((same & (predicted[k] != predicted[k - 1])).sum())
    return changed / static if static else float("nan")


def vocabulary_jaccard(vocabularies: Sequence[Collection[str]]) -> float:
    """Return the mean Jaccard index of every vocabulary with the one before it.

    1 is a vocabulary that never changes. Two empty ones are equal. NaN for less than two.
    """
    sets = [frozenset(names) for names in vocabularies]
    values = [len(a & b) / len(a | b) if a | b else 1.0 for a, b in itertools.pairwise(sets)]
    return float(np.mean(values)) if values else float("nan")


def time_to_stable(vocabularies: Sequence[Collection[str]], stamps: Sequence[float]) -> float:
    """Return after which time the vocabulary never changes again, in the stamps' unit.

    Args:
        vocabularies: The names in force at every time.
        stamps: The times, ascending.

    Returns:
        The time from the first stamp to the last change; 0 if there is none, NaN if the last of
        several vocabularies differs from the one before it (it never settled).

    Raises:
        ValueError: if there are not as many stamps as vocabularies, or none.
    """
    if len(vocabularies) != len(stamps) or not stamps:
        raise ValueError(
            f"stamps: expected one for each of {len(vocabularies)} vocabularies, got {len(stamps)}"
        )
    sets = [frozenset(names) for names in vocabularies]
    changes = [k for k in range(1, len(sets)) if sets[k] != sets[k - 1]]
    if not changes:
        return 0.0
    return float("nan") if changes[-1] == len(sets) - 1 else stamps[changes[-1]] - stamps[0]


def _check(truth: Sequence[np.ndarray], predicted: Sequence[np.ndarray]) -> None:
    shapes = {frame.shape for frame in (*truth, *predicted)}
    if len(truth) != len(predicted) or len(shapes) > 1:
        raise ValueError(
            f"predicted: expected {len(truth)} frames of one size, got {len(predicted)} of "
            f"{sorted(shapes)}"
        )
