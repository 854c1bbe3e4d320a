"""Currency types to messages and back."""

import tracemalloc

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from ovseg_ros.msg import Vocabulary as VocabularyMsg
from ovseg_ros.nodes.conversions import (
    frame_categories_to_msg,
    mode_from_msg,
    proposals_from_msg,
    proposals_to_msg,
    query_results_to_msg,
    stamp_from_msg,
    stamp_to_msg,
    vocabulary_from_msg,
    vocabulary_to_msg,
)
from ovseg_ros.pipeline import QueryAnswer
from ovseg_ros.types import Category, Discovery, Mode, Proposal, Source, Vocabulary

names = st.text("abcdefghijklmnopqrstuvwxyzßéöд0123456789", min_size=1, max_size=12)
scores = st.floats(0, 1, width=32)
# Seconds whose nanoseconds a float holds exactly enough to come back the same.
seconds = st.integers(0, 2**31 - 1).map(float)


@st.composite
def vocabularies(draw):
    words = draw(st.lists(names, unique=True, max_size=4))
    more = draw(st.lists(names.filter(lambda n: n not in words), unique=True, max_size=4))
    ids = sorted(draw(st.sets(st.integers(1, 65_534), min_size=len(words), max_size=len(words))))
    categories = tuple(
        Category(
            id=i,
            name=word,
            synonyms=tuple(more) if word == words[0] else (),
            source=draw(st.sampled_from(Source)),
            score=draw(scores),
            first_seen=draw(seconds),
            last_seen=draw(seconds),
            group=draw(names),
        )
        for i, word in zip(ids, words, strict=True)
    )
    return Vocabulary(
        version=draw(st.integers(0, 2**32 - 1)),
        mode=draw(st.sampled_from(Mode)),
        categories=categories,
    )


@given(vocabulary=vocabularies())
@settings(max_examples=50, deadline=None)
def test_vocabulary_round_trip_over_the_wire(vocabulary):
    sent = vocabulary_to_msg(vocabulary, Time(sec=3))
    received = deserialize_message(serialize_message(sent), VocabularyMsg)
    assert received.header.stamp.sec == 3
    assert vocabulary_from_msg(received) == vocabulary


@given(found=st.lists(st.builds(Proposal, name=names, score=scores), max_size=5))
@settings(max_examples=50, deadline=None)
def test_proposals_round_trip(found):
    message = proposals_to_msg(Discovery(proposals=tuple(found)), Header(), 4)
    assert message.version == 4
    assert {category.id for category in message.categories} <= {0}
    assert proposals_from_msg(message) == tuple(found)


@given(nanoseconds=st.integers(0, 2**31 * 10**9 - 1))
def test_stamp_round_trip(nanoseconds):
    assert stamp_from_msg(stamp_to_msg(nanoseconds)) == nanoseconds


def test_proposals_take_ids_from_a_vocabulary():
    found = Discovery(proposals=(Proposal(name="mug", score=0.9), Proposal(name="duck", score=0.5)))
    message = proposals_to_msg(found, Header(), 0, Vocabulary.of("duck"))
    assert [(c.name, c.id) for c in message.categories] == [("mug", 0), ("duck", 1)]


def test_wrong_messages_are_refused():
    with pytest.raises(ValueError, match=r"mode: expected 0 .* got 9"):
        mode_from_msg(9)
    message = vocabulary_to_msg(Vocabulary.of("mug"), Time())
    message.categories[0].source = 7
    with pytest.raises(ValueError, match=r"source: expected one of \[0, 1, 2\], got 7"):
        vocabulary_from_msg(message)
    message.categories[0].synonyms = [f"word {i}" for i in range(65)]
    with pytest.raises(ValueError, match=r"categories: expected at most .* got 1 of up to 65"):
        vocabulary_from_msg(message)
    message.categories[0].name = "  "
    with pytest.raises(ValueError, match="visible character"):
        proposals_from_msg(message)


def test_frame_categories():
    labels = np.zeros((6, 8), np.uint8)
    labels[1:3, 2:7] = 2  # 2 rows, 5 columns
    labels[4, 0] = labels[5, 7] = 1
    confidence = np.where(labels == 2, 255, 51).astype(np.uint8)
    header = Header(frame_id="camera")
    message = frame_categories_to_msg(
        labels, confidence, Vocabulary.of("mug", "tray", "duck", version=7), header
    )
    assert message.header == header
    assert message.vocabulary_version == 7
    tray, mug = message.categories  # largest first, absent left out
    assert (tray.id, tray.name, tray.pixels) == (2, "tray", 10)
    assert (tray.x, tray.y, tray.width, tray.height) == (2, 1, 5, 2)
    assert (tray.centroid_x, tray.centroid_y) == (4.0, 1.5)
    assert tray.mean_confidence == pytest.approx(1.0)
    assert (mug.name, mug.pixels, mug.x, mug.y, mug.width, mug.height) == ("mug", 2, 0, 4, 8, 2)
    assert mug.mean_confidence == pytest.approx(0.2)


@given(seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_frame_categories_agree_with_one_mask_at_a_time(seed):
    random = np.random.default_rng(seed)
    labels = random.choice(np.array([0, 1, 3, 300], np.uint16), size=(7, 5))
    confidence = random.integers(0, 256, labels.shape, np.uint8)
    words = tuple(Category(id=i, name=f"word {i}") for i in (1, 3, 300))
    message = frame_categories_to_msg(
        labels, confidence, Vocabulary(version=1, categories=words), Header()
    )
    assert {c.id for c in message.categories} == set(np.unique(labels)) - {0}
    for category in message.categories:
        rows, columns = np.nonzero(labels == category.id)
        assert category.pixels == len(rows)
        assert (category.x, category.y) == (columns.min(), rows.min())
        assert category.width == np.ptp(columns) + 1
        assert category.height == np.ptp(rows) + 1
        assert category.centroid_x == pytest.approx(columns.mean(), rel=1e-6)
        mean = confidence[rows, columns].mean() / 255
        assert category.mean_confidence == pytest.approx(mean, rel=1e-6)


def test_categories_cost_what_is_in_view_and_not_the_largest_id():
    def cost(largest):
        words = [Category(id=1, name="mug"), Category(id=largest, name="tray")]
        vocabulary = Vocabulary(categories=tuple(words))
        labels = np.full((480, 640), largest, np.uint16)
        labels[:100] = 1
        confidence = np.full(labels.shape, 9, np.uint8)
        tracemalloc.start()
        found = frame_categories_to_msg(labels, confidence, vocabulary, Header())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert [c.name for c in found.categories] == ["tray", "mug"]
        return peak

    # A row or column of a histogram for every id would be hundreds of MiB, and 518 ms.
    assert cost(65_534) < cost(2) + 2**21


def test_query_results():
    answer = QueryAnswer(
        name="red mug", label=1, present=True, score=0.75, pixels=12, box_xywh=(1, 2, 3, 4)
    )
    (result,) = query_results_to_msg([answer])
    assert (result.name, result.label, result.present, result.pixels) == ("red mug", 1, True, 12)
    assert (result.x, result.y, result.width, result.height) == (1, 2, 3, 4)
    assert result.score == pytest.approx(0.75)
