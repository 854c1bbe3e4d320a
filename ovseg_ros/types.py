"""The currency of the package: categories, vocabularies, proposals, segmentations.

Everything here is frozen, validated on construction and free of ROS and torch, so that a value
which exists is a value which is right.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from ovseg_ros.characters import unseen

UNLABELLED = 0
"""Label of pixels that carry no category."""

MAX_MONO8_ID = 254
"""Largest category id in an 8-bit mask: 0 is unlabelled and 255 is never assigned."""

MAX_ID = 65_534
"""Largest category id in a 16-bit mask (65 535 is never assigned)."""

MAX_NAME_LENGTH = 64
"""Longest category name in characters; longer ones are sentences, not names."""


class Source(str, Enum):
    """Who put a category into the vocabulary."""

    AUTO = "auto"
    QUERY = "query"
    FIXED = "fixed"


class Mode(str, Enum):
    """How the vocabulary lives: discovered, fixed by the operator, or both together."""

    AUTO = "auto"
    FIXED = "fixed"
    EXTEND = "extend"


def spelling_key(phrase: str) -> str:
    """Return a phrase without case, spaces and hyphens: "race car", "race-car" and "racecar"."""
    return "".join(character for character in phrase.casefold() if character.isalnum())


def normalise_name(name: str) -> str:
    """Return a category name in its one written form: lower case, single spaces, NFC.

    Raises:
        ValueError: if the name is empty, longer than ``MAX_NAME_LENGTH``, or has a character that
            shows nothing and joins nothing.
    """
    if not isinstance(name, str):
        raise ValueError(f"name: expected a string, got {type(name).__name__}")
    clean = unicodedata.normalize("NFC", " ".join(name.lower().split()))
    if not clean:
        raise ValueError(f"name: expected at least one visible character, got {name!r}")
    if len(clean) > MAX_NAME_LENGTH:
        raise ValueError(
            f"name: expected at most {MAX_NAME_LENGTH} characters, "
            f"got {len(clean)}: {clean[:40]!r}..."
        )
    hidden = unseen(clean)
    if hidden is not None:
        raise ValueError(
            f"name: expected printable characters only, got U+{ord(hidden):04X} in {name!r}"
        )
    return clean


@dataclass(frozen=True, kw_only=True)
class Category:
    """One thing a pixel can be called.

    Attributes:
        id: Label in masks, 1..``MAX_ID``; never reused or re-meant within a session.
        name: Normalised name, e.g. ``"teddy bear"``.
        synonyms: Further names that mean the same.
        source: Who asked for it.
        score: Support in [0, 1]: share of recent discoveries that proposed it (1 for operators).
        first_seen: Time it was first proposed, in seconds of the image clock.
        last_seen: Time it was last proposed, in seconds of the image clock.
        group: Name of the operator's class it belongs to (``"traversable"``), or ``""``.
        is_thing: Whether it is countable, so that its instances are told apart; else it is stuff.
    """

    id: int
    name: str
    synonyms: tuple[str, ...] = ()
    source: Source = Source.QUERY
    score: float = 1.0
    first_seen: float = 0.0
    last_seen: float = 0.0
    group: str = ""
    is_thing: bool = True

    def __post_init__(self) -> None:
        """Validate."""
        if not 1 <= self.id <= MAX_ID:
            raise ValueError(f"id: expected 1..{MAX_ID}, got {self.id}")
        _check_names(self.name, self.synonyms)
        _check_score(self.score)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The categories in force for a frame, in ascending order of id.

    Attributes:
        version: Grows by one with every change; masks carry it.
        session: Ids mean the same as long as it does; ``""`` where nobody shares them.
        mode: How the vocabulary lives.
        categories: The categories; may be empty (then every pixel is unlabelled).
    """

    version: int = 0
    mode: Mode = Mode.AUTO
    categories: tuple[Category, ...] = ()
    session: str = ""

    def __post_init__(self) -> None:
        """Validate."""
        if self.version < 0:
            raise ValueError(f"version: expected >= 0, got {self.version}")
        ids = [category.id for category in self.categories]
        if ids != sorted(set(ids)):
            raise ValueError(f"categories: expected ascending ids without repeats, got {ids}")
        names = [name for c in self.categories for name in (c.name, *c.synonyms)]
        if len(names) != len(set(names)):
            raise ValueError(f"categories: expected distinct names and synonyms, got {names}")

    @classmethod
    def of(cls, *names: str, version: int = 1, stuff: Iterable[str] = ()) -> Vocabulary:
        """Return a fixed vocabulary of the given names with ids 1, 2, ... in that order.

        Those that are in ``stuff`` as well are no things.
        """
        uncountable = {normalise_name(name) for name in stuff}
        return cls(
            version=version,
            mode=Mode.FIXED,
            categories=tuple(
                Category(id=i, name=name, source=Source.FIXED, is_thing=name not in uncountable)
                for i, name in enumerate(map(normalise_name, names), start=1)
            ),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Category names, in order of id."""
        return tuple(category.name for category in self.categories)

    @property
    def ids(self) -> np.ndarray:
        """Category ids, (K,) uint16, in the order of ``names``."""
        return np.array([category.id for category in self.categories], dtype=np.uint16)

    def named(self, name: str) -> Category | None:
        """Return the category with this name or synonym, or None."""
        clean = normalise_name(name)
        return next((c for c in self.categories if clean == c.name or clean in c.synonyms), None)

    def __len__(self) -> int:
        """Return the number of categories."""
        return len(self.categories)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A name that discovery found in one image.

    Attributes:
        name: Normalised name.
        score: Support in [0, 1], e.g. the share of caption passes that named it.
        synonyms: Names merged into this one.
    """

    name: str
    score: float
    synonyms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Validate."""
        _check_names(self.name, self.synonyms)
        _check_score(self.score)


@dataclass(frozen=True, kw_only=True, eq=False)
class Discovery:
    """What auto-vocabulary discovery found in one image.

    Attributes:
        proposals: Found names, highest score first, ties in alphabetical order.
        captions: Every caption that was read, for people who want to know why.
        clusters: Cluster label of every patch, (h, w) int64, or None where nothing was clustered.
        cluster_names: For each cluster label its best name, ``""`` if none; empty without clusters.
    """

    proposals: tuple[Proposal, ...] = ()
    captions: tuple[str, ...] = ()
    clusters: np.ndarray | None = None
    cluster_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Proposed names, best first."""
        return tuple(proposal.name for proposal in self.proposals)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One object, or one kind of stuff, in one image.

    Attributes:
        id: Its value in the image's segment ids, from 1.
        category_id: Its label in the label mask.
        score: Confidence that it is such a segment, in [0, 1].
        area: Pixels.
        box_xywh: Bounding box in pixels (x, y, width, height).
    """

    id: int
    category_id: int
    score: float
    area: int
    box_xywh: tuple[int, int, int, int]

    def __post_init__(self) -> None:
        """Validate."""
        if not 1 <= self.id <= MAX_ID:
            raise ValueError(f"id: expected 1..{MAX_ID}, got {self.id}")
        if self.area < 1:
            raise ValueError(f"area: expected at least one pixel, got {self.area}")
        _check_score(self.score)


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation:
    """Label masks of a batch of images.

    Attributes:
        labels: Category ids, (B, H, W) uint8 or uint16; 0 is unlabelled.
        confidence: Confidence of the label, (B, H, W) uint8, 0..255 for 0..1.
        vocabulary: The vocabulary the masks were made with.
        segment_ids: Which segment a pixel belongs to, (B, H, W) uint16, 0 for none; None of
            segmenters that tell no instances apart.
        segments: The segments of every image, by rising id; empty without ``segment_ids``.
        left_out_of: For every image the ids of categories it was not compared with, rising: a
            segmenter may bound how many it compares; empty of those that compare all.
    """

    labels: np.ndarray
    confidence: np.ndarray
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    segment_ids: np.ndarray | None = None
    segments: tuple[tuple[Segment, ...], ...] = ()
    left_out_of: tuple[tuple[int, ...], ...] = ()

    @property
    def left_out(self) -> tuple[int, ...]:
        """Ids of categories that at least one of the images was not compared with, rising."""
        return tuple(sorted({value for own in self.left_out_of for value in own}))

    def names_left_out(self, index: int) -> tuple[str, ...]:
        """Return the names that an image was not compared with."""
        missing = set(self.left_out_of[index]) if self.left_out_of else set()
        return tuple(c.name for c in self.vocabulary.categories if c.id in missing)

    def __post_init__(self) -> None:
        """Validate."""
        if self.labels.ndim != 3 or self.labels.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                "labels: expected (B, H, W) uint8 or uint16, "
                f"got {self.labels.shape} {self.labels.dtype}"
            )
        if self.confidence.shape != self.labels.shape or self.confidence.dtype != np.uint8:
            raise ValueError(
                f"confidence: expected {self.labels.shape} uint8, "
                f"got {self.confidence.shape} {self.confidence.dtype}"
            )
        if self.left_out_of and len(self.left_out_of) != len(self.labels):
            raise ValueError(
                f"left_out_of: expected those of {len(self.labels)} images, "
                f"got {len(self.left_out_of)}"
            )
        if self.segment_ids is None:
            if self.segments:
                raise ValueError("segments: expected none without segment_ids")
            return
        if self.segment_ids.shape != self.labels.shape or self.segment_ids.dtype != np.uint16:
            raise ValueError(
                f"segment_ids: expected {self.labels.shape} uint16, "
                f"got {self.segment_ids.shape} {self.segment_ids.dtype}"
            )
        if len(self.segments) != len(self.labels):
            raise ValueError(
                f"segments: expected those of {len(self.labels)} images, got {len(self.segments)}"
            )
        for own in self.segments:
            ids = [segment.id for segment in own]
            if ids != sorted(set(ids)):
                raise ValueError(f"segments: expected ascending ids without repeats, got {ids}")


def _check_names(name: str, synonyms: tuple[str, ...]) -> None:
    for text in (name, *synonyms):
        if text != normalise_name(text):
            raise ValueError(f"name: expected a normalised name, got {text!r}")
    if len({name, *synonyms}) != 1 + len(synonyms):
        raise ValueError(f"synonyms: expected other names than {name!r}, each once, got {synonyms}")


def _check_score(score: float) -> None:
    if not 0.0 <= score <= 1.0:
        raise ValueError(f"score: expected 0..1, got {score}")


def box_xywh(box: tuple[slice, slice]) -> tuple[int, int, int, int]:
    """Return a box of rows and columns, as ``scipy.ndimage.find_objects`` gives it, in pixels."""
    y, x = box
    return x.start, y.start, x.stop - x.start, y.stop - y.start


def label_dtype(ids: np.ndarray) -> type[np.uint8] | type[np.uint16]:
    """Return the numbers of a label mask: bytes if every category id fits."""
    return np.uint8 if ids.max(initial=0) <= MAX_MONO8_ID else np.uint16


def check_images(images: np.ndarray) -> np.ndarray:
    """Return ``images`` if they are a (B, H, W, 3) uint8 RGB batch with at least one pixel.

    Raises:
        ValueError: otherwise, naming expected and received shape and dtype.
    """
    if (
        not isinstance(images, np.ndarray)
        or images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[-1] != 3
        or 0 in images.shape
    ):
        got = (
            f"{images.shape} {images.dtype}"
            if isinstance(images, np.ndarray)
            else type(images).__name__
        )
        raise ValueError(f"images: expected RGB (B, H, W, 3) uint8, got {got}")
    return images
