"""What the tagger and WordNet say about the words of a caption: nouns, and their singular."""

from __future__ import annotations

from functools import cache
from typing import Any

from ovseg_ros.language import wordnet
from ovseg_ros.language.lexicon import COLOURS, NO_SINGULAR, VAGUE


@cache
def tagger() -> Any:
    """Return the English tagger that HanTa ships, loaded once."""
    from HanTa.HanoverTagger import HanoverTagger

    return HanoverTagger("morphmodel_en.pgz")


def is_noun(words: list[str], tags: list[str], at: int) -> bool:
    """Return whether a word is a common noun; where the tagger does not know, WordNet decides."""
    tag = tags[at]
    if tag.startswith("NN"):
        return True
    if tag.startswith("NP"):  # captions are lower case: a name only if it is a place or a person
        return not any(wordnet.is_a(words[at], kind, senses=1) for kind in ("location", "person"))
    determined = at > 0 and (
        tags[at - 1][:2] in ("AT", "AJ", "CR", "DP", "DT") or words[at - 1] in COLOURS
    )
    if tag.startswith("VV") and tag not in ("VVG", "VVN", "VVD"):  # "a yellow duck" seen as a verb
        return determined
    if tag == "AJC":  # "a lighter" is no comparison where nothing follows that it could describe
        following = at + 1 < len(words) and tags[at + 1][:2] in ("NN", "NP", "UN", "AJ")
        return determined and not following and words[at] not in VAGUE
    if tag == "AJ0" and at > 0 and tags[at - 1] in ("AT0", "CRD"):  # "a croissant next to a cup"
        ends = at + 1 == len(words) or tags[at + 1][:2] not in ("NN", "NP", "UN", "AJ", "VV", "CR")
        return ends and words[at] not in VAGUE and _is_object(words[at])
    return tag.startswith("UN")


def _is_object(word: str) -> bool:
    """Return whether a word has a meaning that one can touch."""
    return any(wordnet.is_a(word, kind) for kind in ("artifact", "food", "plant", "animal"))


def nominal(word: str, tag: str) -> bool:
    """Return whether a word may be part of a compound."""
    return tag.startswith(("NN", "NP", "UN")) and word not in COLOURS and word.isascii()


def singular_form(tagged: list[tuple[str, str, str]], at: int) -> str:
    """Return the dictionary form of a noun: WordNet's, and only where it has none the tagger's.

    The tagger strips endings that make nouns of verbs: its lemma of "toaster" is "toast". Where
    WordNet lists a plural for another meaning ("cows": cattle), both must agree on the singular.

    Args:
        tagged: Word, lemma and tag of every word of the caption.
        at: Which word.
    """
    word, lemma, tag = tagged[at]
    plural = tag == "NN2"
    if word in NO_SINGULAR:
        counted = at > 0 and tagged[at - 1][2].startswith("CR")
        of = at + 1 < len(tagged) and tagged[at + 1][0] == "of"
        return lemma if plural and (counted or of) and wordnet.known(lemma) else word
    if wordnet.known(word):
        if not plural:
            return word
        irregular = wordnet.base_form(word)
        if irregular and irregular != word:
            return irregular
        return lemma if lemma in wordnet.detached(word) else word
    return wordnet.base_form(word) or (lemma if plural else word)
