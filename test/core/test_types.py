"""The currency types: what exists is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovseg_ros.characters import unseen
from ovseg_ros.types import (
    MAX_ID,
    MAX_NAME_LENGTH,
    Category,
    Discovery,
    Mode,
    Proposal,
    Segment,
    Segmentation,
    Source,
    Vocabulary,
    check_images,
    normalise_name,
)


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("mug", "mug"),
        ("  Teddy \t\n BEAR ", "teddy bear"),
        ("x" * MAX_NAME_LENGTH, "x" * MAX_NAME_LENGTH),
        ("cafe\u0301", "caf\u00e9"),  # an e and an accent look like one letter, so they are one
        ("\u676f\u5b50", "\u676f\u5b50"),
    ],
)
def test_names_have_one_written_form(written: str, clean: str):
    assert normalise_name(written) == clean


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "at least one visible character"),
        (" \t\n", "at least one visible character"),
        ("x" * (MAX_NAME_LENGTH + 1), f"at most {MAX_NAME_LENGTH} characters, got 65"),
        ("mug\x00", "printable"),
        ("mu\u200bg", "printable"),  # zero-width space
        ("\ud800", "printable"),  # half a surrogate pair cannot be sent
        (7, "expected a string, got int"),
        (None, "expected a string, got NoneType"),
    ],
)
def test_bad_names_are_refused_with_the_reason(name: str, why: str):
    with pytest.raises(ValueError, match=why):
        normalise_name(name)


@settings(deadline=None)
@given(st.text(max_size=70))
def test_normalising_twice_changes_nothing(text: str):
    try:
        clean = normalise_name(text)
    except ValueError:
        return
    assert normalise_name(clean) == clean
    assert unseen(clean) is None
    assert 0 < len(clean) <= MAX_NAME_LENGTH


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Category(id=0, name="mug"), "id: expected 1..65534, got 0"),
        (lambda: Category(id=MAX_ID + 1, name="mug"), "got 65535"),
        (lambda: Category(id=1, name="Mug"), "normalised name, got 'Mug'"),
        (lambda: Category(id=1, name="mug", score=1.01), "score: expected 0..1"),
        (lambda: Category(id=1, name="mug", score=float("nan")), "score: expected 0..1"),
        (lambda: Category(id=1, name="mug", synonyms=("Cup",)), "normalised name, got 'Cup'"),
        (lambda: Category(id=1, name="mug", synonyms=("mug",)), "synonyms: expected other names"),
        (lambda: Category(id=1, name="mug", synonyms=("cup", "cup")), "each once"),
        (lambda: Proposal(name=" mug", score=1.0), "normalised name, got ' mug'"),
        (lambda: Proposal(name="mug", score=-0.1), "score: expected 0..1"),
        (lambda: Proposal(name="mug", score=1.0, synonyms=("a  b",)), "normalised name"),
        (lambda: Vocabulary(version=-1), "version: expected >= 0"),
        (lambda: Vocabulary.of("mug", "MUG"), "distinct names"),
        (lambda: Vocabulary.of("mug", " "), "at least one visible character"),
        (
            lambda: Vocabulary(categories=(Category(id=2, name="a"), Category(id=1, name="b"))),
            r"ascending ids without repeats, got \[2, 1\]",
        ),
        (
            lambda: Vocabulary(categories=(Category(id=1, name="a"), Category(id=1, name="b"))),
            r"ascending ids without repeats, got \[1, 1\]",
        ),
        (
            lambda: Vocabulary(
                categories=(
                    Category(id=1, name="mug", synonyms=("cup",)),
                    Category(id=2, name="cup"),
                )
            ),
            "distinct names and synonyms",
        ),
    ],
)
def test_what_is_wrong_cannot_be_made(make: Callable[[], object], why: str):
    with pytest.raises(ValueError, match=why):
        make()


def test_vocabulary_of_names():
    words = Vocabulary.of("Mug", "teddy  bear", version=4)
    assert (words.version, words.mode, len(words)) == (4, Mode.FIXED, 2)
    assert words.names == ("mug", "teddy bear")
    assert words.ids.tolist() == [1, 2]
    assert words.ids.dtype == np.uint16
    assert {category.source for category in words.categories} == {Source.FIXED}
    assert hash(words) == hash(Vocabulary.of("mug", "teddy bear", version=4))
    assert Vocabulary().ids.shape == (0,)


def test_a_category_is_found_by_its_name_or_a_synonym():
    mug, duck = Category(id=3, name="mug", synonyms=("cup",)), Category(id=9, name="duck")
    words = Vocabulary(categories=(mug, duck))
    assert words.named("Mug") is mug
    assert words.named(" CUP ") is mug
    assert words.named("duck") is duck
    assert words.named("bear") is None


def test_discovery_lists_its_names():
    found = Discovery(proposals=(Proposal(name="mug", score=0.9), Proposal(name="duck", score=0.1)))
    assert found.names == ("mug", "duck")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_segmentation_takes_both_mask_types(dtype: type):
    labels = np.zeros((2, 3, 4), dtype)
    assert Segmentation(labels=labels, confidence=np.zeros((2, 3, 4), np.uint8)).labels is labels


@pytest.mark.parametrize(
    ("labels", "confidence", "why"),
    [
        (np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8), r"labels: .* got \(3, 4\) uint8"),
        (np.zeros((1, 3, 4), np.int64), np.zeros((1, 3, 4), np.uint8), "labels: .* int64"),
        (np.zeros((1, 3, 4), np.uint8), np.zeros((1, 4, 3), np.uint8), r"confidence: .*\(1, 4, 3"),
        (np.zeros((1, 3, 4), np.uint8), np.zeros((1, 3, 4), np.float32), "confidence: .* float32"),
    ],
)
def test_segmentation_checks_its_arrays(labels: np.ndarray, confidence: np.ndarray, why: str):
    with pytest.raises(ValueError, match=why):
        Segmentation(labels=labels, confidence=confidence)


SEGMENT = Segment(id=2, category_id=1, score=0.5, area=3, box_xywh=(0, 0, 3, 1))


def segmented(**changes: object) -> Segmentation:
    labels = np.ones((1, 2, 3), np.uint8)
    parts = {"segment_ids": np.full((1, 2, 3), 2, np.uint16), "segments": ((SEGMENT,),)}
    return Segmentation(labels=labels, confidence=labels, **{**parts, **changes})


def test_segments_may_come_with_a_segmentation():
    assert segmented().segments[0][0].box_xywh == (0, 0, 3, 1)
    assert segmented(segment_ids=None, segments=()).segment_ids is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"segment_ids": None}, "segments: expected none without segment_ids"),
        ({"segment_ids": np.zeros((1, 2, 3), np.uint8)}, "segment_ids: .* uint16, got .* uint8"),
        ({"segment_ids": np.zeros((1, 3, 2), np.uint16)}, r"segment_ids: .* got \(1, 3, 2\)"),
        ({"segments": ()}, "segments: expected those of 1 images, got 0"),
        ({"segments": ((SEGMENT, SEGMENT),)}, "segments: expected ascending ids"),
    ],
)
def test_segments_fit_the_masks(changes: dict, why: str):
    with pytest.raises(ValueError, match=why):
        segmented(**changes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"id": 0}, "id: expected"), ({"area": 0}, "area: expected"), ({"score": 2.0}, "score:")],
)
def test_a_segment_checks_itself(changes: dict, why: str):
    with pytest.raises(ValueError, match=why):
        replace(SEGMENT, **changes)


def test_stuff_is_no_thing():
    words = Vocabulary.of("mug", "floor", stuff=["Floor"])
    assert [category.is_thing for category in words.categories] == [True, False]


def test_images_pass_unchanged():
    images = np.zeros((2, 3, 4, 3), np.uint8)
    assert check_images(images) is images


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (np.zeros((3, 4, 3), np.uint8), r"\(3, 4, 3\) uint8"),
        (np.zeros((1, 3, 4, 4), np.uint8), r"\(1, 3, 4, 4\) uint8"),
        (np.zeros((1, 3, 4, 3), np.float32), "float32"),
        (np.zeros((1, 0, 4, 3), np.uint8), r"\(1, 0, 4, 3\)"),
        (np.zeros((0, 3, 4, 3), np.uint8), r"\(0, 3, 4, 3\)"),
        ([[1]], "list"),
    ],
)
def test_what_is_no_batch_of_images_is_named(images: np.ndarray, got: str):
    with pytest.raises(
        ValueError, match=rf"images: expected RGB \(B, H, W, 3\) uint8, got .*{got}"
    ):
        check_images(images)
