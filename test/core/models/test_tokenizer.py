"""Tokenizers: a small one that lies beside its weights, and CLIP's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovseg_ros.models.tokenizer import (
    ClipTokenizer,
    Tokenizer,
    load_tokenizer,
    train_tokenizer,
)


@pytest.fixture(scope="module")
def clip() -> ClipTokenizer:
    return ClipTokenizer()


def test_a_text_begins_and_ends_with_its_marks(tokenizer: Tokenizer):
    ids = tokenizer(["a red mug", ""])
    assert ids.shape == (2, 24)
    start, end = tokenizer.vocab_size - 2, tokenizer.vocab_size - 1
    for row in ids.tolist():
        length = row.index(end) + 1
        assert row[0] == start
        assert start not in row[1:]
        assert row[length:] == [0] * (24 - length)
        assert 0 not in row[:length]
        assert max(row) == end  # which is how open_clip finds it


def test_case_does_not_matter(tokenizer: Tokenizer):
    assert tokenizer(["A Red MUG"]).equal(tokenizer(["a red mug"]))


def test_common_words_are_one_token(tokenizer: Tokenizer):
    assert (tokenizer(["mug"])[0] > 0).sum() <= 4


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_everything_can_be_written(text: str):
    ids = TRAINED([text])[0]
    assert ids.max() == TRAINED.vocab_size - 1
    kept = ids[ids > 0].tolist()
    assert kept[0] == TRAINED.vocab_size - 2
    assert kept[-1] == TRAINED.vocab_size - 1
    assert len(TRAINED.offsets(text)) == len(kept) <= 24


TRAINED = train_tokenizer(["a mug"], vocab_size=300, context_length=24)


def test_different_texts_have_different_ids(tokenizer: Tokenizer):
    texts = ["mug", "mugs", "\u676f", "\u5b50", "a mug", "m u g", "caf\u00e9", "cafe"]
    assert len(set(map(tuple, tokenizer(texts).tolist()))) == len(texts)


def test_a_saved_tokenizer_is_the_same(tokenizer: Tokenizer, tmp_path: Path):
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path, ids=49_408, length=77)
    assert (loaded.vocab_size, loaded.context_length) == (tokenizer.vocab_size, 24)
    texts = ["a red mug", "", "unknown " * 30]
    assert loaded(texts).equal(tokenizer(texts))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"truncation": {"max_length": 24, "stride": 24}}, "expected a tokenizer: .*stride"),
        ({"truncation": {"max_length": 10**12}}, "texts of 2 to 77 tokens in .*got 1000000000000"),
        (
            {"truncation": {"max_length": 1}},
            "texts of 2 to 77 tok|expected a tok",
        ),
        ({"truncation": None}, "texts of 2 to 32 tokens in .*, got 77"),
        ({"model": {"vocab": {"!": 10**6}}}, "at most 49408 ids in .*, got 1000001"),
    ],
)
def test_a_tokenizer_that_would_fail_later_is_refused(
    tokenizer: Tokenizer, tmp_path: Path, change: dict[str, Any], reason: str
):
    """Panics of the library are no Exception; ids that the tower has not end a CUDA context."""
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    written = json.loads(path.read_text())
    for section, values in change.items():
        if values is None:
            written[section] = None
            continue
        for key, value in values.items():
            inside = written[section]
            inside[key] = {**inside[key], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(written))
    with pytest.raises(ValueError, match=f"^weights: .*{reason}"):
        load_tokenizer(tmp_path, ids=49_408, length=32 if "32" in reason else 77)


def test_weights_without_a_tokenizer_use_that_of_clip(tmp_path: Path, clip: ClipTokenizer):
    loaded = load_tokenizer(tmp_path, ids=49_408, length=77)
    assert isinstance(loaded, ClipTokenizer)
    assert (loaded.vocab_size, loaded.context_length) == (49_408, 77)
    texts = ["a photo of a mug.", "Teddy  Bear", "word " * 100]
    assert clip(texts).equal(open_clip.get_tokenizer("ViT-B-16")(texts))
    clip.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["trained", "clip"])
@pytest.mark.parametrize("text", ["a red mug and two yellow ducks", "mug, mug on the racetrack"])
def test_offsets_lead_from_tokens_back_to_the_text(
    text: str, kind: str, tokenizer: Tokenizer, clip: ClipTokenizer
):
    used = tokenizer if kind == "trained" else clip
    offsets = used.offsets(text)
    assert len(offsets) == int((used([text])[0] > 0).sum())
    assert offsets[0] == offsets[-1] == (0, 0)
    inner = offsets[1:-1]
    assert all(start < end for start, end in inner)
    assert inner == sorted(inner)
    assert "".join(text[start:end].strip() for start, end in inner) == text.replace(" ", "")


@pytest.mark.parametrize("kind", ["trained", "clip"])
def test_too_long_texts_keep_their_end_mark(kind: str, tokenizer: Tokenizer, clip: ClipTokenizer):
    used = tokenizer if kind == "trained" else clip
    text = "mug duck " * 60
    ids = used([text])[0]
    assert ids[-1] == used.vocab_size - 1
    assert len(used.offsets(text)) == used.context_length
