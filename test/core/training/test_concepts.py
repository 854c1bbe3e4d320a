"""Concepts in captions: the longest name, whole words, plurals, and the tokens that spell them."""

from __future__ import annotations

import pytest
import torch

from ovseg_ros.segmenters.simzss.tokenizer import ClipTokenizer, Tokenizer, train_tokenizer
from ovseg_ros.training.concepts import Concept, ConceptBank, token_spans
from ovseg_ros.training.simzss import occurrences

NAMES = ("ball", "soccer ball", "mug", "race car", "car", "domino", "box")


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("a mug", ["mug"]),
        ("a mug, a mug.", ["mug", "mug"]),
        ("two mugs and three boxes by dominoes", ["mug", "box", "domino"]),
        ("a soccer ball and a ball", ["soccer ball", "ball"]),
        ("soccer balls", ["soccer ball"]),
        ("a race car", ["race car"]),
        ("a race; car", ["car"]),
        ("a toy car races", ["car"]),
        ("smug carpets in a ballroom", []),
        ("mug-like", ["mug"]),
        ("mugs'", ["mug"]),
        ("mugss", []),
        ("", []),
    ],
)
def test_the_longest_name_of_whole_words_is_found(caption: str, found: list[str]):
    assert [NAMES[concept.label] for concept in ConceptBank(NAMES).find(caption)] == found


def test_spans_include_the_plural():
    (concept,) = ConceptBank(NAMES).find("two soccer balls")
    assert concept == Concept(label=1, start=4, end=16)


def test_names_are_no_patterns():
    assert ConceptBank(["a.b"]).find("a.b axb") == [Concept(0, 0, 3)]


def test_an_empty_bank_is_refused():
    with pytest.raises(ValueError, match="names: expected at least one concept"):
        ConceptBank([])


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    texts = ["a red mug on a table", "two mugs and a soccer ball", "soccer"]
    return train_tokenizer(texts, vocab_size=400, context_length=32)


@pytest.fixture(scope="module")
def clip() -> ClipTokenizer:
    return ClipTokenizer()


@pytest.mark.parametrize("kind", ["trained", "clip"])
@pytest.mark.parametrize(
    ("caption", "spelled"),
    [
        ("mug", ["mug"]),
        ("a red mug.", ["mug"]),
        ("mug,mug", ["mug", "mug"]),
        ("two mugs, two soccer balls", ["mugs", "soccerballs"]),
        ("a race car near dominoes", ["racecar", "dominoes"]),
    ],
)
def test_tokens_of_a_concept_spell_it_and_nothing_else(
    kind: str, caption: str, spelled: list[str], trained: Tokenizer, clip: ClipTokenizer
):
    tokenizer = trained if kind == "trained" else clip
    offsets = tokenizer.offsets(caption)
    spans = token_spans(ConceptBank(NAMES).find(caption), offsets)
    for (_, tokens), word in zip(spans, spelled, strict=True):
        text = "".join(caption[slice(*offsets[token])] for token in tokens).replace(" ", "")
        assert text == word


def test_concepts_that_the_context_cuts_off_are_dropped(trained: Tokenizer):
    caption = "red " * 30 + "mug"
    (concept,) = ConceptBank(NAMES).find(caption)
    assert token_spans([concept], trained.offsets(caption)) == []
    half = Concept(0, len("red " * 29), len(caption))
    ((_, tokens),) = token_spans([half], trained.offsets(caption))
    assert max(tokens) < 31  # nor is the end mark part of it


def test_occurrences_of_a_batch(trained: Tokenizer):
    captions = ["a mug and a ball", "nothing", "two soccer balls"]
    found = occurrences(captions, ConceptBank(NAMES), trained)
    assert found.image.tolist() == [0, 0, 2]
    assert [NAMES[label] for label in found.label] == ["mug", "ball", "soccer ball"]
    assert found.span.shape == (3, 32)
    for row, (image, label) in enumerate(zip(found.image, found.label, strict=True)):
        concept = next(c for c in ConceptBank(NAMES).find(captions[image]) if c.label == label)
        ((_, tokens),) = token_spans([concept], trained.offsets(captions[image]))
        assert found.span[row].nonzero().flatten().tolist() == tokens
    assert set(found.span.unique().tolist()) == {0.0, 1.0}


def test_no_occurrences_are_a_batch_too(trained: Tokenizer):
    found = occurrences(["nothing"], ConceptBank(NAMES), trained)
    assert (found.image.shape, found.label.shape, found.span.shape) == ((0,), (0,), (0, 32))
    assert found.label.dtype == torch.int64
