"""Things or stuff: which nouns are countable objects, and which surfaces, regions or materials.

WordNet says what is a kind of what. The first sense of a noun that is a kind of anything in
``THINGS`` or ``STUFF`` decides, and of those above it the closest.
"""

from __future__ import annotations

from functools import lru_cache

from ovseg_ros.language.wordnet import base_form, synsets, upwards

STUFF = frozenset(
    {
        "area", "asphalt", "atmosphere", "body of water", "building material", "ceiling",
        "cloud", "crosswalk", "curtain", "district", "fabric", "fence", "floor", "foliage",
        "geological formation", "grass", "ground", "horizontal surface", "land", "lane",
        "location", "material", "partition", "passageway", "pavement", "railing", "railway",
        "region", "road", "roof", "room", "rug", "sidewalk", "sky", "slope", "smoke",
        "snow", "stairway", "substance", "surface", "vegetation", "wall", "water",
    }
)  # fmt: skip
"""Kinds that have no instances, each by a noun whose first sense means it."""

THINGS = frozenset(
    {
        "artifact", "baked goods", "building", "causal agent", "container", "device",
        "fruit", "furniture", "instrumentality", "living thing", "person",
        "physical object", "plant part", "plaything", "table", "vegetable", "vehicle",
    }
)  # fmt: skip
"""Kinds that can be counted."""

EXCEPTIONS = {
    **dict.fromkeys(
        ("booth", "brick", "clothes", "glass", "pallet", "screen", "toilet", "window"), True
    ),
    "ice": False,
}
"""Nouns whose first sense is another than people mean: a place or material, or an object."""

_SENSES = 3
"""How many senses of a noun are asked: a mouse is an animal first, and rarely a stuff."""


@lru_cache(maxsize=4096)
def is_thing(name: str) -> bool:
    """Return whether a name means something countable; an unknown word is a thing.

    Of several words the last ones decide, as long as WordNet knows them together: "robot arm",
    "red mug". The head of "field of grass" is what stands before "of".

    Args:
        name: A category name, normalised or not.
    """
    noun = _head(name)
    if noun is None or noun in EXCEPTIONS:
        return True if noun is None else EXCEPTIONS[noun]
    for synset in synsets(noun)[:_SENSES]:
        found = _nearest(synset)
        if found is not None:
            return found
    return True


def _head(name: str) -> str | None:
    """Return the longest part of a name, as far back as can be, that WordNet lists, in base form.

    "other" is no noun of WordNet, so that "ceiling-other" is a ceiling.
    """
    words = name.lower().split(" of ")[0].replace("-", " ").split()
    for last in range(len(words), 0, -1):  # "ceiling-other": the last word may say nothing
        for first in range(last):
            found = base_form(" ".join(words[first:last]))
            if found is not None:
                return found
    return None


def _nearest(synset: int) -> bool | None:
    """Return what the closest marked synset above one says, itself included; None for neither."""
    things, stuff = _marked(True), _marked(False)
    for level in upwards(synset):
        if not stuff.isdisjoint(level):
            return False
        if not things.isdisjoint(level):
            return True
    return None


@lru_cache(maxsize=2)
def _marked(things: bool) -> frozenset[int]:
    return frozenset(found for noun in (THINGS if things else STUFF) for found in synsets(noun)[:1])
