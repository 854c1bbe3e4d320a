"""How a chat model is asked what names look like (LMSeg, arXiv 2412.00364)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from ovseg_ros.models.chat import Chat, build_chat
from ovseg_ros.models.chat_config import ChatConfig
from ovseg_ros.segmenters.lmseg.attributes import Attributes, parse_attributes, parse_phrase

T = TypeVar("T")

QUESTION = (
    'How does a "{name}" usually look? Answer with one JSON object of three phrases: "colour"; '
    '"shape", its shape and size; "texture", its texture and material.'
)
QUESTIONS = {
    "colour": 'What colour is a {name}? Answer as JSON with the key "colour".',
    "shape": 'What shape and size is a {name}? Answer as JSON with the key "shape".',
    "texture": 'What is a {name} made of, how does it feel? Answer as JSON with the key "texture".',
}
"""The same one by one: models of a hundred million parameters answer these better."""

AGAIN = "{question} Your last answer was no such object. Only the JSON object."

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        group: {"type": "string", "minLength": 3, "maxLength": 80}
        for group in ("colour", "shape", "texture")
    },
    "required": ["colour", "shape", "texture"],
    "additionalProperties": False,
}
"""What an endpoint is asked to keep its answers to."""

EXAMPLES: dict[str, Attributes] = {
    name: Attributes(*phrases)
    for name, phrases in {
        "chair": (
            "brown, black or white", "a seat with a back and four legs", "wood, metal or plastic",
        ),
        "apple": ("red, green or yellow", "round, the size of a fist", "smooth shiny skin"),
        "lemon": ("yellow", "a small oval fruit", "thick waxy skin"),
        "cat": ("grey, black or orange", "a small animal with four legs and a tail", "soft fur"),
        "screwdriver": (
            "silver with a red handle", "a long thin rod with a thick handle",
            "hard steel and plastic",
        ),
    }.items()
}  # fmt: skip
"""Answers, by us, that a model is shown: the smallest ones do not write JSON without."""


def build_writer(config: ChatConfig, *, device: str = "auto", each: bool = False) -> Chat:
    """Return a chat model that is shown the examples, and the schema if all is one question.

    Args:
        config: Which model.
        device: Where it runs.
        each: Whether it will be asked about the groups one by one.
    """
    shown = []
    for name, attributes in EXAMPLES.items():
        phrases = asdict(attributes)
        if each:
            shown += [
                (question.format(name=name), json.dumps({group: phrases[group]}))
                for group, question in QUESTIONS.items()
            ]
        else:
            shown.append((QUESTION.format(name=name), json.dumps(phrases)))
    return build_chat(config, device=device, shown=shown, schema=None if each else SCHEMA)


def ask(chat: Chat, name: str, *, retries: int = 2, each: bool = False) -> Attributes | None:
    """Ask a chat model about a name; None if no reply could be read.

    Args:
        chat: The model.
        name: What it is asked about.
        retries: Further questions where a reply cannot be read.
        each: Three questions, one for each group.

    Raises:
        ConnectionError: if the model cannot be reached.
    """
    if not each:
        return _ask(chat, QUESTION.format(name=name), parse_attributes, retries)
    phrases = {}
    for group, question in QUESTIONS.items():
        found = _ask(chat, question.format(name=name), partial(parse_phrase, group=group), retries)
        if found is None:
            return None
        phrases[group] = found
    return Attributes(**phrases)


def _ask(chat: Chat, question: str, parse: Callable[[str], T | None], retries: int) -> T | None:
    found = parse(chat.reply(question))
    for number in range(retries):
        if found is not None:
            return found
        again = AGAIN.format(question=question) + "!" * number  # another question each time
        found = parse(chat.reply(again))
    return found
