"""LAVE: a language model says which class a generated name means (AutoSeg, section 3.4)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovseg_ros.config import Config, option
from ovseg_ros.evaluation.mapping.lexical import Match, NameMapper
from ovseg_ros.evaluation.mapping.replies import class_keys, class_of, parse_reply
from ovseg_ros.folders import cache_folder
from ovseg_ros.language import wordnet
from ovseg_ros.models.chat import Chat
from ovseg_ros.models.chat_config import ChatConfig
from ovseg_ros.types import normalise_name
from ovseg_ros.whole_files import write_json

LISTED = "The classes of an image data set are: {classes}.\n"
"""How the question begins."""

NAMED = "You know the {count} classes of the image data set {title}.\n"
"""How it begins where the list is too long for a question."""

TITLES = {"ade847": "ADE20K (full, ADE20K-847)", "pc459": "PASCAL Context (PC-459)"}
"""Data sets that are named and not listed, as in the authors' runs."""

PROMPT = (
    "{opening}Somebody saw '{word}' in an image. Which one of these classes is '{word}' "
    "exclusively most similar to? It may be the same thing by another name, a special kind of the "
    "class, or a more general word for it. If none of the classes means it, the answer is 'void'. "
    "Reply with the answer alone, in single quotes."
)
"""One user turn per word."""


@dataclass(frozen=True, kw_only=True)
class LaveConfig(Config):
    """Options of LAVE."""

    chat: ChatConfig = ChatConfig()
    background_above: int = option(
        3, "a reply that names more classes than this decides nothing", low=1, high=1000
    )
    unquoted: bool = option(
        False, "take a reply that is nothing but a class, too, without the quotes it was asked for"
    )


_PEOPLE = frozenset(
    {"adult", "guy", "human", "human being", "jockey", "passerby", "pilot", "queen", "somebody"}
    | {"spectator", "twin"}
)
"""Whom WordNet's first senses do not show."""


def is_somebody(name: str) -> bool:
    """Return whether a name means people: "girl", "tennis player", "fireman"; no "printer"."""
    found = _PERSON.match(name)
    if found.category is not None and not found.rule.endswith("hyponym"):
        return True
    noun = wordnet.base_form(name) or name
    last = name.split()[-1]
    head = f"{last[:-2]}an" if last.endswith("men") else wordnet.base_form(last) or last
    called = head.endswith(("man", "person"))
    called = called and (wordnet.is_a(head, "person") or not wordnet.known(head))
    made = wordnet.known(head.removesuffix("man").removesuffix("wo"))  # an ottoman is no "otto"
    return noun in _PEOPLE or head in _PEOPLE or (called and made)


_PERSON = NameMapper(("person",))


class Lave:
    """Asks a chat model for every word once; remembers the answers in a JSON file.

    The file lies in ``$OVSEG_CACHE/lave`` (or the user's cache), one per model, prompt and list of
    classes. It holds replies, not conclusions, and may be read and corrected by people.
    """

    rule = (
        "LAVE: words that are a class map to it; else the language model's answer, the first class "
        "it quotes and does not deny; none or too many: no class, but people are persons"
    )

    def __init__(
        self,
        chat: Chat,
        classes: Sequence[str],
        *,
        dataset: str = "",
        background_above: int = 3,
        unquoted: bool = False,
        folder: Path | None = None,
    ) -> None:
        """Prepare the classes.

        Args:
            chat: Who is asked.
            classes: Class names.
            dataset: Which data set they are of; some are named in the question and not listed.
            unquoted: See ``LaveConfig``.
            background_above: See ``LaveConfig``.
            folder: Where the answers are kept.
        """
        self.classes = tuple(classes)
        self._chat = chat
        self._most = background_above
        self._unquoted = unquoted
        self._by_key = class_keys(classes)
        title = TITLES.get(dataset.partition("/")[0])
        if title:
            self._opening = NAMED.format(count=len(classes), title=title)
        else:
            listed = ", ".join(f"'{entry}'" for entry in self.classes)
            self._opening = LISTED.format(classes=listed)
        text = json.dumps([chat.name, PROMPT, self._opening, self.classes])
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path = (folder or cache_folder("lave")) / f"{digest}.json"
        self._replies = self._load()

    def match(self, name: str) -> Match:
        """Return the class that ``name`` means, and why.

        Raises:
            ValueError: if ``name`` is not a valid name.
            ConnectionError: if the model cannot be reached.
        """
        word = normalise_name(name)
        own = class_of(word, self._by_key)
        if own is not None:
            return Match(own, "exact")
        if word not in self._replies:
            question = PROMPT.format(opening=self._opening, word=word)
            self._replies[word] = self._chat.reply(question)
            self._save()
        reply = self._replies[word]
        found = parse_reply(reply, self.classes, word=word, most=self._most, bare=self._unquoted)
        if found is None and (person := self._person(word)):
            return Match(person, "a person, for whom models refuse to choose")
        return Match(found, f"LAVE, {' '.join(reply.split())[:80]!r}")

    def _person(self, word: str) -> str | None:
        """Return the class "person" for a word for people, if there is that class."""
        return self._by_key.get("person") if is_somebody(word) else None

    def _load(self) -> dict[str, str]:
        try:
            replies = json.loads(self.path.read_text())["replies"]
            return {str(word): str(reply) for word, reply in replies.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # absent, or cut short by a crash: ask again

    def _save(self) -> None:
        """Write atomically, with what other processes have learnt meanwhile."""
        self._replies = {**self._load(), **self._replies}
        data = {
            "model": self._chat.name,
            "prompt": PROMPT,
            "classes": list(self.classes),
            "replies": dict(sorted(self._replies.items())),
        }
        write_json(self.path, data)
