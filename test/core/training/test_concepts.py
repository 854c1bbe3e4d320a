"""Concepts in captions: the longest name, whole words, plurals, and the tokens that spell them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ovseg_ros.models.tokenizer import ClipTokenizer, Tokenizer, train_tokenizer
from ovseg_ros.segmenters.simzss.step import Reader
from ovseg_ros.training.concepts import (
    ChunkBank,
    Concept,
    ConceptBank,
    count_concepts,
    read_concepts,
    token_spans,
)

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
    found = Reader(trained, [ConceptBank(NAMES)])(captions)[1][0]
    assert found.image.tolist() == [0, 0, 2]
    assert [NAMES[label] for label in found.label] == ["mug", "ball", "soccer ball"]
    assert found.span.shape == (3, 32)
    for row, (image, label) in enumerate(zip(found.image, found.label, strict=True)):
        concept = next(c for c in ConceptBank(NAMES).find(captions[image]) if c.label == label)
        ((_, tokens),) = token_spans([concept], trained.offsets(captions[image]))
        assert found.span[row].nonzero().flatten().tolist() == tokens
    assert set(found.span.unique().tolist()) == {0.0, 1.0}


def test_no_occurrences_are_a_batch_too(trained: Tokenizer):
    found = Reader(trained, [ConceptBank(NAMES)])(["nothing"])[1][0]
    assert (found.image.shape, found.label.shape, found.span.shape) == ((0,), (0,), (0, 32))
    assert found.label.dtype == torch.int64


def test_a_tagger_finds_the_longest_ending_of_a_chunk_that_the_bank_has():
    bank = ChunkBank(["table", "kitchen table", "mug", "teddy bear"])
    caption = "two mugs on a dining table, a kitchen table and a teddy bear"
    found = bank.find(caption)
    assert [bank.names[concept.label] for concept in found] == [
        "mug",
        "table",
        "kitchen table",
        "teddy bear",
    ]
    spelled = [caption[concept.start : concept.end] for concept in found]
    assert spelled == ["mugs", "table", "kitchen table", "teddy bear"]
    with pytest.raises(ValueError, match="names: expected at least one concept"):
        ChunkBank([])


def test_a_bank_is_counted_in_captions():
    captions = ["a mug on a table", "two mugs", "a table", "a duck", "mugs, ducks and a cat"]
    assert count_concepts(captions, minimum=2) == ["mug", "table", "duck"]
    assert count_concepts(captions, minimum=1, limit=1) == ["mug"]
    assert count_concepts([], minimum=1) == []


def test_at_most_32_concepts_of_15_tokens_each():
    many = [Concept(0, 2 * k, 2 * k + 1) for k in range(40)]
    offsets = [(2 * k, 2 * k + 1) for k in range(40)]
    assert len(token_spans(many, offsets)) == 32
    assert len(token_spans([Concept(0, 0, 29)], offsets)[0][1]) == 15
    assert token_spans([Concept(0, 0, 31)], offsets) == []


def test_a_concept_list_is_read_from_a_file(tmp_path: Path):
    (tmp_path / "a.txt").write_text(" Mug\n\nteddy  Bear\nmug\n")
    assert read_concepts(tmp_path / "a.txt") == ["mug", "teddy bear"]
    (tmp_path / "b.txt").write_text("\n")
    with pytest.raises(ValueError, match="bank: expected one concept per line"):
        read_concepts(tmp_path / "b.txt")
    with pytest.raises(FileNotFoundError, match=r"bank: .*none is not there"):
        read_concepts(tmp_path / "none")
