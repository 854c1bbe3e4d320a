"""What language models answer, what is made of it, and how it comes into force."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict

import pytest

from ovseg_ros.robot_cell.objects import CATALOGUE
from ovseg_ros.segmenters.lmseg.attributes import (
    Attributes,
    AttributeStore,
    parse_attributes,
    read_attributes,
    write_attributes,
)
from ovseg_ros.segmenters.lmseg.enrichment import Enrichment, sentences
from ovseg_ros.segmenters.lmseg.writer import EXAMPLES, QUESTION, ask

MUG = Attributes("white or blue", "small cylinder with a handle", "smooth glazed ceramic")
GOOD = '{"colour": "white or blue", "shape": "small cylinder with a handle", "texture": "smooth glazed ceramic"}'  # noqa: E501


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Sure! Here it is:\n{GOOD}\nI hope that helps.",
        GOOD.replace('"', "'"),
        GOOD.replace('"}', '",}'),
        GOOD.removesuffix("}"),
        GOOD.replace('"colour"', '"Color"').replace('"shape"', '"shape/size"')
        .replace('"texture"', '"texture/material"'),
        GOOD.replace('"colour"', "colour").replace('"shape"', "shape")
        .replace('"texture"', "texture"),
        GOOD.replace('"white or blue"', '["white or blue"]'),
        GOOD.replace("white or blue", "  White or\\n blue. "),
        GOOD.replace("}", ', "extra": 3}'),
    ],
)  # fmt: skip
def test_replies_that_hold_the_object_are_read(reply):
    assert parse_attributes(reply) == MUG


ECHO = QUESTION.format(name="mug") + '<|im_end|>\n<|im_start|>user\nHow does a "mug" usually'
"""What gemma-3-270m (a base model, Q4_K_M, served by llama.cpp) really answered."""


@pytest.mark.parametrize(
    "reply",
    [
        "",
        ECHO,
        "A mug is white.",
        "{}",
        "[1, 2]",
        '{"colour": "white"}',
        GOOD.replace('"white or blue"', "3"),
        GOOD.replace("white or blue", ""),
        GOOD.replace("white or blue", "w" * 200),
        GOOD.replace("white or blue", "\\u0000"),
        GOOD.replace("white or blue", "1, 2 - 3"),
        "{a" + " " * 1_000_000,
        "{" * 3000,
        '{"colour": "white", "shape": {"a": 1}, "texture": "x"}',
    ],
)
def test_other_replies_are_nothing(reply):
    assert parse_attributes(reply) is None


class Scripted:
    """Answers in order; remembers what it was asked."""

    name = "scripted"

    def __init__(self, *replies: str) -> None:
        self.replies, self.asked = list(replies), []

    def reply(self, question: str) -> str:
        self.asked.append(question)
        return self.replies.pop(0) if self.replies else GOOD


def test_a_bad_reply_is_asked_for_again_in_other_words():
    chat = Scripted("no", "{", GOOD)
    assert ask(chat, "mug", retries=2) == MUG
    assert len(set(chat.asked)) == 3
    assert all('"mug"' in question for question in chat.asked)
    assert ask(Scripted("no", "no", "no", GOOD), "mug", retries=2) is None


def test_the_groups_may_be_asked_one_by_one():
    parts = [json.dumps({group: phrase}) for group, phrase in asdict(MUG).items()]
    chat = Scripted(parts[0], '{"colour": "not asked for"}', parts[1], parts[2])
    assert ask(chat, "mug", retries=1, each=True) == MUG
    assert len(chat.asked) == 4
    assert chat.asked[1] != chat.asked[2]
    assert ask(Scripted(parts[0], "no", "no", parts[2]), "mug", retries=1, each=True) is None


def test_four_sentences_stand_for_a_name():
    found = sentences("mug", MUG)
    assert found[0] == "A photo of a mug in the scene."
    assert [part in sentence for part, sentence in zip(
        ("white or blue", "cylinder", "ceramic"), found[1:], strict=True
    )] == [True] * 3  # fmt: skip
    assert sentences("mug", MUG, "a {}")[0] == "a mug."
    assert sentences("mug", None, "a {}")[1] == "a mug, seen by its colour."
    plain = sentences("{value} {name}", None)  # a name is never a template
    assert len(set(plain)) == 4
    assert all("{value} {name}" in sentence for sentence in plain)


def test_answers_are_kept_by_model(tmp_path):
    store = AttributeStore("org/model", directory=tmp_path)
    store.put("mug", MUG)
    store.put("thing", None)
    again = AttributeStore("org/model", directory=tmp_path)
    assert again.get("mug") == MUG
    assert "thing" in again
    assert again.get("thing") is None
    assert "mug" not in AttributeStore("other", directory=tmp_path)
    file = next(tmp_path.glob("org*"))
    file.write_text(file.read_text() + '{"name": "cut", "colo')
    assert AttributeStore("org/model", directory=tmp_path).get("mug") == MUG
    file.write_bytes(b"\xff\xfe\x00")
    assert "mug" not in AttributeStore("org/model", directory=tmp_path)


def test_a_new_name_works_at_once_and_is_enriched_meanwhile(tmp_path):
    go_on = threading.Event()

    class Slow(Scripted):
        def reply(self, question: str) -> str:
            assert go_on.wait(10.0)
            return super().reply(question)

    enrichment = Enrichment({}, chat=Slow(), store=AttributeStore("slow", directory=tmp_path))
    version, found = enrichment.sentences(["mug", "mug"])
    assert (version, found[0]) == (0, sentences("mug", None))
    go_on.set()
    assert enrichment.wait(10.0)
    version, found = enrichment.sentences(["mug"])
    assert (version, found) == (1, [sentences("mug", MUG)])


def test_a_version_never_changes_its_text(tmp_path):
    """Whoever reads while answers come in reads sentences of one version, always the same ones."""
    names = [f"thing {number}" for number in range(40)]
    enrichment = Enrichment({}, chat=Scripted(), store=AttributeStore("many", directory=tmp_path))
    seen: dict[int, list[tuple[str, ...]]] = {}
    done = False
    while not done:
        done = enrichment.wait(0.0) and enrichment.version > 0
        version, found = enrichment.sentences(names)
        assert seen.setdefault(version, found) == found
        known = sum(own == sentences(name, MUG) for name, own in zip(names, found, strict=True))
        assert known == version  # one more name a version, none in between
    assert enrichment.version == len(names)


def test_training_waits_for_every_name(tmp_path):
    chat, store = Scripted("no", "no", "no"), AttributeStore("all", directory=tmp_path)
    enrichment = Enrichment({"cup": MUG}, chat=chat, store=store, retries=2)
    enrichment.complete(["thing", "mug", "cup", "mug"])
    assert enrichment.unknown(["thing", "mug", "cup", "other"]) == ["thing", "other"]
    assert enrichment.sentences(["mug"])[1] == [sentences("mug", MUG)]
    asked = len(chat.asked)
    enrichment.complete(["thing", "mug"])  # what could not be read is not asked for ever
    assert len(chat.asked) == asked


def test_training_does_not_begin_without_the_model(tmp_path):
    class Away(Scripted):
        def reply(self, question: str) -> str:
            raise ConnectionError("nobody there")

    enrichment = Enrichment({}, chat=Away(), store=AttributeStore("gone", directory=tmp_path))
    with pytest.raises(ConnectionError, match="nobody there"):
        enrichment.complete(["mug"])


def test_examples_are_no_names_of_the_cell():
    words = {word for kind in CATALOGUE for word in (kind.name, *kind.synonyms)}
    assert not words & set(EXAMPLES)
    for attributes in EXAMPLES.values():
        assert parse_attributes(json.dumps(asdict(attributes))) == attributes


def test_a_model_that_is_away_leaves_the_plain_sentences(tmp_path):
    class Away(Scripted):
        def reply(self, question: str) -> str:
            raise ConnectionError("nobody there")

    said = []
    enrichment = Enrichment(
        {}, chat=Away(), store=AttributeStore("away", directory=tmp_path), complain=said.append
    )
    enrichment.sentences(["mug"])
    assert enrichment.wait(10.0)
    assert "nobody there" in said[0]
    assert enrichment.sentences(["mug"])[1] == [sentences("mug", None)]


def test_a_model_that_fails_rests_and_is_asked_again(tmp_path):
    class Failing(Scripted):
        def reply(self, question: str) -> str:
            self.asked.append(question)
            raise ConnectionError("nobody there")

    said: list[str] = []
    chat, store = Failing(), AttributeStore("failing", directory=tmp_path)
    resting = Enrichment({}, chat=chat, store=store, complain=said.append, rest_s=3600)
    for _ in range(20):  # as many frames
        resting.sentences(["mug"])
        assert resting.wait(10.0)
    assert (len(chat.asked), len(said)) == (1, 1)
    awake = Enrichment({}, chat=chat, store=store, complain=said.append, rest_s=0)
    for _ in range(3):
        awake.sentences(["mug"])
        assert awake.wait(10.0)
    assert len(chat.asked) == 4
    assert len(said) == 2  # a reason that stays is told once


def test_models_whose_names_look_alike_are_two(tmp_path):
    AttributeStore("org/model", directory=tmp_path).put("mug", MUG)
    assert "mug" not in AttributeStore("org_model", directory=tmp_path)
    long = "/folder" * 100
    AttributeStore(long, directory=tmp_path).put("mug", MUG)
    assert AttributeStore(long, directory=tmp_path).get("mug") == MUG


def test_a_file_of_attributes(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"model": "a model", "names": {"mug": asdict(MUG)}}))
    assert read_attributes(path) == ("a model", {"mug": MUG})
    write_attributes(path, "another", {"mug": MUG}, note="from a test")
    assert read_attributes(path) == ("another", {"mug": MUG})
    path.write_text('{"names": {"mug": {"colour": "x"}}}')
    with pytest.raises(ValueError, match=str(path)):
        read_attributes(path)
    with pytest.raises(FileNotFoundError, match="is not there"):
        read_attributes(tmp_path / "none.json")


def test_a_chat_model_is_fetched_only_where_it_is_asked():
    from ovseg_ros.config import describe
    from ovseg_ros.segmenters.lmseg.config import EnrichmentConfig

    for ask_it in (False, True):
        leaves = {leaf.name for leaf in describe(EnrichmentConfig(ask=ask_it), used=True)}
        assert ("chat.weights" in leaves) is ask_it
