"""LAVE: what is asked, what is understood, what is remembered."""

import json

import pytest

from ovseg_ros.evaluation.mapping import lave
from ovseg_ros.evaluation.mapping.base import MapperConfig, build_mapper
from ovseg_ros.evaluation.mapping.lave import Lave, LaveConfig
from ovseg_ros.models.chat_config import ChatConfig

STREET = ("road", "car", "traffic light", "person", "tvmonitor")


class Scripted:
    """A chat that answers from a table and counts."""

    name = "scripted"

    def __init__(self, **replies):
        self.replies, self.asked = replies, []

    def reply(self, question):
        word = next(w for w in self.replies if f"'{w}' exclusively" in question)
        self.asked.append(question)
        return self.replies[word]


def test_every_word_is_asked_once_and_classes_never(tmp_path):
    chat = Scripted(taxi="'car'", cloud="'void'", crowd="'car', 'road', 'person', 'void'")
    mapper = Lave(chat, STREET, folder=tmp_path)
    assert mapper.match("Taxi").category == "car"
    assert mapper.match("taxi").rule == "LAVE, \"'car'\""
    assert mapper.match("cloud").category is None
    assert mapper.match("crowd").category is None
    assert mapper.match("traffic lights") == ("traffic light", "exact")
    assert len(chat.asked) == 3
    assert "'road', 'car', 'traffic light'" in chat.asked[0]
    again = Lave(Scripted(), STREET, folder=tmp_path)  # knows no word, so it would fail if asked
    assert again.match("taxi").category == "car"
    data = json.loads(again.path.read_text())
    assert data["replies"]["taxi"] == "'car'"
    assert data["model"] == "scripted"


def test_people_are_persons_where_a_model_refuses_to_choose(tmp_path):
    refusal = "I cannot compare a person with objects."
    chat = Scripted(woman=refusal, boys="'void'", policeman=refusal, moon=refusal, doll="'void'")
    mapper = Lave(chat, STREET, folder=tmp_path)
    for word in ("woman", "boys", "policeman"):
        assert mapper.match(word).category == "person"
    assert mapper.match("moon").category is None
    assert mapper.match("doll").category is None
    nobody = Lave(Scripted(woman=refusal), ("road", "car"), folder=tmp_path)
    assert nobody.match("woman").category is None


PEOPLE = (
    "girls;little boy;old man;man in hat;fireman;firemen;businessmen;stuntman;policewoman;driver;"
    "tennis player;soccer players;human being;adult;pilot;spectator;"
    "street performer;construction worker"
)

NOBODY = (
    "printer;toaster;router;stroller;monitor;mannequin;coaster;hanger;cutter;crane;tiger;setter;"
    "snowman;ottoman;talisman;gingerbread men;dvd player;music player;mug;boat;statue;toy soldier"
)


def test_people_are_known_from_tools():
    assert [name for name in PEOPLE.split(";") if not lave.is_somebody(name)] == []
    assert [name for name in NOBODY.split(";") if lave.is_somebody(name)] == []


@pytest.mark.parametrize("dataset", ["ade847/val", "pc459/val"])
def test_long_lists_are_named_and_not_listed(dataset, tmp_path):
    chat = Scripted(taxi="'car'")
    assert Lave(chat, STREET, dataset=dataset, folder=tmp_path).match("taxi").category == "car"
    assert "5 classes of the image data set" in chat.asked[0]
    assert "traffic light" not in chat.asked[0]
    listed = Lave(Scripted(), STREET, dataset="voc20/val", folder=tmp_path)
    assert listed.path != Lave(chat, STREET, dataset=dataset, folder=tmp_path).path


def test_sampled_answers_have_a_map_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path))
    paths = {
        build_mapper(
            MapperConfig(name="lave", lave=LaveConfig(chat=ChatConfig(**settings))),
            STREET,
            {},
            device="cpu",
        ).path
        for settings in ({}, {"temperature": 1.0}, {"temperature": 1.0, "top_p": 0.9})
    }
    assert len(paths) == 3


def test_unquoted_answers_are_an_option(tmp_path):
    strict, lenient = (
        Lave(Scripted(taxi="Car."), STREET, unquoted=flag, folder=tmp_path / str(flag))
        for flag in (False, True)
    )
    assert strict.match("taxi").category is None
    assert lenient.match("taxi").category == "car"


def test_answers_of_other_processes_are_kept(tmp_path):
    first, second = (Lave(Scripted(taxi="'car'", man="'person'"), STREET, folder=tmp_path),) * 2
    second = Lave(Scripted(man="'person'"), STREET, folder=tmp_path)
    first.match("taxi")
    second.match("man")
    assert set(json.loads(second.path.read_text())["replies"]) == {"taxi", "man"}
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_another_model_list_or_prompt_has_a_map_of_its_own(tmp_path, monkeypatch):
    one = Lave(Scripted(), STREET, folder=tmp_path).path
    assert Lave(Scripted(), STREET[:2], folder=tmp_path).path != one
    monkeypatch.setattr(lave, "PROMPT", lave.PROMPT + "!")
    assert Lave(Scripted(), STREET, folder=tmp_path).path != one


def test_a_damaged_map_is_asked_again(tmp_path):
    mapper = Lave(Scripted(taxi="'car'"), STREET, folder=tmp_path)
    mapper.path.write_text('{"replies": {"taxi"')
    assert Lave(Scripted(taxi="'car'"), STREET, folder=tmp_path).match("taxi").category == "car"


def test_the_place_of_the_map_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path))
    assert Lave(Scripted(), STREET).path.parent == tmp_path / "lave"


def test_bad_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="name: expected at least one"):
        Lave(Scripted(), STREET, folder=tmp_path).match(" ")


def test_build_mapper_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path))
    rules = [
        build_mapper(MapperConfig(name=name), STREET, {}, device="cpu").rule
        for name in ("lexical", "lave", "sbert")
    ]
    assert [rule.split()[0] for rule in rules] == ["exact", "LAVE:", "nearest"]
    assert LaveConfig().chat.weights == "meta-llama/Llama-2-7b-chat-hf"
    with pytest.raises(ValueError, match="name: expected one of 'lexical', 'lave', 'sbert'"):
        MapperConfig(name="magic")
