"""The living vocabulary: ids never change their meaning, versions tell when the words did."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ovseg_ros.types import MAX_ID, MAX_MONO8_ID, Mode, Proposal, Source, Vocabulary
from ovseg_ros.vocabulary.config import VocabularyConfig, parse_groups
from ovseg_ros.vocabulary.living import LivingVocabulary


def seen(*names: str) -> list[Proposal]:
    """Proposals from names; ``"mug/cup"`` has the synonym cup."""
    split = [name.split("/") for name in names]
    return [Proposal(name=first, score=1.0, synonyms=tuple(rest)) for first, *rest in split]


def ids(vocabulary: Vocabulary) -> dict[str, int]:
    return {category.name: category.id for category in vocabulary.categories}


@pytest.mark.parametrize(
    ("admit", "window", "forget", "discoveries", "in_force"),
    [
        # The first words come at once, later ones when two of five discoveries said them.
        (2, 5, 9, ["mug duck", "bear", "bear"], ["mug duck", "mug duck", "mug duck bear"]),
        (2, 5, 9, ["mug", "bear", "mug", "mug", "bear"], ["mug", "mug", "mug", "mug", "mug bear"]),
        # The vote of the second discovery has left the window of three when the fifth comes.
        (2, 3, 9, ["mug", "bear", "", "", "bear", "bear"], ["mug"] * 5 + ["mug bear"]),
        (1, 1, 9, ["mug", "bear"], ["mug", "mug bear"]),
        (3, 3, 9, ["mug", "bear", "bear", "bear"], ["mug", "mug", "mug", "mug bear"]),
        # Nothing in force: the next words come at once again.
        (2, 5, 9, ["", "", "mug"], ["", "", "mug"]),
        (2, 2, 2, ["mug", "", "", "bear"], ["mug", "mug", "", "bear"]),
        # Two misses in a row and the word leaves; a sight between starts the count anew.
        (1, 1, 2, ["mug duck", "duck", "mug", "duck", "duck", "mug"],
         ["mug duck", "mug duck", "mug duck", "mug duck", "duck", "mug duck"]),
        (1, 1, 1, ["mug", "duck", ""], ["mug", "duck", ""]),
        # A name said twice in one discovery is one vote.
        (2, 5, 9, ["mug", "bear bear", "mug"], ["mug", "mug", "mug"]),
    ],
)  # fmt: skip
def test_words_come_and_go(
    admit: int, window: int, forget: int, discoveries: Sequence[str], in_force: Sequence[str]
):
    words = LivingVocabulary(VocabularyConfig(admit=admit, window=window, forget=forget))
    for step, (names, expected) in enumerate(zip(discoveries, in_force, strict=True)):
        assert set(words.observe(seen(*names.split())).names) == set(expected.split()), step


def test_a_word_that_returns_has_its_old_id():
    words = LivingVocabulary(VocabularyConfig(admit=1, window=1, forget=1))
    assert ids(words.observe(seen("mug", "duck"))) == {"mug": 1, "duck": 2}
    assert ids(words.observe(seen("bear"))) == {"bear": 3}
    assert ids(words.observe(seen("duck", "ball"))) == {"duck": 2, "ball": 4}
    assert words.snapshot().ids.tolist() == [2, 4]


def test_scores_and_times_follow_the_discoveries_without_new_versions():
    words = LivingVocabulary(VocabularyConfig(window=4, admit=1))
    words.observe(seen("mug", "duck"), stamp=10.0)
    version = words.snapshot().version
    for stamp in (11.0, 12.0, 13.0):
        words.observe(seen("mug"), stamp=stamp)
    mug, duck = words.snapshot().categories
    assert (mug.score, mug.first_seen, mug.last_seen) == (1.0, 10.0, 13.0)
    assert (duck.score, duck.first_seen, duck.last_seen) == (0.25, 10.0, 10.0)
    assert words.snapshot().version == version


def test_versions_grow_by_one_when_the_meaning_changes_and_only_then():
    words = LivingVocabulary(VocabularyConfig(admit=1, window=1))
    assert words.snapshot().version == 0
    assert words.observe([]).version == 0
    assert words.observe(seen("mug")).version == 1
    assert words.observe(seen("mug")).version == 1
    assert words.observe(seen("mug/cup")).version == 2  # a synonym
    assert words.set(["mug"], mode=Mode.EXTEND).version == 3  # now the operator's
    assert words.set(["mug"], mode=Mode.EXTEND).version == 3
    assert words.set(["mug"], mode=Mode.EXTEND, groups=["cups"]).version == 4
    assert words.set(["mug"], mode=Mode.FIXED, groups=["cups"]).version == 5
    assert words.set([], mode=Mode.AUTO).version == 6


def test_a_snapshot_never_changes():
    words = LivingVocabulary(VocabularyConfig(admit=1, window=1))
    before = words.observe(seen("mug"))
    words.observe(seen("duck"))
    assert before.names == ("mug",)
    assert words.snapshot() is words.snapshot()


class TestSynonyms:
    def test_they_merge_into_the_known_word(self):
        words = LivingVocabulary(VocabularyConfig(admit=1, window=1))
        words.observe(seen("mug"))
        found = words.observe(seen("cup/mug/beaker"))
        assert ids(found) == {"mug": 1}
        assert found.categories[0].synonyms == ("beaker", "cup")
        assert ids(words.observe(seen("beaker"))) == {"mug": 1}

    def test_they_merge_within_one_discovery(self):
        words = LivingVocabulary()
        found = words.observe(seen("cup/mug", "mug", "duck"))
        assert ids(found) == {"cup": 1, "duck": 2}
        assert found.named("mug") is found.categories[0]

    def test_they_share_their_votes_before_the_word_is_admitted(self):
        words = LivingVocabulary(VocabularyConfig(admit=3, window=5))
        words.observe(seen("table"))
        words.observe(seen("cup/mug"))
        words.observe(seen("mug"))
        found = words.observe(seen("beaker/mug"))
        assert found.names == ("table", "cup")
        assert found.categories[1].synonyms == ("beaker", "mug")

    def test_those_of_one_discovery_wait_together(self):
        words = LivingVocabulary(VocabularyConfig(admit=3, window=5))
        words.observe(seen("table"))
        words.observe(seen("mug", "cup/mug"))
        words.observe(seen("cup"))
        assert words.observe(seen("mug")).names == ("table", "mug")

    def test_none_means_two_things(self):
        words = LivingVocabulary(VocabularyConfig(admit=1, window=1))
        words.observe(seen("mug", "bowl"))
        found = words.observe(seen("mug/cup", "bowl/cup"))
        assert [c.synonyms for c in found.categories] == [("cup",), ()]
        assert ids(words.observe(seen("cup"))) == {"mug": 1, "bowl": 2}

    def test_a_waiting_word_that_became_one_is_not_admitted_beside_it(self):
        words = LivingVocabulary(VocabularyConfig(admit=2, window=9))
        words.observe(seen("bowl"))
        words.observe(seen("cup/mug"))  # cup waits for a second vote
        words.observe(seen("bowl/cup"))  # and turns out to be a bowl
        found = words.observe(seen("mug"))
        assert found.names == ("bowl",)
        assert found.categories[0].score == 0.75  # of four discoveries, all but the second

    def test_the_operator_gets_the_word_they_mean(self):
        words = LivingVocabulary(VocabularyConfig(admit=1, window=1))
        words.observe(seen("mug/cup"))
        assert ids(words.set(["Cup", "duck"], mode=Mode.FIXED)) == {"mug": 1, "duck": 2}

    def test_a_fixed_vocabulary_learns_none(self):
        words = LivingVocabulary(VocabularyConfig(mode="fixed", names=("mug",), admit=1))
        before = words.snapshot()
        assert words.observe(seen("mug/cup", "duck")).categories[0].synonyms == ()
        assert words.snapshot().version == before.version
        assert words.set(["mug"], mode=Mode.EXTEND).names == ("mug", "duck")
        assert words.observe(seen("cup/mug")).named("cup") is not None


class TestOperator:
    def test_fixed_names_are_alone(self):
        words = LivingVocabulary(VocabularyConfig(admit=1, window=1))
        words.observe(seen("mug"), stamp=1.0)
        found = words.set(["duck", "Teddy  Bear"], mode=Mode.FIXED, stamp=5.0)
        assert (found.mode, ids(found)) == (Mode.FIXED, {"duck": 2, "teddy bear": 3})
        assert {(c.source, c.score) for c in found.categories} == {(Source.FIXED, 1.0)}
        assert found.categories[0].first_seen == 5.0
        assert words.observe(seen("ball"), stamp=6.0).names == ("duck", "teddy bear")

    def test_extend_joins_both(self):
        words = LivingVocabulary(VocabularyConfig(admit=1, window=1, forget=1))
        words.observe(seen("mug", "duck"))
        found = words.set(["bear", "duck"], mode=Mode.EXTEND)
        sources = {category.name: category.source for category in found.categories}
        assert sources == {"mug": Source.AUTO, "duck": Source.QUERY, "bear": Source.QUERY}
        found = words.observe(seen("ball"))
        assert found.names == ("duck", "bear", "ball")  # discovery forgets its own words only
        assert (found.categories[0].score, found.categories[0].source) == (1.0, Source.QUERY)

    def test_auto_forgets_the_operators_names_and_keeps_the_discovered(self):
        words = LivingVocabulary(VocabularyConfig(admit=1, window=2))
        words.observe(seen("mug"))
        words.set(["mug", "bear"], mode=Mode.FIXED, groups=["grasp", ""])
        words.observe(seen("duck"))  # discovery goes on meanwhile
        found = words.set([], mode=Mode.AUTO)
        assert (found.mode, found.names) == (Mode.AUTO, ("mug", "duck"))
        assert {category.source for category in found.categories} == {Source.AUTO}
        assert [category.score for category in found.categories] == [0.5, 0.5]
        assert found.categories[0].group == ""

    def test_groups_come_from_the_request_or_else_the_configuration(self):
        words = LivingVocabulary(
            VocabularyConfig(admit=1, window=1, groups=("traversable: floor, Carpet", "grasp:mug"))
        )

        def groups(found: Vocabulary) -> dict[str, str]:
            return {category.name: category.group for category in found.categories}

        found = words.observe(seen("floor", "rug/carpet", "wall"))
        assert groups(found) == {"floor": "traversable", "rug": "traversable", "wall": ""}
        found = words.set(["floor", "mug"], mode=Mode.FIXED, groups=[" slippery  ground ", ""])
        assert groups(found) == {"floor": "slippery ground", "mug": "grasp"}
        found = words.set(["floor", "mug"], mode=Mode.FIXED)
        assert groups(found) == {"floor": "traversable", "mug": "grasp"}

    @pytest.mark.parametrize(
        ("names", "mode", "groups", "why"),
        [
            ([], Mode.FIXED, [], "at least one name in mode 'fixed', got none"),
            ([], Mode.EXTEND, [], "at least one name in mode 'extend'"),
            (["duck"], Mode.AUTO, [], "expected none in mode 'auto', got 1"),
            (["duck", ""], Mode.FIXED, [], "at least one visible character"),
            (["duck", "x" * 65], Mode.FIXED, [], "at most 64 characters"),
            (["duck", " DUCK"], Mode.FIXED, [], "no repeats, got 'duck'"),
            (["mug", "cup"], Mode.FIXED, [], "no synonyms, two of them mean 'mug'"),
            (["duck", "ball"], Mode.FIXED, ["toys"], r"one per name \(2\), got 1"),
            (["a", "b", "c", "d"], Mode.EXTEND, [], "4 new ones do not fit, 1 of 4 ids are taken"),
            ("duck", Mode.FIXED, [], "expected a list of names, got 'duck'"),
        ],
    )
    def test_a_refused_request_changes_nothing(
        self, names: Any, mode: Mode, groups: Sequence[str], why: str
    ):
        words = LivingVocabulary(VocabularyConfig(admit=1, window=1, max_categories=4))
        before = words.observe(seen("mug/cup"))
        with pytest.raises(ValueError, match=why):
            words.set(names, mode=mode, groups=groups)
        assert words.snapshot() is before
        assert ids(words.set(["ball"], mode=Mode.FIXED)) == {"ball": 2}  # no id was lost either


def test_ids_run_out_without_harm():
    words = LivingVocabulary(VocabularyConfig(admit=1, window=1, forget=1, max_categories=2))
    words.observe(seen("mug", "duck", "bear"))
    assert words.snapshot().names == ("mug", "duck")
    assert words.refused == ("bear",)
    assert words.observe(seen("bear", "ball", "duck")).names == ("duck",)
    assert words.refused == ("bear", "ball")
    assert ids(words.set(["mug"], mode=Mode.FIXED)) == {"mug": 1}


def test_masks_stay_8_bit_by_default():
    words = LivingVocabulary(VocabularyConfig(admit=1, window=1))
    words.observe(seen(*(f"thing {i}" for i in range(300))))
    assert words.snapshot().ids.max() == MAX_MONO8_ID - 32  # the operator's reserve
    assert words.ids_left == (0, 32)
    assert words.refused[-1] == "thing 299"
    more = words.set([f"asked {i}" for i in range(32)], mode=Mode.EXTEND)
    assert more.ids.max() == MAX_MONO8_ID
    assert words.ids_left == (0, 0)
    with pytest.raises(ValueError, match="1 new ones do not fit, 254 of 254 ids are taken"):
        words.set(["one more"], mode=Mode.EXTEND)
    assert words.snapshot() is more


def test_a_new_session_gives_ids_out_anew():
    words = LivingVocabulary(VocabularyConfig(admit=1, window=1, max_categories=4, reserve=0))
    first = words.observe(seen("mug", "duck", "cup", "ball", "bear"))
    assert (len(first), words.refused) == (4, ("bear",))
    with pytest.raises(ValueError, match="a new session gives them out anew"):
        words.set(["bear"], mode=Mode.FIXED)
    again = words.set(["bear"], mode=Mode.FIXED, new_session=True)
    assert (again.names, again.ids.tolist()) == (("bear",), [1])
    assert again.session != first.session
    assert again.version > first.version
    assert words.refused == ()
    with pytest.raises(ValueError, match="more than once"):
        words.set(["a", "a"], mode=Mode.FIXED, new_session=True)
    assert words.snapshot() is again  # a refused request changes nothing, the session neither


def test_sessions_differ():
    assert LivingVocabulary().session != LivingVocabulary().session
    words = LivingVocabulary()
    assert words.observe(seen("mug")).session == words.session


def test_the_operators_words_survive_a_restart(tmp_path):
    path = tmp_path / "state" / "words.json"
    config = VocabularyConfig(state_file=str(path), mode="fixed", names=("floor",))
    words = LivingVocabulary(config)
    assert words.snapshot().names == ("floor",)
    words.set(["Mug", "duck"], mode=Mode.EXTEND, groups=["dishes", ""])
    again = LivingVocabulary(config)
    assert (again.snapshot().mode, set(again.snapshot().names)) == (Mode.EXTEND, {"mug", "duck"})
    assert again.snapshot().named("mug").group == "dishes"
    assert again.session != words.session
    again.set([], mode=Mode.AUTO)
    assert LivingVocabulary(config).snapshot().mode is Mode.AUTO


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"mode": "auto"}', '{"mode": "x", "names": {}}', '{"mode": 1}', "\0"),
        '{"mode": "fixed", "names": {"\\ud800": ""}}',
        '{"mode": "fixed", "names": {"mug": "", "Mug": ""}}',
    ],
)
def test_a_damaged_state_file_is_named_and_kept(tmp_path, text):
    path = tmp_path / "words.json"
    path.write_text(text)
    words = LivingVocabulary(VocabularyConfig(state_file=str(path)))
    assert len(words.snapshot()) == 0
    assert str(path) in words.warnings[0]
    assert path.read_text() == text


def test_what_has_no_end_is_no_state_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), tmp_path):
        words = LivingVocabulary(VocabularyConfig(state_file=str(path)))
        assert f"state_file: {path} cannot be read" in words.warnings[0]
        words.set(["mug"], mode=Mode.FIXED)
        assert "not kept" in words.warnings[0]
    assert pipe.is_fifo()  # and not a file in its place


def test_as_many_words_as_there_are_ids_survive_a_restart(tmp_path):
    config = VocabularyConfig(state_file=str(tmp_path / "words.json"), max_categories=MAX_ID)
    names = [f"a thing with a name that is rather long, number {i}" for i in range(20_000)]
    LivingVocabulary(config).set(names, mode=Mode.FIXED)
    assert LivingVocabulary(config).snapshot().names == tuple(names)


def test_a_state_that_cannot_be_kept_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    words = LivingVocabulary(VocabularyConfig(state_file=str(tmp_path / "file" / "words.json")))
    assert words.set(["mug"], mode=Mode.FIXED).names == ("mug",)
    assert "not kept" in words.warnings[0]


def test_the_start_comes_from_the_configuration():
    fixed = LivingVocabulary(VocabularyConfig(mode="fixed", names=("Mug", "duck")))
    assert (fixed.snapshot().mode, fixed.snapshot().names) == (Mode.FIXED, ("mug", "duck"))
    extend = LivingVocabulary(VocabularyConfig(mode="extend", names=("mug",)))
    assert extend.observe(seen("duck")).names == ("mug", "duck")
    words = LivingVocabulary()
    before = words.snapshot()
    assert before == Vocabulary(session=words.session)  # before the first word
    assert words.observe([]) == before  # one version, one session


def test_frames_do_not_wait_for_text():
    """Whoever asks for the snapshot while text is encoded gets it."""
    waited: list[bool] = []

    def embed(names: Sequence[str]) -> np.ndarray:
        asking = threading.Thread(target=words.snapshot, daemon=True)
        asking.start()
        asking.join(5.0)
        waited.append(asking.is_alive())
        return np.eye(2, dtype=np.float32)[[int(name == "floor") for name in names]]

    config = VocabularyConfig(groups=("ground: floor",), group_similarity=0.5)
    words = LivingVocabulary(config, embed=embed)
    words.set(["mug", "cup"], mode=Mode.FIXED)
    words.observe(seen("duck"))
    assert waited
    assert not any(waited)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"admit": 3, "window": 2}, r"admit: expected at most window \(2\), got 3"),
        ({"mode": "fixed"}, "names: expected at least one name in mode 'fixed'"),
        ({"mode": "auto", "names": ("mug",)}, "names: expected none in mode 'auto'"),
        ({"mode": "fixed", "names": ("mug", "MUG")}, "names: expected no repeats"),
        ({"mode": "fixed", "names": ("mug", " ")}, "at least one visible character"),
        ({"mode": "fixed", "names": ("a", "b"), "max_categories": 1}, "at most max_categories"),
        ({"groups": ("traversable",)}, "groups: expected 'group: name, name', got 'traversable'"),
        ({"groups": ("traversable: ",)}, "groups: expected 'group: name, name'"),
        ({"groups": (": floor",)}, "groups: expected 'group: name, name'"),
        ({"groups": ("traversable: floor,,",)}, "at least one visible character"),
    ],
)
def test_a_bad_configuration_is_refused_before_anything_starts(options: dict[str, Any], why: str):
    with pytest.raises(ValueError, match=why):
        VocabularyConfig(**options)


def test_groups_are_parsed():
    assert parse_groups(["traversable: floor, Carpet ", "grasp:mug"]) == {
        "floor": "traversable",
        "carpet": "traversable",
        "mug": "grasp",
    }


def test_threads_see_whole_vocabularies_with_rising_versions():
    words = LivingVocabulary(VocabularyConfig(admit=1, window=2, forget=1, max_categories=50))
    done, wrong = threading.Event(), []
    meaning: dict[str, int] = {}

    def write(offset: int) -> None:
        for i in range(100):
            words.observe(seen(f"thing {(i * 7 + offset) % 40}", f"thing {i % 5}"))
            if i % 10 == 0:
                words.set([f"query {offset}"], mode=Mode.EXTEND)

    def read() -> None:
        version = 0
        while not done.is_set():
            now = words.snapshot()
            if now.version < version:
                wrong.append(f"version {now.version} after {version}")
            version = now.version
            for name, number in ids(now).items():
                if meaning.setdefault(name, number) != number:
                    wrong.append(f"{name} is {number}, was {meaning[name]}")

    writers = [threading.Thread(target=write, args=(k,)) for k in range(3)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert not wrong
    assert len(set(meaning.values())) == len(meaning) > 0


NAMES = st.sampled_from("abcdefgh")
PROPOSALS = st.lists(
    st.builds(
        lambda name, synonyms: Proposal(
            name=name, score=1.0, synonyms=tuple(sorted(synonyms - {name}))
        ),
        NAMES,
        st.sets(NAMES, max_size=2),
    ),
    max_size=4,
)


class Life(RuleBasedStateMachine):
    """Whatever happens, ids keep their meaning and versions tell of every change."""

    def __init__(self) -> None:
        super().__init__()
        self.words = LivingVocabulary(
            VocabularyConfig(window=3, admit=2, forget=2, max_categories=6, groups=("g: a, b",))
        )
        self.before = self.words.snapshot()
        self.names: dict[int, str] = {}  # every id ever seen and what it was called
        self.synonyms: dict[str, str] = {}  # every synonym ever seen and whose it was
        self.meanings: dict[int, object] = {}  # by version

    def check(self, now: Vocabulary) -> None:
        assert now is self.words.snapshot()
        assert now.version - self.before.version in (0, 1)
        meaning = (now.mode, [(c.id, c.synonyms, c.source, c.group) for c in now.categories])
        assert self.meanings.setdefault(now.version, meaning) == meaning
        if now.version > self.before.version and now.version - 1 in self.meanings:
            assert self.meanings[now.version - 1] != meaning
        for category in now.categories:
            assert self.names.setdefault(category.id, category.name) == category.name
            for synonym in category.synonyms:
                assert self.synonyms.setdefault(synonym, category.name) == category.name
        self.before = now

    @rule(proposals=PROPOSALS, stamp=st.floats(0, 100))
    def observe(self, proposals: list[Proposal], stamp: float) -> None:
        old = self.before
        now = self.words.observe(proposals, stamp=stamp)
        if old.mode is Mode.FIXED:
            assert now.version == old.version
        for proposal in proposals:
            category = now.named(proposal.name)
            if category is not None and now.mode is Mode.AUTO:
                assert category.last_seen == stamp
        self.check(now)

    @rule(
        names=st.lists(NAMES, max_size=4),
        mode=st.sampled_from(list(Mode)),
        groups=st.sampled_from([(), ("x",), ("x", ""), ("", "y", "z")]),
    )
    def set(self, names: list[str], mode: Mode, groups: Sequence[str]) -> None:
        try:
            now = self.words.set(names, mode=mode, groups=groups)
        except ValueError:
            assert self.words.snapshot() is self.before
            return
        assert now.mode is mode
        asked = [now.named(name) for name in names]
        assert None not in asked
        if mode is Mode.FIXED:
            assert len(now) == len(names)
        for category, group in zip(asked, groups or [""] * len(asked), strict=True):
            assert category.group == group or not group
        self.check(now)

    @invariant()
    def ids_are_dense_and_within_bounds(self) -> None:
        assert max(self.names, default=0) <= 6
        assert len(set(self.names.values())) == len(self.names)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
