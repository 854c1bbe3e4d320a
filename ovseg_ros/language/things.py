"""ImageNet's thousand classes as WordNet knows them: their names and what they are kinds of.

No image is needed to know that a malamute is a dog: the classes of the tower's classifier are
WordNet synsets, so that every word above or just below them has a meaning among the classes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache, lru_cache
from itertools import chain

from ovseg_ros.folders import read_words
from ovseg_ros.language import wordnet

LARGEST = 250
"""A word that covers more classes than this says too little ("animal", "artifact")."""


@cache
def classes() -> tuple[int, ...]:
    """Return the synsets of ImageNet's 1000 classes, in the order of classifiers."""
    from timm.data import ImageNetInfo

    return tuple(int(name[1:]) for name in ImageNetInfo("imagenet-1k").label_names())


@cache
def class_names() -> tuple[str, ...]:
    """Return one clear name for each class, lower case ("tabby cat", "crane bird")."""
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    first = (name.split(" / ")[0] for name in IMAGENET_CLASSNAMES)
    return tuple(re.sub(r"\s*\(.*?\)", "", name).strip().lower() for name in first)


@cache
def kinds() -> dict[int, tuple[int, ...]]:
    """Return for every synset the classes that are it or kinds of it, for 1 to 250 of them."""
    below: dict[int, list[int]] = defaultdict(list)
    for number, synset in enumerate(classes()):
        for above in {synset, *wordnet.ancestors((synset,))}:
            below[above].append(number)
    return {synset: tuple(found) for synset, found in below.items() if len(found) <= LARGEST}


@cache
def basic_words() -> frozenset[str]:
    """Return the words of the level at which people name things."""
    return read_words("basic_level.txt")


@cache
def basic_name(number: int) -> str:
    """Return the basic-level word of a class: the nearest word above it in the list, or its name.

    Args:
        number: The class, 0 to 999.
    """
    for synset in chain.from_iterable(wordnet.upwards(classes()[number])):
        for lemma in wordnet.lemmas(synset):
            if lemma in basic_words():
                return lemma
    return class_names()[number]


@lru_cache(maxsize=4096)
def covered(name: str) -> tuple[int, ...]:
    """Return the classes that a name means or covers; none if it is no real thing that is known.

    Of several senses the most frequent counts that covers any.

    Args:
        name: Singular or plural, any case.
    """
    clean = " ".join(name.lower().split())
    if clean in class_names():
        return (class_names().index(clean),)
    for form in (clean, wordnet.base_form(clean)):
        for synset in wordnet.synsets(form) if form else ():
            if synset in kinds():
                return kinds()[synset]
    return ()
