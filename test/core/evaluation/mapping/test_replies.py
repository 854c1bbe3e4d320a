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
    ("I think it could be 'road', but 'car' is a better match.", "car"),
    ("I think 'road', but the closest is 'car'.", "car"),
    ("At first I thought of 'road'. On second thought, 'car'.", "car"),
    ("It may be 'road' or 'bird'. My answer: 'car'", "car"),
    ("I'm not sure, but 'car' seems closest.", "car"),
    ("Possibly 'car'.", "car"),
    ("'car' is a vehicle. It is more similar to 'car' than to 'road'.", "car"),
    ("- 'road': no\n- 'bird': no\n- 'car': yes", "car"),
    ("- 'road' \u274c\n- 'car' \u2705", "car"),
    ("1. 'car'\n2. 'road'", "car"),
    ("* **'car'**", "car"),
    ("**Answer:** `car`", "car"),
    ('The answer is **"car"**.', "car"),
    ("'car'. None of the other classes fits.", "car"),
    ("'car'. There is no exact match.", "car"),
    ("'car'. No class is closer.", "car"),
    ('```json\n{"answer": "car"}\n```', "car"),
    ('{"candidates": ["road", "car"], "answer": "car"}', "car"),
    ("{'word': 'taxi', 'class': 'car', 'confidence': 0.9}", "car"),
    ('{"road": 0.1, "car": 0.8, "bird": 0}', "car"),
    ('{"road": false, "car": true}', "car"),
    ('{"taxi": "car"}', "car"),
    ('{"answer": ["car"]}', "car"),
    ("Is it a 'road'? No, it drives.</think>\n\n'car'", "car"),
    ("[THINK]'road' maybe[/THINK]'car'", "car"),
    ("\u25c1think\u25b7'road'\u25c1/think\u25b7 'car'", "car"),
    (
        "<|channel|>analysis<|message|>'road'?<|end|><|start|>assistant<|channel|>final"
        "<|message|>'car'<|return|>",
        "car",
    ),
    ("<answer>'car'</answer>", "car"),
    ("Die Antwort ist \u201ecar\u201c.", "car"),
    ("Es ist kein 'road', sondern ein 'car'.", "car"),
    ("La r\u00e9ponse est \u00ab car \u00bb.", "car"),
    ("La respuesta es 'car', no 'road'.", "car"),
    ("\u7b54\u6848\u662f'car'\u3002", "car"),
    ("\u300ccar\u300d", "car"),
    ("'CARS'", "car"),
    ("'TV-Monitors'", "tvmonitor"),
    ("'Traffic_Light'", "traffic light"),
    ("The plural 'taxis' maps to 'cars'.", "car"),
    ("Hmm, this is tricky. 'road' seems off. I'd go with 'car'.", "car"),
    ("'road' is wrong, 'bird' is wrong, 'car' is right.", "car"),
    ("I was going to say 'road', but actually 'car' is right.", "car"),
    ('{"answer": "car", "reason": "a taxi is not a \'road\'"}', "car"),
    # SmolLM2 135M
    ("The answer is 'taxi' is a special kind of the class 'car'.", "car"),
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
    "'taxi' falls outside the given categories ('road', 'car').",
    "The moon is beyond what 'road' and 'car' describe.",
    "A match for 'taxi' is missing among 'road' and 'bird'.",
    "It is unclear whether 'taxi' is a 'car'.",
    "'road' is irrelevant here. 'bird' is irrelevant as well.",
    "'road' can be ruled out, and so can 'bird'.",
    "Here are the classes:\n- 'road'\n- 'car'\n- 'bird'\n\nNone of them describes a taxi.",
    "'road', 'bird': none of these fits.",
    "- 'road'\nNo class matches.",
    "- 'road': no\n- 'bird': no",
    "- 'road' \u274c\n- 'bird' \u274c",
    '{"answer": null}',
    '{"answer": "void"}',
    '```json\n{"class": "none"}\n```',
    '{"road": false, "bird": false}',
    '{"road": 0.0, "bird": 0.0}',
    '{"word": "taxi", "match": []}',
    "<think>It is a 'car', so I answer 'car'.</think>",
    "So 'car' it is.</think>\n'void'",
    "[THINK]'car'[/THINK] None",
    "<|channel|>analysis<|message|>'car' is the best",
    "Keine der Klassen ('aeroplane', 'bicycle') beschreibt einen Mond.",
    "Aucune des classes \u00ab road \u00bb ou \u00ab bird \u00bb ne correspond.",
    "Ninguna de las clases ('road', 'bird') describe una luna.",
    "Nessuna delle classi ('road', 'bird') va bene.",
    "Nenhuma das classes ('road', 'bird') serve.",
    "\u041d\u0438 \u043e\u0434\u0438\u043d \u043a\u043b\u0430\u0441\u0441 ('road', 'bird')",
    "\u6ca1\u6709\u4efb\u4f55\u7c7b\u522b\uff08'road'\u3001'bird'\uff09\u63cf\u8ff0\u6708\u4eae\u3002",
    "\u3069\u306e\u30af\u30e9\u30b9\uff08'road'\u3001'bird'\uff09\u3082\u5f53\u3066\u306f\u307e\u308a\u307e\u305b\u3093\u3002",
    "**car**",
    "- car\n- road",
    "The taxi's 'door'",
    "It isn't 'road', it isn't 'bird' and it isn't 'person'.",
    "Sorry, I can't assist with comparing a 'person' to objects.",
    "Out of the provided options, none is similar: 'road', 'car'.",
    "Ich kann 'taxi' keiner Klasse zuordnen ('road', 'car').",
    # Gemma 3 270M and SmolLM2 135M
    "The class of an image data set is: 'aeroplane', 'bicycle',",
    "The class of an image data set is: 'airplane', 'bicycle', '",
    'The answer is "void"',
    "The class 'taxi' is a special kind of the class 'road' that is not a road.",
    "The classes of an image data set are:\n\n- road\n- car\n- traffic light",
    "The classes of an image data set are:\n\nAeroplane (aeroplana)\nBicycle (",
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
