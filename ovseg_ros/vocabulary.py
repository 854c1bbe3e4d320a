"""The living vocabulary: append-only ids, k-of-n admission, decay, synonyms, groups, provenance."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ovseg_ros.config import Config, option
from ovseg_ros.types import (
    MAX_ID,
    MAX_MONO8_ID,
    Category,
    Mode,
    Proposal,
    Source,
    Vocabulary,
    normalise_name,
)


@dataclass(frozen=True, kw_only=True)
class VocabularyConfig(Config):
    """How words come and go."""

    mode: str = option(
        "auto", "how the vocabulary lives at the start", choices=("auto", "fixed", "extend")
    )
    names: tuple[str, ...] = option((), "names in force from the start (fixed and extend)")
    groups: tuple[str, ...] = option(
        (), "stable classes as 'group: name, name', e.g. 'traversable: floor, carpet'"
    )
    window: int = option(5, "discoveries that are remembered (n of k-of-n)", low=1, high=1000)
    admit: int = option(
        2, "discoveries in the window that must propose a name (k of k-of-n)", low=1, high=1000
    )
    forget: int = option(
        10, "discoveries without a name after which it leaves the vocabulary", low=1, high=100_000
    )
    max_categories: int = option(
        MAX_MONO8_ID, "ids that may ever be given out in a session", low=1, high=MAX_ID
    )

    def __post_init__(self) -> None:
        """Validate the options against each other."""
        super().__post_init__()
        if self.admit > self.window:
            raise ValueError(f"admit: expected at most window ({self.window}), got {self.admit}")
        if self.mode != "auto" and not self.names:
            raise ValueError(f"names: expected at least one name in mode {self.mode!r}, got none")
        parse_groups(self.groups)


def parse_groups(lines: Iterable[str]) -> dict[str, str]:
    """Return ``{name: group}`` from lines such as ``"traversable: floor, carpet"``."""
    groups = {}
    for line in lines:
        group, colon, names = line.partition(":")
        if not colon or not group.strip() or not names.strip():
            raise ValueError(f"groups: expected 'group: name, name', got {line!r}")
        for name in names.split(","):
            groups[normalise_name(name)] = group.strip()
    return groups


class LivingVocabulary:
    """The words in force, and every id that was ever given out.

    Ids are append-only: a name that leaves keeps its id and gets it back when it returns, and no
    id ever means something else. All methods are safe to call from several threads.
    """

    def __init__(self, config: VocabularyConfig | None = None) -> None:
        """Start with the names of the configuration."""
        self._config = config or VocabularyConfig()
        self._groups = parse_groups(self._config.groups)
        self._lock = threading.RLock()
        self._known: dict[str, Category] = {}
        self._operator: tuple[str, ...] = ()
        self._automatic: list[str] = []
        self._recent: deque[frozenset[str]] = deque(maxlen=self._config.window)
        self._misses: dict[str, int] = {}
        self._mode = Mode.AUTO
        self._vocabulary = Vocabulary()
        self.refused: tuple[str, ...] = ()
        if self._config.names:
            self.set(self._config.names, mode=Mode(self._config.mode))

    def snapshot(self) -> Vocabulary:
        """Return the vocabulary in force; it never changes after it is returned."""
        with self._lock:
            return self._vocabulary

    def observe(self, proposals: Sequence[Proposal], *, stamp: float = 0.0) -> Vocabulary:
        """Learn from one discovery.

        A name is admitted once ``admit`` of the last ``window`` discoveries proposed it (at the
        very first discovery at once: a robot should not start blind) and leaves after ``forget``
        discoveries without it. Proposals are remembered in mode ``fixed`` too, but not used.

        Args:
            proposals: What the discovery found.
            stamp: Time of the discovered image in seconds.
        """
        with self._lock:
            names = {}
            for proposal in proposals:
                names.setdefault(self._canonical(proposal), proposal)
            first = not self._recent
            self._recent.append(frozenset(names))
            for name, proposal in names.items():
                votes = sum(name in seen for seen in self._recent)
                if name not in self._automatic and (first or votes >= self._config.admit):
                    self._automatic.append(name)
                if name in self._automatic and self._register(name, Source.AUTO, stamp):
                    self._update(name, proposal, stamp)
                self._misses[name] = 0
            for name in list(self._automatic):
                if name not in names:
                    self._misses[name] = self._misses.get(name, 0) + 1
                    if self._misses[name] >= self._config.forget:
                        self._automatic.remove(name)
            return self._publish()

    def set(
        self,
        names: Sequence[str],
        *,
        mode: Mode,
        groups: Sequence[str] = (),
        stamp: float = 0.0,
    ) -> Vocabulary:
        """Set the operator's names.

        Args:
            names: The operator's names; must be empty in mode ``auto``, which forgets them.
            mode: ``fixed`` (only these), ``extend`` (these and the discovered) or ``auto``.
            groups: For each name the operator's class, or empty.
            stamp: Time of the request in seconds.

        Raises:
            ValueError: on a bad name, a repeat, no names, or too many; nothing is changed then.
        """
        clean = [normalise_name(name) for name in names]
        if mode is Mode.AUTO and clean:
            raise ValueError(f"names: expected none in mode 'auto', got {len(clean)}")
        if mode is not Mode.AUTO and not clean:
            raise ValueError(f"names: expected at least one name in mode {mode.value!r}, got none")
        repeats = sorted({name for name in clean if clean.count(name) > 1})
        if repeats:
            raise ValueError(f"names: expected no repeats, got {repeats[0]!r} more than once")
        if groups and len(groups) != len(clean):
            raise ValueError(
                f"groups: expected none or one per name ({len(clean)}), got {len(groups)}"
            )
        with self._lock:
            resolved = [self._resolve(name) for name in clean]
            if len(set(resolved)) < len(resolved):
                twice = next(n for n in resolved if resolved.count(n) > 1)
                raise ValueError(f"names: expected no synonyms, two of them mean {twice!r}")
            new = [name for name in resolved if name not in self._known]
            if len(self._known) + len(new) > self._config.max_categories:
                raise ValueError(
                    f"names: {len(new)} new ones do not fit, {len(self._known)} of "
                    f"{self._config.max_categories} ids are taken (vocabulary.max_categories)"
                )
            source = Source.FIXED if mode is Mode.FIXED else Source.QUERY
            for name, group in zip(resolved, groups or [""] * len(resolved), strict=True):
                self._register(name, source, stamp)
                category = self._known[name]
                self._known[name] = replace(
                    category, source=source, score=1.0, group=group.strip() or category.group
                )
            self._operator, self._mode = tuple(resolved), mode
            return self._publish()

    def _resolve(self, name: str) -> str:
        """Return the known name that ``name`` is a synonym of, or ``name`` itself."""
        if name in self._known:
            return name
        return next((c.name for c in self._known.values() if name in c.synonyms), name)

    def _canonical(self, proposal: Proposal) -> str:
        for name in (proposal.name, *proposal.synonyms):
            known = self._resolve(name)
            if known in self._known:
                return known
        return proposal.name

    def _register(self, name: str, source: Source, stamp: float) -> bool:
        """Give ``name`` an id if it has none; return False if no id is left."""
        if name in self._known:
            return True
        if len(self._known) >= self._config.max_categories:
            if name not in self.refused:
                self.refused = (*self.refused, name)
            return False
        self._known[name] = Category(
            id=len(self._known) + 1,
            name=name,
            source=source,
            first_seen=stamp,
            last_seen=stamp,
            group=self._groups.get(name, ""),
        )
        return True

    def _update(self, name: str, proposal: Proposal, stamp: float) -> None:
        category = self._known[name]
        merged = {*category.synonyms, *proposal.synonyms, proposal.name} - set(self._known)
        self._known[name] = replace(category, synonyms=tuple(sorted(merged)), last_seen=stamp)

    def _score(self, category: Category) -> Category:
        if category.name in self._operator or not self._recent:
            return replace(category, score=1.0)
        votes = sum(category.name in seen for seen in self._recent)
        return replace(category, score=votes / len(self._recent), source=Source.AUTO)

    def _publish(self) -> Vocabulary:
        """Put the words in force into a new vocabulary if they, or the mode, have changed."""
        names = set(self._operator)
        if self._mode is not Mode.FIXED:
            names |= {name for name in self._automatic if name in self._known}
        categories = tuple(
            self._score(category) for name, category in self._known.items() if name in names
        )
        old = self._vocabulary

        def meaning(items: tuple[Category, ...]) -> list[tuple[object, ...]]:
            return [(c.id, c.synonyms, c.source, c.group) for c in items]

        changed = self._mode is not old.mode or meaning(categories) != meaning(old.categories)
        self._vocabulary = Vocabulary(
            version=old.version + changed, mode=self._mode, categories=categories
        )
        return self._vocabulary
