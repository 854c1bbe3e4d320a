"""The flow: discover now and then, segment always, answer queries without side effects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ovseg_ros.config import from_mapping
from ovseg_ros.pipeline import Pipeline, PipelineConfig, QueryAnswer, _answers, build_pipeline
from ovseg_ros.types import Discovery, Mode, Proposal, Segmentation, Vocabulary
from ovseg_ros.vocabulary.config import VocabularyConfig
from ovseg_ros.vocabulary.living import LivingVocabulary


class Painter:
    """Segments by grey value: a name wins where the image has its value."""

    cadence = "frame"
    dtype = "float32"
    name, device = "painter", "cpu"

    def __init__(self, **values: int) -> None:
        self.values = values
        self.asked: list[Vocabulary] = []

    def segment(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        self.asked.append(vocabulary)
        kind = np.uint8 if vocabulary.ids.max(initial=0) < 255 else np.uint16
        labels = np.zeros(images.shape[:3], kind)
        for category in vocabulary.categories:
            labels[images[..., 0] == self.values.get(category.name, -1)] = category.id
        confidence = np.where(labels > 0, images[..., 1], 7).astype(np.uint8)
        return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)


class Reader:
    """Discovers the names it was given."""

    name, device = "reader", "cpu"

    def __init__(self, *names: str) -> None:
        self.proposals = tuple(Proposal(name=name, score=1.0) for name in names)
        self.seeds: list[int] = []

    def discover(self, image: np.ndarray, *, seed: int = 0) -> Discovery:
        self.seeds.append(seed)
        return Discovery(proposals=self.proposals)


def pipeline(*, fixed: Sequence[str] = ()) -> Pipeline:
    config = VocabularyConfig(admit=1, window=1)
    if fixed:
        config = VocabularyConfig(admit=1, window=1, mode="fixed", names=tuple(fixed))
    return Pipeline(
        Painter(mug=10, duck=20, table=30, cup=10), Reader("mug", "table"), LivingVocabulary(config)
    )


@pytest.fixture
def image() -> np.ndarray:
    """A table (30) with a mug (10) and nobody's pixels (99); confidence in the second channel."""
    image = np.zeros((6, 8, 3), np.uint8)
    image[..., 0] = 30
    image[1:4, 2:7, 0] = 10
    image[5, :, 0] = 99
    image[..., 1] = 100
    image[1, 2:7, 1] = 250
    return image


def test_discovered_words_segment_the_next_frames(image: np.ndarray):
    flow = pipeline()
    assert flow.segment(image[None]).labels.max() == 0
    found = flow.discover(image, stamp=3.0, seed=8)
    assert found.names == ("mug", "table")
    assert flow.discoverer.seeds == [8]  # type: ignore[union-attr]
    result = flow.segment(np.stack([image, image]))
    assert result.vocabulary is flow.vocabulary.snapshot()
    assert result.vocabulary.categories[0].first_seen == 3.0
    assert result.labels.shape == (2, 6, 8)
    assert [(result.labels[1] == k).sum() for k in (0, 1, 2)] == [8, 15, 25]


def test_without_a_discoverer_there_is_nothing_to_discover_with(image: np.ndarray):
    flow = Pipeline(Painter(), None, LivingVocabulary())
    with pytest.raises(ValueError, match=r"discovery\.name: expected a discoverer"):
        flow.discover(image)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_bad_images_reach_no_model_and_no_vocabulary(bad: np.ndarray):
    flow = pipeline()
    for call in (
        flow.discover,
        lambda bad: flow.segment(bad[None]),
        lambda b: flow.query(b, ["m"]),
    ):
        with pytest.raises(ValueError, match="expected"):
            call(bad)
    assert flow.segmenter.asked == []  # type: ignore[attr-defined]
    assert flow.discoverer.seeds == []  # type: ignore[union-attr]
    assert flow.vocabulary.snapshot().version == 0


def test_a_query_answers_for_each_of_its_names(image: np.ndarray):
    flow = pipeline(fixed=["table"])
    before = flow.vocabulary.snapshot()
    found, answers = flow.query(image, ["duck", " Mug "])
    assert answers == (
        QueryAnswer(
            name="duck", label=1, present=False, score=0.0, pixels=0, box_xywh=(0, 0, 0, 0)
        ),
        QueryAnswer(
            name="mug",
            label=2,
            present=True,
            score=pytest.approx((5 * 250 + 10 * 100) / 15 / 255),
            pixels=15,
            box_xywh=(2, 1, 5, 3),
        ),
    )
    assert found.vocabulary.names == ("duck", "mug")
    assert found.labels.dtype == np.uint8
    assert (found.labels[0] == 2).sum() == 15
    assert set(np.unique(found.labels)) == {0, 2}  # the table competed and is not shown
    assert found.confidence[0, 0, 0] == 0  # of nobody's pixels neither
    assert found.confidence[0, 1, 2] == 250
    assert flow.segmenter.asked[-1].names == ("duck", "mug", "table")  # type: ignore[attr-defined]
    assert flow.vocabulary.snapshot() is before


def test_words_in_force_do_not_compete_with_themselves(image: np.ndarray):
    flow = pipeline()
    flow.vocabulary.observe([Proposal(name="mug", score=1.0, synonyms=("cup",))])
    _, (cup,) = flow.query(image, ["cup"])
    assert cup.present
    assert flow.segmenter.asked[-1].names == ("cup",)  # type: ignore[attr-defined]


def test_a_wider_word_in_force_is_no_rival_of_a_query(image: np.ndarray):
    flow = pipeline()
    flow.vocabulary.observe([Proposal(name="mug", score=1.0), Proposal(name="table", score=1.0)])
    flow.query(image, ["red mug"])
    assert flow.segmenter.asked[-1].names == ("red mug", "table")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([], "at least one name, got none"),
        (["mug", ""], "at least one visible character"),
        (["mug", "MUG"], "no repeats, got 'mug'"),
        (["x" * 65], "at most 64 characters"),
        ("mug", "expected a list of names, got 'mug'"),
    ],
)
def test_a_bad_query_is_refused(image: np.ndarray, names: Sequence[str], why: str):
    flow = pipeline()
    with pytest.raises(ValueError, match=why):
        flow.query(image, names)
    assert flow.segmenter.asked == []  # type: ignore[attr-defined]


def test_a_query_beside_a_large_vocabulary(image: np.ndarray):
    things = tuple(f"thing {i}" for i in range(400))
    config = VocabularyConfig(mode="fixed", names=things, max_categories=400)
    flow = Pipeline(Painter(mug=10), None, LivingVocabulary(config))
    found, (mug,) = flow.query(image, ["mug"])
    assert mug.pixels == 15
    assert found.labels.max() == 1


class Watched(np.ndarray):
    """A mask that counts how often it is computed with."""

    looks = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        Watched.looks += 1
        plain = [np.asarray(value) if isinstance(value, Watched) else value for value in inputs]
        return getattr(ufunc, method)(*plain, **options)


def test_a_query_of_very_many_names_costs_no_look_at_the_mask_for_each():
    labels = np.zeros((48, 64), np.uint16)
    labels[10:20, 5:7] = 3
    confidence, looks = np.full(labels.shape, 51, np.uint8), []
    for count in (3, 3_000):
        Watched.looks = 0
        names = [f"thing {i}" for i in range(count)]
        answers = _answers(names, labels.view(Watched), confidence)
        looks.append(Watched.looks)
        assert [answer.name for answer in answers if answer.present] == ["thing 2"]
        assert answers[2].box_xywh == (5, 10, 2, 10)
        assert answers[2].score == pytest.approx(0.2)
    assert looks[0] == looks[1]
    assert (labels.view(Watched) == 3).any() and Watched.looks > looks[1]  # it does count


def test_a_query_of_very_many_names_is_answered():
    names = [f"thing {i}" for i in range(30_000)] + ["mug"]
    config = VocabularyConfig(mode="fixed", names=tuple(f"word {i}" for i in range(200)))
    flow = Pipeline(Painter(mug=10), None, LivingVocabulary(config))
    large = np.zeros((480, 640, 3), np.uint8)
    large[100:200, 50:70] = 10
    _, answers = flow.query(large, names)
    assert [answer.name for answer in answers if answer.present] == ["mug"]
    assert answers[-1].box_xywh == (50, 100, 20, 100)


def test_a_configuration_without_weights_does_not_start(tmp_path):
    config = from_mapping(
        PipelineConfig, {"segmenter.simzss.weights": str(tmp_path), "discovery.name": "none"}
    )
    with pytest.raises(FileNotFoundError, match=r"expected config\.json in"):
        build_pipeline(config)


def test_modes_meet_the_segmenter_as_vocabularies(image: np.ndarray):
    flow = pipeline(fixed=["duck"])
    flow.discover(image)
    assert flow.segment(image[None]).labels.max() == 0
    flow.vocabulary.set(["duck"], mode=Mode.EXTEND)
    assert set(np.unique(flow.segment(image[None]).labels)) == {0, 2, 3}
