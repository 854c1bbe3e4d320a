"""What the tagger and WordNet say about the words of a caption: nouns, and their singular."""

from __future__ import annotations

from functools import cache
from typing import Any

from ovseg_ros.language import wordnet
from ovseg_ros.language.lexicon import COLOURS, COUNTED, NO_SINGULAR, PARTICIPLES, VAGUE

_OPENERS = frozenset(
    {"a", "an", "the", "all", "both", "few", "many", "several", "some", "these", "those"}
)
"""What opens a phrase, whatever the tagger takes it for."""

_PLURAL_ENDINGS = ("men", "oxen", "teeth", "feet", "geese", "lice", "mice", "fungi", "elves")
"""What plurals end in that the tagger does not see; whether a word is one, WordNet says."""

_AGENT_ENDINGS = ("er", "or", "ist")
"""What no plural ends in, whatever the tagger says."""


_PREFIXES = ("auto", "electro", "micro", "mini", "motor", "multi", "super", "ultra")
"""What stands before nouns and is none itself."""


@cache
def tagger() -> Any:
    """Return the English tagger that HanTa ships, loaded once."""
    from HanTa.HanoverTagger import HanoverTagger

    return HanoverTagger("morphmodel_en.pgz")


def is_noun(words: list[str], tags: list[str], at: int) -> bool:
    """Return whether a word is a common noun; where the tagger does not know, grammar decides.

    A phrase that an article opens needs a noun. Where nothing follows that could be it, the word
    before is one, whatever the tagger takes it for: "a convertible on a road", "the well".
    """
    word, tag = words[at], tags[at]
    if word in PARTICIPLES:
        return False
    if tag.startswith("NN"):
        return True
    if _stands_alone(words, tags, at):
        return True
    opened = _opened_by(words, tags, at)
    heads = opened != "" and word not in VAGUE and not _more_follows(words, tags, at)
    if tag.startswith("NP"):  # captions are lower case: a name only if it is a place or a person
        if wordnet.is_a(word, "location", senses=1):
            return heads and opened in ("a", "an")
        return heads or wordnet.is_a(word, "animal") or not wordnet.is_a(word, "person", senses=1)
    if tag.startswith("VV") and tag not in ("VVG", "VVN", "VVD"):  # "a yellow duck" seen as a verb
        return opened != ""
    if tag == "VVG":  # "a pile of bedding"
        return at > 0 and words[at - 1] in ("of", "some") and _ends(words, tags, at) and _seen(word)
    if tag == "AJC":  # "a lighter" is no comparison where nothing follows that it could describe
        return heads
    if tag.startswith(("AJ", "AV", "VV")):  # "a croissant next to a cup"
        return heads and _seen(word)
    return tag.startswith("UN")


def governed(words: list[str], tags: list[str], at: int) -> bool:
    """Return whether a word without an article is a phrase of its own, by its neighbours.

    "drill on a table", "a bowl of macaroni": captions give no orders, so that what begins one and
    has a place is a thing, and so is what a preposition governs, whatever the tagger takes it for.
    """
    if at > 0 and not (tags[at - 1].startswith(("PRP", "PRF")) and words[at - 1] != "to"):
        return False
    after = at + 1
    return (
        after == len(words)
        or tags[after].startswith(("PRP", "CJC"))
        or words[after] in ("next", ",", ".")
    )


def _stands_alone(words: list[str], tags: list[str], at: int) -> bool:
    """Return whether a governed word is something that one can see."""
    word, tag = words[at], tags[at]
    if not governed(words, tags, at):
        return False
    if tag.startswith("AV") and not word.endswith(_AGENT_ENDINGS):
        return False  # "inside of a room"
    if tag.startswith("NP") and wordnet.is_a(word, "location", senses=1):
        return False
    fits = tag.startswith(("AJ", "AV", "NP", "VV")) and tag not in ("VVN", "VVD")
    return fits and word not in VAGUE and _seen(wordnet.base_form(word) or word)


def joined(word: str) -> bool:
    """Return whether a word that WordNet lacks is made of its nouns, and something one can see.

    "tracksuit" (track, suit), "multitool" (tool) and "zester" (zest) are; "blorfer" is not.
    """
    if word.endswith("er") and any(wordnet.known(stem) for stem in (word[:-2], word[:-1])):
        return True
    for prefix in _PREFIXES:
        if word.startswith(prefix) and _seen(word.removeprefix(prefix)):
            return True
    return any(
        wordnet.known(word[:cut]) and wordnet.known(word[cut:]) and _seen(word[cut:])
        for cut in range(3, len(word) - 2)
    )


def _opened_by(words: list[str], tags: list[str], at: int) -> str:
    """Return the article, number or the like that opens the phrase of a word, ``""`` for none."""
    for before in range(at - 1, -1, -1):
        word, tag = words[before], tags[before]
        if tag[:2] in ("AT", "CR", "DP", "DT") or word in _OPENERS:
            return word
        if word in COLOURS and not tag.startswith("AJ"):
            return word  # "yellow duck" at the beginning of a caption
        if not tag.startswith(("AJ", "ORD")):
            return ""
    return words[0] if at and tags[0].startswith("AJ") else ""


def _more_follows(words: list[str], tags: list[str], at: int) -> bool:
    """Return whether what a word may describe follows: "flat and empty road", "lit up tree"."""
    after = at + 1
    if after == len(words) or words[after] == "next":
        return False
    if tags[after].startswith("CJC") or words[after] == ",":
        after += 1
        return after < len(words) and (tags[after].startswith("AJ") or words[after] in COLOURS)
    if tags[after].startswith(("VVG", "VVN")) and words[after] not in PARTICIPLES:
        after += 1  # "a metal hanging lamp"
    return after < len(words) and nominal(words[after], tags[after], colours=True)


def _ends(words: list[str], tags: list[str], at: int) -> bool:
    """Return whether a phrase ends with a word: nothing follows that a verb could govern."""
    after = at + 1
    return after == len(words) or not tags[after].startswith(("AT", "AJ", "CR", "DP", "DT", "NN"))


def _seen(word: str) -> bool:
    """Return whether a word has a meaning that a camera can see."""
    return any(wordnet.is_a(word, kind) for kind in ("physical object", "matter"))


def nominal(word: str, tag: str, *, colours: bool = False) -> bool:
    """Return whether a word may be part of a compound.

    Args:
        word: The word.
        tag: Its tag.
        colours: Whether adjectives and colours may be, too.
    """
    if word in PARTICIPLES or not word.isascii():
        return False
    if colours and (tag.startswith("AJ") or word in COLOURS):
        return True
    return tag.startswith(("NN", "NP", "UN")) and word not in COLOURS


def singular_form(tagged: list[tuple[str, str, str]], at: int) -> str:
    """Return the dictionary form of a noun: WordNet's, and only where it has none the tagger's.

    The tagger strips endings that make nouns of verbs: its lemma of "toaster" is "toast". Where
    WordNet lists a plural for another meaning ("cows": cattle), both must agree on the singular.

    Args:
        tagged: Word, lemma and tag of every word of the caption.
        at: Which word.
    """
    word, lemma, tag = tagged[at]
    if word in NO_SINGULAR:
        counted = at > 0 and tagged[at - 1][2].startswith("CR")
        of = at + 1 < len(tagged) and tagged[at + 1][0] == "of"
        return lemma if word in COUNTED and (counted or of) and wordnet.known(lemma) else word
    plural = tag in ("NN2", "VVZ") or word.endswith(_PLURAL_ENDINGS)
    if wordnet.known(word):
        words, tags = [word for word, _, _ in tagged], [tag for _, _, tag in tagged]
        if _opened_by(words, tags, at) in ("a", "an"):
            return word  # "a lei", "a gallows"
        if tag.startswith("NP") and not plural:
            return next(iter(wordnet.detached(word)), word)  # "canaries" are no islands
        if not plural:
            return word
        irregular = wordnet.base_form(word)
        if irregular and irregular != word:
            return irregular
        return lemma if lemma in wordnet.detached(word) else word
    inflected = plural and not word.endswith(_AGENT_ENDINGS)  # "kayaker" is no plural of "kayak"
    return wordnet.base_form(word) or (lemma if inflected else word)
