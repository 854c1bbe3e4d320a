"""Options of the living vocabulary, and what its lists of names must be like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.types import MAX_ID, MAX_MONO8_ID, Mode, normalise_name
from ovseg_ros.vocabulary.groups import normalise_group


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
    group_similarity: float = option(
        0.0,
        "a name in no group joins that of the listed name whose text is most similar, from this "
        "cosine on (it depends on the model); 0: listed names and their synonyms only",
        low=0.0,
        high=1.0,
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
    reserve: int = option(
        32,
        "ids of these that discovery leaves to the operator; at most a quarter of them",
        low=0,
        high=MAX_ID,
    )
    state_file: str = option(
        "",
        "file that keeps the operator's words (not the ids) over a restart; empty: none",
        kind="place",
    )

    def __post_init__(self) -> None:
        """Validate the options against each other."""
        super().__post_init__()
        if self.admit > self.window:
            raise ValueError(f"admit: expected at most window ({self.window}), got {self.admit}")
        if len(distinct(self.names)) > self.max_categories:
            raise ValueError(
                f"names: expected at most max_categories ({self.max_categories}), "
                f"got {len(self.names)}"
            )
        check_mode(Mode(self.mode), self.names)
        parse_groups(self.groups)


def parse_groups(lines: Iterable[str]) -> dict[str, str]:
    """Return ``{name: group}`` from lines such as ``"traversable: floor, carpet"``."""
    groups = {}
    for line in lines:
        group, colon, names = line.partition(":")
        if not colon or not group.strip() or not names.strip():
            raise ValueError(f"groups: expected 'group: name, name', got {line!r}")
        for name in names.split(","):
            groups[normalise_name(name)] = normalise_group(group)
    return groups


def distinct(names: Sequence[str]) -> list[str]:
    """Return normalised names.

    Raises:
        ValueError: if one is bad or comes twice, or there are more than ids.
    """
    if isinstance(names, str):
        raise ValueError(f"names: expected a list of names, got {names!r}")
    if len(names) > MAX_ID:
        raise ValueError(f"names: expected at most {MAX_ID}, got {len(names)}")
    clean = [normalise_name(name) for name in names]
    repeats = sorted(name for name, count in Counter(clean).items() if count > 1)
    if repeats:
        raise ValueError(f"names: expected no repeats, got {repeats[0]!r} more than once")
    return clean


def check_mode(mode: Mode, names: Sequence[str]) -> None:
    """Refuse names without a mode for them, and the other way round: ValueError."""
    if mode is Mode.AUTO and names:
        raise ValueError(f"names: expected none in mode 'auto', got {len(names)}")
    if mode is not Mode.AUTO and not names:
        raise ValueError(f"names: expected at least one name in mode {mode.value!r}, got none")
