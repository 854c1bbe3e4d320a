"""Running score of label masks against ground truth, and the check of their names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ovseg_ros.evaluation.metrics.semantic import (
    confusion,
    iou_per_class,
    mean_iou,
    vocabulary_score,
)
from ovseg_ros.types import Mode, Vocabulary

NameMapping = Callable[..., dict[str, "str | None"]]
"""(names, classes, synonyms=...) -> class of each name; `evaluation.mapping.lexical.map_names`."""


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """A vocabulary and when it was published, in nanoseconds of its sender."""

    vocabulary: Vocabulary
    sent: int


Version = tuple[str, int]
"""Session and version of a vocabulary: the versions of a node that was restarted begin anew."""

_KEPT_VERSIONS = 1_000


class NameCheck:
    """Tells whether the ids of a mask were announced before the mask left.

    Topics are not ordered against each other on their way, so that the senders' times are
    compared, and a mask waits for its vocabulary until that has come or ``patience`` newer masks
    have.
    """

    def __init__(self, patience: int = 20) -> None:
        """Start without any vocabulary."""
        self._patience = patience
        self._announced: OrderedDict[Version, Announcement] = OrderedDict()
        self._waiting: list[tuple[Version, int, frozenset[int]]] = []
        self.checked = self.stale = 0

    def announce(self, vocabulary: Vocabulary, sent: int) -> None:
        """Remember a vocabulary, and forget the one before the last thousand."""
        version = vocabulary.session, vocabulary.version
        self._announced[version] = Announcement(vocabulary=vocabulary, sent=sent)
        self._review()
        if len(self._announced) > _KEPT_VERSIONS:
            self._announced.popitem(last=False)

    def version(self, version: Version) -> Vocabulary | None:
        """Return the vocabulary of this session and version, or None if it has not come."""
        known = self._announced.get(version)
        return known.vocabulary if known else None

    def mask(self, version: Version, ids: frozenset[int], sent: int) -> None:
        """Check a mask with these ids, 0 left out."""
        self._waiting.append((version, sent, ids))
        self._review()

    def finish(self) -> None:
        """Judge the masks that still wait."""
        self._review(patience=0)

    def _review(self, patience: int | None = None) -> None:
        limit = self._patience if patience is None else patience
        waiting = []
        for place, (version, sent, ids) in enumerate(reversed(self._waiting)):
            known = self._announced.get(version)
            if known is None and place < limit:
                waiting.append((version, sent, ids))
            elif known is not None or not self._joined_after(version):
                self.checked += 1
                self.stale += known is None or not (
                    known.sent <= sent and ids <= set(known.vocabulary.ids.tolist())
                )
        self._waiting = waiting[::-1]

    def _joined_after(self, version: Version) -> bool:
        """Whether the version is older than the first one we know, which nobody tells us."""
        session, number = version
        known = [other for own, other in self._announced if own == session]
        return bool(known) and number < min(known)


class LiveScore:
    """Running confusion of masks against ground truth, apart for each mode of the vocabulary."""

    def __init__(self, truth: Vocabulary, map_names: NameMapping) -> None:
        """Score against these classes; ``map_names`` says which class a word means."""
        self._truth, self._map_names = truth, map_names
        self._classes = truth.names
        self._matrices: dict[Mode, np.ndarray] = {}
        self._shares = np.zeros(len(truth) + 1, np.int64)
        self._mappings: OrderedDict[tuple[str, ...], dict[str, str | None]] = OrderedDict()
        self.frames: dict[Mode, int] = {}

    def mapping(self, names: Sequence[str]) -> Mapping[str, str | None]:
        """Return the class of each name, or None."""
        key = tuple(names)
        if key not in self._mappings:
            synonyms = {c.name: c.synonyms for c in self._truth.categories}
            self._mappings[key] = self._map_names(key, self._classes, synonyms=synonyms)
            if len(self._mappings) > 64:
                self._mappings.popitem(last=False)
        return self._mappings[key]

    def add(self, labels: np.ndarray, truth: np.ndarray, vocabulary: Vocabulary) -> None:
        """Score a mask (H, W) made with ``vocabulary`` against ground truth (H, W)."""
        index = {name: i for i, name in enumerate(self._classes)}
        classes = len(self._classes)
        to_class = np.full(int(max(labels.max(), vocabulary.ids.max(initial=0))) + 1, classes)
        mapping = self.mapping(vocabulary.names)
        for category in vocabulary.categories:
            meant = mapping[category.name]
            if meant is not None:
                to_class[category.id] = index[meant]
        of_truth = np.full(256, -1)
        of_truth[self._truth.ids] = np.arange(classes)
        true = of_truth[truth]
        matrix = confusion(true, to_class[labels], classes)
        self._matrices[vocabulary.mode] = self._matrices.get(vocabulary.mode, 0) + matrix
        self.frames[vocabulary.mode] = self.frames.get(vocabulary.mode, 0) + 1
        self._shares += np.bincount(true.ravel() + 1, minlength=classes + 1)

    def report(self, discovered: Sequence[str] = ()) -> dict[str, Any]:
        """Return mIoU by mode, IoU by class, and precision and recall of discovered names."""
        report: dict[str, Any] = {"frames_evaluated": sum(self.frames.values())}
        for mode, matrix in self._matrices.items():
            ious = iou_per_class(matrix)
            present = matrix.sum(1) > 0
            report[f"miou_{mode.value}"] = mean_iou(matrix)
            report[f"per_category_{mode.value}"] = {
                name: float(ious[i]) for i, name in enumerate(self._classes) if present[i]
            }
        labelled = self._shares[1:]
        if discovered and labelled.sum():
            shares = {
                name: float(count / labelled.sum())
                for name, count in zip(self._classes, labelled, strict=True)
                if count
            }
            score = vocabulary_score(discovered, self.mapping(discovered), shares)
            report["vocabulary_precision"] = score.precision
            report["vocabulary_recall"] = score.recall
        return report
