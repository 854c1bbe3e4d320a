"""From captions to names: common nouns, compounds, synonyms, support (arXiv 2312.04539)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ovseg_ros.config import Config, option
from ovseg_ros.language import wordnet
from ovseg_ros.language.lexicon import (
    COLOURS,
    EXTRA_LEXICON,
    STOP_WORDS,
    THINGS_TOO,
    VAGUE,
    everyday_compounds,
)
from ovseg_ros.language.tagging import governed, is_noun, joined, nominal, singular_form, tagger
from ovseg_ros.types import MAX_NAME_LENGTH, Proposal

_LONGEST = 4
"""Longest compound in words."""


@dataclass(frozen=True, kw_only=True)
class NounConfig(Config):
    """Which nouns of the captions become names."""

    extra_lexicon: tuple[str, ...] = option(
        EXTRA_LEXICON,
        "names beyond WordNet and its everyday compounds, singular; they win over the nouns they "
        "consist of",
    )
    stop_words: tuple[str, ...] = option(STOP_WORDS, "nouns that are never names")
    modifiers: bool = option(
        True, "keep a noun that only qualifies the next one (kitchen in kitchen robot)"
    )
    min_support: float = option(0.0, "names with a lower score are dropped", low=0.0, high=1.0)
    merge_synonyms: bool = option(True, "unite names whose first WordNet sense is the same")

    def __post_init__(self) -> None:
        """Validate, and write the words in one form."""
        super().__post_init__()
        for name in ("extra_lexicon", "stop_words"):
            words = tuple(" ".join(word.lower().split()) for word in getattr(self, name))
            object.__setattr__(self, name, words)


@dataclass(frozen=True, kw_only=True)
class Support:
    """What a set of captions supports.

    Attributes:
        proposals: Names by falling score, then in alphabetical order.
        best: For each region its best supported name, ``""`` if none.
    """

    proposals: tuple[Proposal, ...]
    best: tuple[str, ...]


def support(captions: Sequence[Sequence[str]], config: NounConfig) -> Support:
    """Count which names the captions of every region support.

    The score of a name is the share of captions that say it in the region where it is said most:
    a small object has one region, and must not lose against the table that is in all of them.

    Args:
        captions: For each region (cluster) the captions of its passes.
        config: Which nouns count.
    """
    said = [[nouns(caption, config) for caption in region] for region in captions]
    ranked = _Shares(said).ranked()
    chief = _merge(ranked) if config.merge_synonyms else {name: name for name in ranked}
    shares = _Shares([[frozenset(chief[name] for name in names) for names in r] for r in said])
    proposals = [
        Proposal(
            name=name,
            score=shares.score(name),
            synonyms=tuple(sorted(other for other in ranked if chief[other] == name != other)),
        )
        for name in shares.names
        if shares.score(name) >= config.min_support
    ]
    kept = {proposal.name for proposal in proposals}
    return Support(
        proposals=tuple(sorted(proposals, key=lambda found: (-found.score, found.name))),
        best=tuple(shares.best(region, kept) for region in range(len(said))),
    )


class _Shares:
    """For every region, the share of its captions that say a name."""

    def __init__(self, said: Sequence[Sequence[frozenset[str]]]) -> None:
        self.names = sorted({name for region in said for names in region for name in names})
        self._of = {
            name: [
                sum(name in names for names in region) / len(region) if region else 0.0
                for region in said
            ]
            for name in self.names
        }

    def score(self, name: str) -> float:
        return max(self._of[name])

    def ranked(self) -> list[str]:
        """Return the names by falling score, then by support over all regions, then by name."""
        return sorted(self.names, key=lambda n: (-self.score(n), -sum(self._of[n]), n))

    def best(self, region: int, kept: set[str]) -> str:
        """Return the kept name a region says most; on ties the one other regions say least."""
        said = [name for name in self.names if name in kept and self._of[name][region] > 0]
        return min(said, key=lambda n: (-self._of[n][region], sum(self._of[n]), n), default="")


def nouns(caption: str, config: NounConfig) -> frozenset[str]:
    """Return the names one caption mentions, lower case and singular."""
    return _nouns(caption, config)


@lru_cache(maxsize=4096)
def _nouns(caption: str, config: NounConfig) -> frozenset[str]:
    written = re.findall(r"[a-z][a-z'-]*|[.,;:!?]", caption.lower())
    written = [word for word in written if word.removesuffix("'s").strip("'-")]
    written = [part for word in written for part in _parts(word, config)]
    words = [word.removesuffix("'s").strip("'-") for word in written]
    if not words:
        return frozenset()
    tagged = tagger().tag_sent(words)
    tags = [tag for _, _, tag in tagged]
    singular = [singular_form(tagged, at) for at in range(len(words))]
    found: set[str] = set()
    index = 0
    while index < len(words):
        # Of "a dog's bowl" the owner is no part of a compound.
        ends = (i - index + 1 for i in range(index, len(words)) if written[i].endswith("'s"))
        longest = min(next(ends, _LONGEST), _LONGEST, len(words) - index)
        compound, length = _compound(words, singular, tags, index, config, longest)
        if not compound:
            compound = _single(words, singular, tags, index, config)
        if compound and compound not in config.stop_words and len(compound) <= MAX_NAME_LENGTH:
            found.add(compound)
        index += length
    return frozenset(found)


def _parts(word: str, config: NounConfig) -> list[str]:
    """Return the words of a hyphenated compound that is listed without hyphens."""
    if "-" not in word or wordnet.base_form(word) or word in config.extra_lexicon:
        return [word]
    parts = word.split("-")
    *first, last = parts
    apart = " ".join([*first, wordnet.base_form(last) or last])
    return parts if _listed(apart) or apart in everyday_compounds() else [word]


@dataclass(frozen=True)
class Chunk:
    """The nouns at the end of a noun phrase: a root, and what compounds with it.

    Attributes:
        words: Its words, the last one (the root) in singular.
        starts: First character of every word.
        end: Character after the root.
    """

    words: tuple[str, ...]
    starts: tuple[int, ...]
    end: int


@lru_cache(maxsize=65_536)
def noun_chunks(caption: str) -> tuple[Chunk, ...]:
    """Return the noun chunks of a lower-case caption, from left to right.

    "two wooden kitchen tables" has the chunk ("kitchen", "table"): articles, numbers, colours and
    adjectives are no part of it.
    """
    matches = list(re.finditer(r"[a-z][a-z'-]*|[.,;:!?]", caption))
    words = [match.group() for match in matches]
    tagged = tagger().tag_sent(words) if words else []
    tags = [tag for _, _, tag in tagged]
    chunks, first = [], 0
    while first < len(words):
        stop = first
        while stop < len(words) and nominal(words[stop], tags[stop]):
            stop += 1
        root = stop - 1
        if stop == first:  # "a yellow duck": the tagger may take the noun for a verb
            root = first
            stop = first + 1
            base = wordnet.base_form(words[root])
            known = base is not None and wordnet.known(base) and words[root] not in COLOURS
            if not (known and is_noun(words, tags, root)):
                first = stop
                continue
        chunks.append(
            Chunk(
                (*words[first:root], singular_form(tagged, root)),
                tuple(match.start() for match in matches[first:stop]),
                matches[root].end(),
            )
        )
        first = stop
    return tuple(chunks)


def _compound(
    words: list[str],
    singular: list[str],
    tags: list[str],
    start: int,
    config: NounConfig,
    longest: int,
) -> tuple[str, int]:
    """Return the longest compound at a position and its length, ("", 1) if there is none."""
    for length in range(longest, 1, -1):
        stop = start + length
        first, last = words[start : stop - 1], words[stop - 1]
        ends = dict.fromkeys((singular[stop - 1], wordnet.base_form(last) or last, last))
        names = [" ".join([*first, end]) for end in ends]
        for name in (*names, *(name.replace(" ", "") for name in names)):
            if name in config.extra_lexicon or name in everyday_compounds():
                return name, length
        if words[start] in VAGUE or not _compounds(words, singular, tags, start, stop):
            continue
        for name in names:
            listed = _listed(name)
            if listed and not (last in COLOURS and wordnet.is_a(listed, "color", senses=1)):
                return listed, length
    return "", 1


def _compounds(
    words: list[str], singular: list[str], tags: list[str], start: int, stop: int
) -> bool:
    """Return whether the words from start to stop may be one noun, by their tags."""
    opener = tags[start]
    opens = opener.startswith(("NN", "NP", "UN", "AJ")) and (
        words[start] not in COLOURS or words[start] in THINGS_TOO or opener.startswith("AJ")
    )
    if opener == "VVG":  # "a measuring cup", but not "a man riding horses"
        opens = start > 0 and tags[start - 1][:2] in ("AT", "AJ", "CR", "DP", "PR")
    inside = all(nominal(words[i], tags[i]) for i in range(start + 1, stop - 1))
    last = tags[stop - 1]
    closes = last.startswith(("NN", "NP", "UN"))
    if last in ("VVI", "VVB", "VVD", "VM0"):  # "a bus stop", "a hand saw", "a garbage can"
        closes = opener == "NN1" and words[start] == singular[start]
    return opens and inside and closes and words[stop - 1].isascii()


def _listed(compound: str) -> str:
    """Return how WordNet writes a compound: apart, with hyphens or as one word; else ``""``."""
    for joint in (" ", "-", ""):
        name = compound.replace(" ", joint)
        if wordnet.known(name):
            return name
    return ""


def _single(
    words: list[str], singular: list[str], tags: list[str], at: int, config: NounConfig
) -> str:
    """Return the noun at a position if it stands for a category of its own, else ``""``."""
    word, name = words[at], singular[at]
    following = at + 1 < len(words) and nominal(words[at + 1], tags[at + 1])
    if name in config.extra_lexicon:
        return name
    known = wordnet.base_form(name) or (tags[at].startswith("NN") and joined(name))
    if len(name) <= 2 or not known or not is_noun(words, tags, at):
        return ""
    if name in COLOURS:
        counted = at > 0 and (tags[at - 1][:2] in ("AT", "CR", "AJ") or _portion(words, at))
        counted = counted or (at == 0 and len(words) > 1 and governed(words, tags, at))
        plain = name in THINGS_TOO and (word != name or (counted and not following))
        return name if plain else ""
    if following and not config.modifiers and words[at + 1] != word:
        return ""
    return name


def _portion(words: list[str], at: int) -> bool:
    """Return whether a word says what there is some of: "a bowl of salmon", no "shade of" it."""
    return words[at - 1] in ("of", "some", "many") and (
        at < 2 or words[at - 2] not in ("shade", "shades", "tone", "tones", "color", "colour")
    )


def _merge(ranked: Iterable[str]) -> dict[str, str]:
    """Map every name to the best ranked name with the same first sense."""
    chiefs: dict[object, str] = {}
    return {name: chiefs.setdefault(wordnet.synsets(name)[:1] or name, name) for name in ranked}
