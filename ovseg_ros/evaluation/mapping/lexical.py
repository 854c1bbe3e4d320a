"""Maps generated names to the classes of a data set by the words alone, with WordNet's nouns.

This is the evaluator without a language model (LAVE's place in AutoSeg's evaluation). A name is
tried as a whole first and then without its leading words ("red robot arm", "robot arm", "arm");
where WordNet knows the whole, only if it is a kind of the rest (a "hot dog" is no dog). Each form
goes through these rules, and the first that gives a class wins:

1. ``exact``: it is a class (case, plural, spaces and hyphens aside).
2. ``given``: the data set lists it as a synonym of a class.
3. ``synonym``: WordNet lists it in one sense with a class.
4. ``hypernym``: a class stands above it ("hawk" -> "bird"); the nearest one.
5. ``everyday``: what people call it, where WordNet is stricter (a "kitten" is a young mammal).
6. ``hyponym``: it stands above exactly one class ("vehicle" -> "car" if nothing else drives).

Only senses that a camera can see count: physical ones before others, people and parts of the body
only where that is what the noun first means (a "mug" is no fool and no face), and later senses only
where the noun is their usual name (a "bench" is no workbench).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from ovseg_ros.language import wordnet
from ovseg_ros.types import normalise_name, spelling_key

RULE = (
    "exact > given synonym > WordNet synonym > nearest hypernym > everyday word > unique hyponym; "
    "else the same for the head noun"
)
"""The rules in one line, for reports."""

_SENSES = 3
"""Visible senses of a noun that count; later ones are rare enough to do more harm than good."""

_EMPTY_WORDS = {
    *("entity", "object", "thing", "item", "whole", "unit", "artifact", "artefact", "matter"),
    *("substance", "stuff", "part", "piece", "device", "equipment", "tool", "structure"),
    *("instrumentality", "organism"),
}
"""Nouns that stand above nearly everything and so say nothing about what they are."""

_EVERYDAY = {
    "people": "person",
    "driver": "person",
    "soldier": "person",
    "kitten": "cat",
    "calf": "cow",
    "bull": "cow",
    "ox": "cow",
    "cattle": "cow",
    "foal": "horse",
    "lamb": "sheep",
    "ram": "sheep",
    "duckling": "duck",
    "chick": "chicken",
    "mug": "cup",
    "cup": "mug",
    "ship": "boat",
    "sailboat": "boat",
    "yacht": "boat",
    "motor scooter": "motorcycle",
}
"""Words for which WordNet's tree and everybody's judgement differ."""


_NOBODY = frozenset({"coaster"})
"""Things that WordNet takes for people first."""

_PLAYED = frozenset(
    {"audio", "blu-ray", "cassette", "cd", "dvd", "media", "mp3", "music", "record"}
)
"""What is played by a "player" that is nobody."""


class Match(NamedTuple):
    """The class a name means, or None, and the rule that said so."""

    category: str | None
    rule: str


class NameMapper:
    """Maps names to one of a list of classes; remembers its answers."""

    rule = RULE

    def __init__(
        self, classes: Sequence[str], *, synonyms: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Prepare the classes.

        Args:
            classes: Class names; where two would do, the earlier one wins.
            synonyms: Further names of a class, as the data set gives them.

        Raises:
            ValueError: if ``synonyms`` names a class that is not in the list.
        """
        given = dict(synonyms or {})
        unknown = sorted(set(given) - set(classes))
        if unknown:
            raise ValueError(f"synonyms: expected classes of the list, got {unknown[0]!r}")
        self.classes = tuple(classes)
        self._exact: dict[str, str] = {}
        self._given: dict[str, str] = {}
        self._meanings: dict[int, str] = {}
        self._heads: dict[str, set[str]] = {}
        self._above: dict[str, frozenset[int]] = {}
        self._known: dict[str, Match] = {}
        for name in classes:
            for form in spellings(name):
                self._exact.setdefault(spelling_key(form), name)
        for name in classes:
            for synonym in given.get(name, ()):
                for form in spellings(synonym):
                    self._given.setdefault(spelling_key(form), name)
        senses = {name: self._class_senses(name, given.get(name, ())) for name in classes}
        for rank in range(_SENSES):  # a class's first sense beats another class's second
            for name, own in senses.items():
                if rank < len(own):
                    self._meanings.setdefault(own[rank], name)

    def _class_senses(self, name: str, synonyms: Sequence[str]) -> tuple[int, ...]:
        """Return the senses of a class and note what stands above it."""
        noun = _singular(name)
        if wordnet.known(noun):
            usual = _visible(noun)[:2]
            self._above[name] = frozenset().union(*map(_ancestors, usual))
            return _visible(noun)
        heads = _heads(name)
        for head in heads:
            self._heads.setdefault(spelling_key(head), set()).add(name)
        usual = next((_visible(head) for head in heads if wordnet.known(head)), ())[:2]
        self._above[name] = frozenset(usual).union(*map(_ancestors, usual))
        return tuple(dict.fromkeys(s for word in synonyms for s in _visible(_singular(word))))

    def match(self, name: str) -> Match:
        """Return the class that ``name`` means, and by which rule.

        Raises:
            ValueError: if ``name`` is not a valid name.
        """
        clean = normalise_name(name)
        if clean not in self._known:
            self._known[clean] = self._search(clean)
        return self._known[clean]

    def _search(self, name: str) -> Match:
        for phrase in _phrases(name):
            match = self._lookup(phrase)
            if match.category is not None:
                return match
            for head in _heads(phrase):
                match = self._lookup(head)
                if match.category is not None:
                    return Match(match.category, f"head noun {head!r}, {match.rule}")
        return Match(None, "none")

    def _lookup(self, phrase: str) -> Match:
        """Apply the rules to one form of a name, the strongest first."""
        for table, rule in ((self._exact, "exact"), (self._given, "given")):
            for form in spellings(phrase):
                if spelling_key(form) in table:
                    return Match(table[spelling_key(form)], rule)
        noun = _singular(phrase)
        senses = _visible(noun)
        for sense in senses:
            if sense in self._meanings:
                return Match(self._meanings[sense], "synonym")
        for sense in senses:
            for ancestor in _ancestors(sense):
                if ancestor in self._meanings:
                    return Match(self._meanings[ancestor], "hypernym")
        everyday = spelling_key(_EVERYDAY.get(noun, ""))
        if everyday in self._exact or everyday in self._given:
            return Match(self._exact.get(everyday) or self._given[everyday], "everyday")
        if noun not in _EMPTY_WORDS:
            usual = set(senses[:1])
            below = {name for name, above in self._above.items() if usual & above}
            below |= self._heads.get(spelling_key(noun), set())
            if len(below) == 1:
                return Match(below.pop(), "hyponym")
        return Match(None, "none")


def map_names(
    names: Iterable[str],
    classes: Sequence[str],
    *,
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, str | None]:
    """Map each name to one of the classes, or to None if it means none of them.

    Example:
        >>> map_names(["taxi", "red mug", "hawk"], ["car", "road", "mug"])
        {'taxi': 'car', 'red mug': 'mug', 'hawk': None}
    """
    mapper = NameMapper(classes, synonyms=synonyms)
    return {name: mapper.match(name).category for name in names}


def _phrases(name: str) -> tuple[str, ...]:
    """Return what to look up for a name: "cup of tea" is a cup, else tea; "man in hat" a man."""
    for preposition in (" in ", " on ", " with "):
        name = name.partition(preposition)[0]
    first, _, second = name.partition(" of ")
    return (name, first, second) if second else (name,)


def _heads(phrase: str) -> list[str]:
    """Return what a phrase is a kind of by its words: without the first word, the first two, ...

    Where WordNet knows the phrase, only the rests that it places above the phrase are returned.
    """
    words = phrase.split()
    if words[-1] in ("player", "players") and _PLAYED.intersection(words):
        return []
    rests = [" ".join(words[start:]) for start in range(1, len(words))]
    noun = _singular(phrase)
    if wordnet.known(noun):
        above = wordnet.hypernyms(noun)
        return [rest for rest in rests if _singular(rest) in above]
    return rests


def _singular(phrase: str) -> str:
    """Return the phrase in the singular, as WordNet lists it or with its last word so."""
    whole = wordnet.base_form(phrase)
    if whole is not None:
        return whole
    *rest, last = phrase.split()
    return " ".join([*rest, wordnet.base_form(last) or last])


def spellings(phrase: str) -> tuple[str, ...]:
    """Return the spellings of a phrase: as it is, singular, and without an s at its end.

    The last is for words that WordNet lacks ("legos") or lists as something else ("bowls").
    """
    forms = [phrase, _singular(phrase)]
    if phrase.endswith("s") and not phrase.endswith("ss") and len(phrase) > 3:
        forms.append(phrase[:-1])
    return tuple(dict.fromkeys(forms))


@lru_cache(maxsize=16384)
def _visible(noun: str) -> tuple[int, ...]:
    """Return up to ``_SENSES`` synsets of a noun that a camera may see, the likeliest first."""
    physical, person, body_part = _landmarks()
    kinds = {sense: {sense, *_ancestors(sense)} for sense in wordnet.synsets(noun)}
    senses = [
        sense
        for rank, (sense, above) in enumerate(kinds.items())
        if rank == 0 or not (person in above or body_part in above)
    ]
    senses.sort(key=lambda sense: physical not in kinds[sense])  # keeps the order otherwise
    people = sum(person in above for above in kinds.values())
    things = sum(physical in above for above in kinds.values())
    somebody = bool(senses) and senses[0] != person and person in kinds[senses[0]]
    if somebody and (2 * people <= things or noun in _NOBODY):
        senses.pop(0)  # a "monitor" or a "tiger" is rarely somebody
    usual = [s for i, s in enumerate(senses) if i == 0 or wordnet.lemmas(s)[0] == noun]
    return tuple(usual[:_SENSES])


@lru_cache(maxsize=1)
def _landmarks() -> tuple[int, int, int]:
    return (
        wordnet.synsets("physical entity")[0],
        wordnet.synsets("person")[0],
        wordnet.synsets("body part")[0],
    )


@lru_cache(maxsize=16384)
def _ancestors(synset: int) -> tuple[int, ...]:
    """Return everything above a synset, the nearest first."""
    return tuple(chain.from_iterable(wordnet.upwards(synset)))[1:]
