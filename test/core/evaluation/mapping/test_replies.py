"""What chat models write, and what of it counts."""

from __future__ import annotations

import pytest

from ovseg_ros.evaluation.mapping.replies import parse_reply

STREET = ("road", "car", "traffic light", "person", "tvmonitor", "bird", "bicycle", "aeroplane")

DECIDES = [
    ("'car'", "car"),
    ("'car'.", "car"),
    ('"car"', "car"),
    ("`car`", "car"),
    ("\u2018car\u2019", "car"),
    ("\u201ccar\u201d", "car"),
    ("**'car'**", "car"),
    ("  'Car'\n", "car"),
    ("'cars'", "car"),
    ("The answer is 'Car'.", "car"),
    ("Answer: 'traffic light'", "traffic light"),
    ("'traffic-light'", "traffic light"),
    ("'Traffic Lights.'", "traffic light"),
    ("'tv monitor'", "tvmonitor"),
    ("'taxi' is most similar to 'car'.", "car"),
    ("Sure! The class that 'taxi' is exclusively most similar to is: 'car'.", "car"),
    ("Based on the list you gave, I would say 'car'.\n\nExplanation: a taxi is a car.", "car"),
    ("'taxi' is most similar to 'car', not to 'road'", "car"),
    ("It is not a 'road' but a 'car'.", "car"),
    ("A taxi doesn't mean a 'road', so 'car'.", "car"),
    ("Although 'taxi' is not in the list, 'car' is the closest match.", "car"),
    ("While there is no exact match, the answer is 'car'.", "car"),
    ("'taxi' isn't listed; the closest class is 'car'.", "car"),
    ("There is no class 'taxi'. However, it is most similar to 'car'.", "car"),
    ("'car' rather than 'bicycle'", "car"),
    ("<think>A 'road'? No, a taxi drives: 'void'?</think>\n'car'", "car"),
    ('{"answer": "car"}', "car"),
    ("'car', 'road', 'person'", "car"),
    ("'car', 'car', 'car', 'car', 'car'", "car"),
    ("It's the driver's 'person'", "person"),
    ("'car', because a taxi is a car and not a road.", "car"),
    ("The closest would be 'car', although it is not exact.", "car"),
    ("'car' (not 'void')", "car"),
    ("The answer is not 'void'. It's 'car'.", "car"),
    ("It can't be 'road', it must be 'car'", "car"),
    ("It's more like a 'car' than a 'bicycle'", "car"),
    ("Between 'road' and 'car', 'car' is closer.", "car"),
    ("As a taxi is not a 'road', a 'bird' or a 'bicycle', the answer is 'car'.", "car"),
    ("'road' is incorrect; 'car' is correct", "car"),
    ("'road': no.\n'bird': no.\nFinal answer: 'car'", "car"),
    ("Out of 'road', 'bird' and 'car', it's 'car'.", "car"),
    ("Not 'road'. 'car'.", "car"),
]

DECIDES_NOTHING = [
    "",
    "'void'",
    "'Void'. None of 'car' or 'road' means it.",
    "'background'",
    "The answer is 'none'.",
    "None of the listed classes (aeroplane, bicycle) describes a taxi.",
    "None of the listed classes ('aeroplane', 'bicycle') describes a taxi.",
    "None of 'aeroplane', 'bicycle' or 'bird' describes a taxi.",
    "A taxi is not similar to any class of the list, such as 'car', so the answer is 'void'.",
    "'taxi' is neither a 'bird' nor a 'bicycle'.",
    "I'm sorry, but I cannot map 'taxi' to 'car' or any other class.",
    "I apologize, but 'taxi' does not belong to the list: 'road', 'car', 'traffic light'.",
    "As an AI language model I can't see the image.",
    "I don't think 'taxi' fits any of the given classes like 'car'.",
    "It is unlike 'car' and unlike 'road'.",
    "I cannot answer that.",
    "car",
    "Answer: traffic light",
    "It is a taxi on the road.",
    "The closest class would be car.",
    "'scar'",
    "'motorcycle'",
    "'a kind of car'",
    "'car or road'",
    "'car', 'road', 'person', 'traffic light'",
    "The classes are 'road', 'car', 'traffic light', 'person', 'bird' and 'bicycle'.",
    "<think>'car' perhaps, or 'road'",
    "'taxi'",
    "To which class is 'taxi' similar?",
    "N/A",
    "There isn't a class for taxi. The available classes are 'aeroplane' and 'bicycle'.",
    "There is no suitable class. Classes: 'road', 'bird'.",
    "I refuse to answer. The classes are: 'road', 'bird'.",
    "Neither. ('road', 'bird')",
    "Out of the classes ('road', 'bird'), not a single one describes a taxi",
    "'taxi' cannot be matched. Possible classes were 'road' and 'bird'.",
    "No match. 'road' would be wrong.",
    "A taxi does not belong to any class; e.g. 'road' is a place.",
    "'road' is wrong",
    "'road'? No. 'bird'? No.",
    "It's less like a 'road' than a 'bird'",
]


@pytest.mark.parametrize(("reply", "expected"), DECIDES)
def test_a_quoted_class_is_the_answer(reply: str, expected: str) -> None:
    assert parse_reply(reply, STREET, word="taxi") == expected


@pytest.mark.parametrize("reply", DECIDES_NOTHING)
def test_a_refusal_is_no_class(reply: str) -> None:
    assert parse_reply(reply, STREET, word="taxi") is None


def test_a_class_may_be_called_background() -> None:
    assert parse_reply("'background'", ("background", "car")) == "background"


def test_a_bare_class_counts_where_that_is_asked_for() -> None:
    assert parse_reply("Traffic light.", STREET, bare=True) == "traffic light"
    assert parse_reply("A taxi on the road", STREET, bare=True) is None


def test_more_classes_than_allowed_decide_nothing() -> None:
    assert parse_reply("'car', 'road'", STREET, most=1) is None
