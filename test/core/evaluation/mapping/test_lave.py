"""LAVE: what is asked, what is understood, what is remembered."""

import json

import pytest

from ovseg_ros.evaluation.mapping import lave
from ovseg_ros.evaluation.mapping.base import MapperConfig, build_mapper
from ovseg_ros.evaluation.mapping.lave import Lave, LaveConfig, parse_reply

STREET = ("road", "car", "traffic light", "person", "tvmonitor")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("'car'", "car"),
        ("The answer is 'Car'.", "car"),
        ("'cars'", "car"),
        ('"car"', "car"),
        ("\u2018car\u2019", "car"),
        ("`car`", "car"),
        ("'traffic-light'", "traffic light"),
        ("'Traffic Lights.'", "traffic light"),
        ("'tv monitor'", "tvmonitor"),
        ("'void'", None),
        ("'Void'. None of 'car' or 'road' means it.", None),
        ("'taxi' is most similar to 'car', not to 'road'", "car"),  # first match in reply order
        ("A taxi doesn't mean a 'road', so 'car'... no, 'road'", "road"),
        ("car", "car"),
        ("Answer: traffic light", "traffic light"),
        ("It is a taxi on the road", "road"),
        ("'car', 'road', 'person'", "car"),
        ("'car', 'road', 'person', 'traffic light'", None),  # more than three decide nothing
        ("'car', 'car', 'car', 'car', 'car'", "car"),
        ("", None),
        ("I cannot answer that.", None),
        ("'scar'", None),
        ("cart", None),
        ("'bicycle'", None),
        ("It's the driver's 'person'", "person"),
    ],
)
def test_replies_are_understood(reply, expected):
    assert parse_reply(reply, STREET, word="taxi") == expected


def test_an_echo_of_the_question_is_no_answer():
    assert parse_reply("A race car is none of these", STREET, word="race car") is None
    assert parse_reply("A race car is a car", STREET, word="race car") == "car"


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
