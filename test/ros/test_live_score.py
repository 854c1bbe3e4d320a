"""The check of names, and the score, without any node."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ovseg_ros.nodes.live_score import LiveScore, NameCheck
from ovseg_ros.types import Category, Mode, Vocabulary

MUG = Vocabulary.of("mug", version=1)
TRAY = Vocabulary(version=2, categories=(Category(id=2, name="tray"),))


@pytest.mark.parametrize(
    ("masks", "stale"),
    [
        ([(1, {1}, 20)], 0),
        ([(1, set(), 20)], 0),
        ([(1, {1}, 5)], 1),  # the mask left before its vocabulary
        ([(1, {2}, 20)], 1),  # a vocabulary that does not hold its id
        ([(2, {2}, 40), (1, {1}, 45)], 0),
        ([(3, {1}, 50)], 1),  # never announced
        ([(0, {1}, 50)], 0),  # from before we listened
    ],
)
def test_stale_names(masks, stale):
    check = NameCheck(patience=3)
    for version, ids, sent in masks:
        check.mask(("", version), frozenset(ids), sent)
    check.announce(MUG, sent=10)  # the vocabulary may come after the mask that it left before
    check.announce(TRAY, sent=30)
    check.finish()
    assert check.stale == stale


def test_a_mask_waits_only_for_so_long():
    check = NameCheck(patience=2)
    check.announce(MUG, sent=0)
    check.mask(("", 7), frozenset({1}), 1)
    assert (check.stale, check.checked) == (0, 0)
    check.mask(("", 1), frozenset({1}), 2)
    check.mask(("", 7), frozenset({1}), 3)
    check.mask(("", 7), frozenset({1}), 4)
    assert (check.stale, check.checked) == (1, 2)


def test_versions_belong_to_their_session():
    check = NameCheck(patience=0)
    check.announce(Vocabulary.of("mug", "tray", version=2), sent=10)
    restarted = Vocabulary(session="b", version=1, categories=MUG.categories)
    check.announce(restarted, sent=50)
    check.mask(("b", 1), frozenset({1}), 60)
    check.mask(("", 2), frozenset({1, 2}), 20)
    assert (check.checked, check.stale) == (2, 0)
    check.mask(("b", 2), frozenset({1}), 60)  # that of another session has this number
    assert (check.checked, check.stale) == (3, 1)


def test_of_very_many_vocabularies_the_last_thousand_are_kept():
    check = NameCheck()
    for version in range(1, 2001):
        check.announce(Vocabulary.of("mug", version=version), sent=version)
    assert check.version(("", 1000)) is None
    assert check.version(("", 1001)) is not None
    check.mask(("", 5), frozenset({1}), 5)
    check.finish()
    assert (check.checked, check.stale) == (0, 0)


def exact(names, classes, *, synonyms):
    table = {word: name for name in classes for word in (name, *synonyms[name])}
    return {name: table.get(name) for name in names}


def test_score():
    truth = Vocabulary(
        version=1,
        categories=(
            Category(id=3, name="mug", synonyms=("cup",)),
            Category(id=5, name="tray"),
            Category(id=6, name="duck"),
        ),
    )
    score = LiveScore(truth, exact)
    assert score.report() == {"frames_evaluated": 0}
    found = Vocabulary(
        version=1,
        mode=Mode.AUTO,
        categories=(Category(id=1, name="cup"), Category(id=2, name="zebra")),
    )
    true = np.array([[3, 3, 5, 5, 0]], np.uint8)
    labels = np.array([[1, 1, 1, 2, 1]], np.uint8)  # the last pixel has no ground truth
    score.add(labels, true, found)
    report = score.report(["cup", "zebra"])
    assert report["per_category_auto"] == {"mug": pytest.approx(2 / 3), "tray": 0.0}
    assert report["miou_auto"] == pytest.approx(1 / 3)
    assert (report["vocabulary_precision"], report["vocabulary_recall"]) == (0.5, 0.5)
    score.add(labels, true, Vocabulary.of("mug", "tray"))
    assert score.frames == {Mode.AUTO: 1, Mode.FIXED: 1}
    assert score.report()["miou_fixed"] == pytest.approx((2 / 3 + 1 / 2) / 2)
