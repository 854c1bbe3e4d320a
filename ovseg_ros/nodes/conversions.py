"""The currency types of the package to messages and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from std_msgs.msg import Header

from ovseg_ros.msg import Category as CategoryMsg
from ovseg_ros.msg import FrameCategories, QueryResult, SegmentedCategory
from ovseg_ros.msg import Vocabulary as VocabularyMsg
from ovseg_ros.nodes.vision_msgs_probe import VISION_MSGS
from ovseg_ros.types import (
    MAX_ID,
    Category,
    Discovery,
    Mode,
    Proposal,
    Source,
    Vocabulary,
    normalise_name,
)
from ovseg_ros.vocabulary.groups import GroupTable

if TYPE_CHECKING:  # brings torch and the models along
    from ovseg_ros.pipeline import QueryAnswer

LabelInfo: Any = None
VisionClass: Any = None
if VISION_MSGS is not None:
    LabelInfo, VisionClass = VISION_MSGS.LabelInfo, VISION_MSGS.VisionClass

MAX_PROPOSED = 4096
"""Most names and synonyms in one message of proposals."""

_MAX_SYNONYMS = 64
"""Most synonyms of one name in a vocabulary; no vocabulary of ours has more."""

_LATEST = 2**31 * 10**9 - 1
"""Last nanosecond of a stamp, in 2038."""

_SOURCES = {
    Source.AUTO: CategoryMsg.SOURCE_AUTO,
    Source.QUERY: CategoryMsg.SOURCE_QUERY,
    Source.FIXED: CategoryMsg.SOURCE_FIXED,
}
_MODES = {
    Mode.AUTO: VocabularyMsg.MODE_AUTO,
    Mode.FIXED: VocabularyMsg.MODE_FIXED,
    Mode.EXTEND: VocabularyMsg.MODE_EXTEND,
}


def mode_from_msg(mode: int) -> Mode:
    """Return the mode with a ``MODE_`` constant's value.

    Raises:
        ValueError: if there is none.
    """
    for known, value in _MODES.items():
        if value == mode:
            return known
    raise ValueError(f"mode: expected 0 (AUTO), 1 (FIXED) or 2 (EXTEND), got {mode}")


def stamp_to_msg(nanoseconds: int) -> Time:
    """Return a time stamp from nanoseconds, the nearest one that a message can hold."""
    nanoseconds = min(max(nanoseconds, 0), _LATEST)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def duration_to_msg(nanoseconds: int) -> Duration:
    """Return a duration of at least 0 from nanoseconds, the nearest one that a message can hold."""
    nanoseconds = min(max(nanoseconds, 0), _LATEST)
    return Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def stamp_from_msg(stamp: Time) -> int:
    """Return a time stamp in nanoseconds."""
    return stamp.sec * 10**9 + stamp.nanosec


def category_to_msg(category: Category) -> CategoryMsg:
    """Return a category as a message."""
    return CategoryMsg(
        id=category.id,
        name=category.name,
        synonyms=list(category.synonyms),
        source=_SOURCES[category.source],
        score=category.score,
        first_seen=stamp_to_msg(round(category.first_seen * 1e9)),
        last_seen=stamp_to_msg(round(category.last_seen * 1e9)),
        group=category.group,
        is_thing=category.is_thing,
    )


def category_from_msg(message: CategoryMsg) -> Category:
    """Return a category from a message.

    Raises:
        ValueError: if a field does not hold what :class:`Category` promises.
    """
    sources = {value: source for source, value in _SOURCES.items()}
    if message.source not in sources:
        raise ValueError(f"source: expected one of {sorted(sources)}, got {message.source}")
    return Category(
        id=message.id,
        name=message.name,
        synonyms=tuple(message.synonyms),
        source=sources[message.source],
        score=message.score,
        first_seen=stamp_from_msg(message.first_seen) / 1e9,
        last_seen=stamp_from_msg(message.last_seen) / 1e9,
        group=message.group,
        is_thing=message.is_thing,
    )


def vocabulary_to_msg(vocabulary: Vocabulary, stamp: Time) -> VocabularyMsg:
    """Return a vocabulary as a message; ``stamp`` is when it took effect."""
    return VocabularyMsg(
        header=Header(stamp=stamp),
        session=vocabulary.session,
        version=vocabulary.version,
        mode=_MODES[vocabulary.mode],
        categories=[category_to_msg(category) for category in vocabulary.categories],
    )


def vocabulary_from_msg(message: VocabularyMsg) -> Vocabulary:
    """Return a vocabulary from a message.

    Raises:
        ValueError: if a field does not hold what :class:`Vocabulary` promises.
    """
    many = max((len(category.synonyms) for category in message.categories), default=0)
    if len(message.categories) > MAX_ID or many > _MAX_SYNONYMS:
        raise ValueError(
            f"categories: expected at most {MAX_ID} of at most {_MAX_SYNONYMS} synonyms each, got "
            f"{len(message.categories)} of up to {many}"
        )
    return Vocabulary(
        session=message.session,
        version=message.version,
        mode=mode_from_msg(message.mode),
        categories=tuple(category_from_msg(category) for category in message.categories),
    )


def proposals_to_msg(
    found: Discovery, header: Header, version: int, known: Vocabulary | None = None
) -> VocabularyMsg:
    """Return what a discovery proposes as a message; words that ``known`` lacks have id 0.

    Args:
        found: The discovery.
        header: Header of the image that was looked at.
        version: Running number of the discovery.
        known: Vocabulary to take ids from.
    """

    def id_of(name: str) -> int:
        category = known.named(name) if known else None
        return category.id if category else 0

    return VocabularyMsg(
        header=header,
        version=version,
        mode=VocabularyMsg.MODE_AUTO,
        categories=[
            CategoryMsg(
                id=id_of(proposal.name),
                name=proposal.name,
                synonyms=list(proposal.synonyms),
                source=CategoryMsg.SOURCE_AUTO,
                score=proposal.score,
                first_seen=header.stamp,
                last_seen=header.stamp,
            )
            for proposal in found.proposals
        ],
    )


def proposals_from_msg(message: VocabularyMsg) -> tuple[Proposal, ...]:
    """Return the proposals of a message.

    Raises:
        ValueError: if a name or score is not what :class:`Proposal` promises, or there are more
            names than a discovery could find.
    """
    count = sum(1 + len(category.synonyms) for category in message.categories)
    if count > MAX_PROPOSED:
        raise ValueError(f"categories: expected at most {MAX_PROPOSED} names, got {count}")
    return tuple(
        Proposal(
            name=normalise_name(category.name),
            score=category.score,
            synonyms=tuple(normalise_name(name) for name in category.synonyms),
        )
        for category in message.categories
    )


def label_info_to_msg(names: Mapping[str, int], stamp: Time) -> Any:
    """Return what the values of a mask are called, by name, as ``vision_msgs/LabelInfo``."""
    return LabelInfo(
        header=Header(stamp=stamp),
        class_map=[VisionClass(class_id=i, class_name=name) for name, i in names.items()],
    )


def groups_to_msg(groups: GroupTable, vocabulary: Vocabulary, stamp: Time) -> VocabularyMsg:
    """Return the groups as a vocabulary: ids of group masks, names in force as synonyms."""
    members = groups.members(vocabulary)
    return VocabularyMsg(
        header=Header(stamp=stamp),
        version=vocabulary.version,
        mode=VocabularyMsg.MODE_FIXED,
        categories=[
            CategoryMsg(
                id=i,
                name=group,
                synonyms=list(members[group]),
                source=CategoryMsg.SOURCE_FIXED,
                score=1.0,
                group=group,
            )
            for group, i in groups.ids.items()
        ],
    )


def query_results_to_msg(answers: Iterable[QueryAnswer]) -> list[QueryResult]:
    """Return the answers of a query as messages."""
    results = []
    for answer in answers:
        x, y, width, height = answer.box_xywh
        results.append(
            QueryResult(
                name=answer.name,
                present=answer.present,
                score=answer.score,
                label=answer.label,
                pixels=answer.pixels,
                x=x,
                y=y,
                width=width,
                height=height,
            )
        )
    return results


def frame_categories_to_msg(
    labels: np.ndarray,
    confidence: np.ndarray,
    vocabulary: Vocabulary,
    header: Header,
    *,
    age_ns: int = 0,
) -> FrameCategories:
    """Return what a label mask contains, largest category first.

    Args:
        labels: Category ids, (H, W) uint8 or uint16.
        confidence: Confidence of the labels, (H, W) uint8.
        vocabulary: Vocabulary the mask was made with.
        header: Header of the mask.
        age_ns: How much older the image is that the mask was made from, in nanoseconds.
    """
    names = {category.id: category.name for category in vocabulary.categories}
    flat, (_, width) = labels.ravel(), labels.shape
    # Stretches of a row with one label are few, and hold boxes, areas and centroids of all
    # categories at once; a mask per category would cost as much for each of them.
    begins = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=flat.size)
    ys, lefts = np.divmod(starts, width)
    # What is in view is numbered anew, so that the cost does not grow with the ids.
    owners = flat[starts]
    ids = np.flatnonzero(np.bincount(owners))
    place, size = np.zeros(int(ids[-1]) + 1, np.intp), len(ids)
    place[ids] = np.arange(size)
    owner = place[owners]
    top, bottom, left, right = np.zeros((4, size), np.intp)
    top[owner[::-1]], bottom[owner] = ys[::-1], ys  # rows ascend, and the last one written stays
    left[:] = width
    np.minimum.at(left, owner, lefts)
    np.maximum.at(right, owner, lefts + lengths)
    pixels = np.bincount(owner, lengths)
    sums_x = np.bincount(owner, lengths * (lefts + (lengths - 1) / 2))
    sums_y = np.bincount(owner, lengths * ys)
    confidences = np.bincount(owner, np.add.reduceat(confidence.ravel(), starts, dtype=np.int64))
    categories = []
    for i in sorted(range(size), key=lambda i: -pixels[i]):
        if ids[i] not in names:
            continue
        categories.append(
            SegmentedCategory(
                id=int(ids[i]),
                name=names[ids[i]],
                pixels=int(pixels[i]),
                mean_confidence=float(confidences[i] / pixels[i] / 255),
                x=int(left[i]),
                y=int(top[i]),
                width=int(right[i] - left[i]),
                height=int(bottom[i] - top[i] + 1),
                centroid_x=float(sums_x[i] / pixels[i]),
                centroid_y=float(sums_y[i] / pixels[i]),
            )
        )
    return FrameCategories(
        header=header,
        session=vocabulary.session,
        vocabulary_version=vocabulary.version,
        age=duration_to_msg(age_ns),
        categories=categories,
    )
