"""The living vocabulary: append-only ids, k-of-n admission, decay, synonyms, groups, provenance."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ovseg_ros.language.countable import is_thing
from ovseg_ros.types import (
    Category,
    Mode,
    Proposal,
    Source,
    Vocabulary,
)
from ovseg_ros.vocabulary.config import VocabularyConfig, check_mode, distinct, parse_groups
from ovseg_ros.vocabulary.groups import normalise_group
from ovseg_ros.vocabulary.state import OperatorState, read_state

_REFUSED = 50
"""Refused names that are remembered."""

_SYNONYMS = 64
"""Most synonyms of a name; discovery finds a handful."""


def _new_session() -> str:
    return uuid.uuid4().hex[:12]


_Same = set[str]
"""All names under which one thing was proposed."""

Embed = Callable[[Sequence[str]], np.ndarray]
"""Maps K names to (K, D) float32 text embeddings of unit length."""


class LivingVocabulary:
    """The words in force, and every id that was ever given out.

    Ids are append-only: a name that leaves keeps its id and gets it back when it returns, and no
    id ever means something else. All methods are safe to call from several threads.
    """

    def __init__(
        self, config: VocabularyConfig | None = None, *, embed: Embed | None = None
    ) -> None:
        """Start with the names of the configuration.

        Args:
            config: How words come and go.
            embed: Text embeddings, which ``group_similarity`` needs.

        Raises:
            ValueError: if ``group_similarity`` is set and there are no embeddings.
        """
        self._config = config or VocabularyConfig()
        self._groups = parse_groups(self._config.groups)
        if self._config.group_similarity and embed is None:
            raise ValueError("group_similarity: expected 0, this segmenter has no text embeddings")
        self._embed = embed if self._groups and self._config.group_similarity else None
        self._similar: dict[str, str] = {}  # names in no group -> the most similar name's, or ""
        self._lock = threading.RLock()
        self._known: dict[str, Category] = {}  # by name; never shrinks
        self._meanings: dict[str, str] = {}  # every name and synonym -> its category's name
        self._operator: dict[str, str] = {}  # the operator's names -> their groups
        self._automatic: dict[str, int] = {}  # admitted names -> discoveries since last proposed
        # What each discovery of the window found: names -> all names of the same thing.
        self._recent: deque[dict[str, _Same]] = deque(maxlen=self._config.window)
        self._mode = Mode.AUTO
        self.session = _new_session()
        self._vocabulary = Vocabulary(session=self.session)
        self.refused: tuple[str, ...] = ()
        """Discovered names that got no id, because those for discovery were given out."""
        self.warnings: tuple[str, ...] = ()
        """What is wrong with the state file, for people; empty if nothing is."""
        if self._config.names:
            self._set(self._config.names, mode=Mode(self._config.mode))
        self._restore()

    def snapshot(self) -> Vocabulary:
        """Return the vocabulary in force; it never changes after it is returned."""
        with self._lock:
            return self._vocabulary

    def observe(self, proposals: Sequence[Proposal], *, stamp: float = 0.0) -> Vocabulary:
        """Learn from one discovery.

        A name is admitted once ``admit`` of the last ``window`` discoveries proposed it (at once
        while no discovered name is in force: a robot should not start blind) and leaves after
        ``forget`` discoveries without it. In mode ``fixed`` proposals are remembered, not used.

        Args:
            proposals: What the discovery found.
            stamp: Time of the discovered image in seconds.
        """
        self._compare([proposal.name for proposal in proposals])
        with self._lock:
            found: dict[str, _Same] = {}
            for proposal in proposals:
                names = {proposal.name, *proposal.synonyms}
                found.setdefault(self._canonical(proposal, found), set()).update(names)
            blind = not self._automatic
            self._recent.append(found)
            for name, names in found.items():
                name = self._meanings.get(name, name)  # a synonym since the entry before it
                admitted = blind or name in self._automatic
                if not admitted and self._votes(name) < self._config.admit:
                    continue
                if self._register(name, stamp, limit=self._config.max_categories - self._reserve):
                    self._automatic[name] = -1
                    self._update(name, names, stamp)
            for name, misses in list(self._automatic.items()):
                self._automatic[name] = misses + 1
                if self._automatic[name] >= self._config.forget:
                    del self._automatic[name]
            return self._publish()

    @property
    def ids_left(self) -> tuple[int, int]:
        """How many ids discovery and the operator may still be given in this session."""
        with self._lock:
            left = self._config.max_categories - len(self._known)
            return max(0, left - self._reserve), left

    @property
    def _reserve(self) -> int:
        return min(self._config.reserve, self._config.max_categories // 4)

    def set(
        self,
        names: Sequence[str],
        *,
        mode: Mode,
        groups: Sequence[str] = (),
        stamp: float = 0.0,
        new_session: bool = False,
    ) -> Vocabulary:
        """Set the operator's names, and keep them in the state file if there is one.

        Args:
            names: The operator's names; must be empty in mode ``auto``, which forgets them.
            mode: ``fixed`` (only these), ``extend`` (these and the discovered) or ``auto``.
            groups: For each name the operator's class; empty for the configuration's, if any.
            stamp: Time of the request in seconds.
            new_session: Forget every id, and begin a new session whose ids start at 1.

        Raises:
            ValueError: on a bad name or group, a repeat, no names, or too many; nothing is changed
                then.
        """
        self._compare(distinct(names))  # slow: before the lock, which every frame takes
        with self._lock:
            vocabulary = self._set(
                names, mode=mode, groups=groups, stamp=stamp, new_session=new_session
            )
            if self._config.state_file:
                state = OperatorState(mode=self._mode, names=dict(self._operator))
                try:
                    state.write(Path(self._config.state_file).expanduser())
                    self.warnings = ()
                except OSError as error:
                    self.warnings = (f"the operator's words are not kept: {error}",)
            return vocabulary

    def _restore(self) -> None:
        """Take the operator's words from the state file; a damaged one is kept and reported."""
        if not self._config.state_file:
            return
        try:
            state = read_state(Path(self._config.state_file).expanduser())
            if state is not None:
                groups = tuple(state.names.values())
                self._set(tuple(state.names), mode=state.mode, groups=groups)
        except ValueError as error:
            reason = str(error).removeprefix("state_file: ")
            file = "" if self._config.state_file in reason else f"{self._config.state_file}: "
            self.warnings = (f"state_file: {file}{reason}",)

    def _set(
        self,
        names: Sequence[str],
        *,
        mode: Mode,
        groups: Sequence[str] = (),
        stamp: float = 0.0,
        new_session: bool = False,
    ) -> Vocabulary:
        clean, classes = distinct(names), [normalise_group(group) for group in groups]
        check_mode(mode, clean)
        if classes and len(classes) != len(clean):
            raise ValueError(
                f"groups: expected none or one per name ({len(clean)}), got {len(classes)}"
            )
        self._compare(clean)
        with self._lock:
            known = {} if new_session else self._known
            meanings = {} if new_session else self._meanings
            resolved = [meanings.get(name, name) for name in clean]
            if len(set(resolved)) < len(resolved):
                twice = next(n for n in resolved if resolved.count(n) > 1)
                raise ValueError(f"names: expected no synonyms, two of them mean {twice!r}")
            new = [name for name in resolved if name not in known]
            if len(known) + len(new) > self._config.max_categories:
                raise ValueError(
                    f"names: {len(new)} new ones do not fit, {len(known)} of "
                    f"{self._config.max_categories} ids are taken (vocabulary.max_categories); "
                    "a new session gives them out anew, 16UC1 masks hold more"
                )
            if new_session:
                self._forget()
            for name in resolved:
                self._register(name, stamp, limit=self._config.max_categories)
            classes = classes or [""] * len(resolved)
            self._operator = dict(zip(resolved, classes, strict=True))
            self._mode = mode
            return self._publish()

    def _canonical(self, proposal: Proposal, found: dict[str, _Same]) -> str:
        """Return the name that stands for a proposal: a known one, else one of the window."""
        names = (proposal.name, *proposal.synonyms)
        for name in names:
            if name in self._meanings:
                return self._meanings[name]
        for seen in (found, *reversed(self._recent)):
            for name, same in seen.items():
                if not same.isdisjoint(names):
                    return self._meanings.get(name, name)
        return proposal.name

    def _compare(self, names: Sequence[str]) -> None:
        """Find the groups of names that are in none; slow, so it is done outside of the lock."""
        new = [name for name in names if name not in self._groups and name not in self._similar]
        if self._embed is None or not new:
            return
        listed = tuple(self._groups)
        cosines = self._embed(new) @ self._embed(listed).T  # (new, listed)
        for name, row in zip(new, cosines, strict=True):
            near = row.max() >= self._config.group_similarity
            self._similar[name] = self._groups[listed[int(row.argmax())]] if near else ""

    def _group(self, category: Category) -> str:
        """Return the configuration's group of a category: as listed, else by similar text."""
        names = (category.name, *category.synonyms)
        listed = next((self._groups[name] for name in names if name in self._groups), "")
        return listed or self._similar.get(category.name, "")

    def _votes(self, name: str) -> int:
        return sum(name in seen for seen in self._recent)

    def _forget(self) -> None:
        """Begin a new session: no id means anything yet."""
        self.session = _new_session()
        self._known, self._meanings, self._automatic = {}, {}, {}
        self._recent.clear()
        self.refused = ()

    def _register(self, name: str, stamp: float, *, limit: int) -> bool:
        """Give ``name`` an id if it has none; return False if ``limit`` are given out."""
        if name in self._known:
            return True
        if len(self._known) >= limit:
            if name not in self.refused:
                self.refused = (*self.refused[-_REFUSED + 1 :], name)
            return False
        self._meanings[name] = name
        self._known[name] = Category(
            id=len(self._known) + 1,
            name=name,
            first_seen=stamp,
            last_seen=stamp,
            is_thing=is_thing(name),
        )
        return True

    def _update(self, name: str, names: _Same, stamp: float) -> None:
        """Note that ``name`` was proposed, under these names; a fixed vocabulary stays as it is."""
        category = replace(self._known[name], last_seen=stamp)
        if self._mode is not Mode.FIXED:  # a synonym of something else stays that
            same = set(category.synonyms)
            for other in sorted(names - {name}):
                if len(same) < _SYNONYMS and self._meanings.setdefault(other, name) == name:
                    same.add(other)
            category = replace(category, synonyms=tuple(sorted(same)))
        self._known[name] = category

    def _in_force(self, category: Category) -> Category:
        """Return a known category as the operator or the discoveries want it now."""
        group = self._group(category)
        if category.name in self._operator:
            source = Source.FIXED if self._mode is Mode.FIXED else Source.QUERY
            group = self._operator[category.name] or group
            return replace(category, source=source, score=1.0, group=group)
        score = self._votes(category.name) / len(self._recent)
        return replace(category, source=Source.AUTO, score=score, group=group)

    def _publish(self) -> Vocabulary:
        """Put the words in force into a new vocabulary; a change of meaning is a new version."""
        names = set(self._operator)
        if self._mode is not Mode.FIXED:
            names |= set(self._automatic)
        categories = tuple(
            self._in_force(category) for name, category in self._known.items() if name in names
        )
        old = self._vocabulary

        def meaning(items: tuple[Category, ...]) -> list[tuple[object, ...]]:
            return [(c.id, c.synonyms, c.source, c.group) for c in items]

        changed = (
            self._mode is not old.mode
            or meaning(categories) != meaning(old.categories)
            or self.session != old.session
        )
        self._vocabulary = Vocabulary(
            version=old.version + changed,
            mode=self._mode,
            categories=categories,
            session=self.session,
        )
        return self._vocabulary
