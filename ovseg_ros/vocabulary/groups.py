"""Open names to stable classes, for consumers whose classes are fixed, such as a costmap."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ovseg_ros.characters import unseen
from ovseg_ros.types import MAX_MONO8_ID, MAX_NAME_LENGTH, UNLABELLED, Vocabulary

UNKNOWN = "unknown"
"""Group of the categories that are in none."""

UNKNOWN_ID = 1
"""Value of ``UNKNOWN`` in group masks; the other groups follow from 2."""


def normalise_group(group: str) -> str:
    """Return a group's name with single spaces; its case is kept.

    Raises:
        ValueError: if it is too long or not printable.
    """
    clean = " ".join(group.split())
    if len(clean) > MAX_NAME_LENGTH or unseen(clean) is not None:
        raise ValueError(
            f"groups: expected at most {MAX_NAME_LENGTH} printable characters, got {clean[:80]!r}"
        )
    return clean


class GroupTable:
    """The groups' ids: append-only, and the same in every session for those of the configuration.

    0 is unlabelled, 1 is ``UNKNOWN``; then come the configured groups in their order, then those
    of operators as they appear. More than 254 do not fit an 8-bit mask and count as unknown.
    """

    def __init__(self, groups: Iterable[str] = ()) -> None:
        """Start with the configured groups in their order; repeats count once."""
        self._ids = {UNKNOWN: UNKNOWN_ID}
        for group in groups:
            self._id(group)

    @property
    def ids(self) -> dict[str, int]:
        """Id of every group that was ever seen, by rising id."""
        return dict(self._ids)

    def lookup(self, vocabulary: Vocabulary) -> np.ndarray:
        """Return the group id of every category id, (largest id + 1,) uint8.

        ``table[labels]`` turns a label mask into a group mask.
        """
        table = np.full(int(max(vocabulary.ids, default=0)) + 1, UNKNOWN_ID, np.uint8)
        table[UNLABELLED] = UNLABELLED
        for category in vocabulary.categories:
            table[category.id] = self._id(category.group or UNKNOWN)
        return table

    def members(self, vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
        """Return the names in force by group; a group may have none."""
        names: dict[int, list[str]] = {}
        table = self.lookup(vocabulary)
        for category in vocabulary.categories:
            names.setdefault(int(table[category.id]), []).append(category.name)
        return {group: tuple(names.get(i, ())) for group, i in self._ids.items()}

    def _id(self, group: str) -> int:
        if group not in self._ids:
            if len(self._ids) >= MAX_MONO8_ID:
                return UNKNOWN_ID
            self._ids[group] = len(self._ids) + 1
        return self._ids[group]
