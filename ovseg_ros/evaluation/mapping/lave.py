"""LAVE: a language model says which class a generated name means (AutoSeg, section 3.4)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovseg_ros.config import Config, option
from ovseg_ros.evaluation.mapping.lexical import Match, spelling_key, spellings
from ovseg_ros.models.chat import Chat, ChatConfig
from ovseg_ros.models.text_cache import cache_directory
from ovseg_ros.types import normalise_name

VOID = "void"
"""What the model answers where no class fits."""

PROMPT = (
    "The classes of an image data set are: {classes}.\n"
    "Somebody saw '{word}' in an image. Which one of these classes is '{word}' exclusively most "
    "similar to? It may be the same thing by another name, a special kind of the class, or a more "
    "general word for it. If none of the classes means it, the answer is 'void'. "
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


class Lave:
    """Asks a chat model for every word once; remembers the answers in a JSON file.

    The file lies in ``$OVSEG_CACHE/lave`` (or the user's cache), one per model, prompt and list of
    classes. It holds replies, not conclusions, and may be read and corrected by people.
    """

    rule = (
        "LAVE: words that are a class map to it; else the language model's answer, first class in "
        "the reply; none or too many: no class"
    )

    def __init__(
        self,
        chat: Chat,
        classes: Sequence[str],
        *,
        background_above: int = 3,
        folder: Path | None = None,
    ) -> None:
        """Prepare the classes.

        Args:
            chat: Who is asked.
            classes: Class names.
            background_above: See ``LaveConfig``.
            folder: Where the answers are kept.
        """
        self.classes = tuple(classes)
        self._chat = chat
        self._most = background_above
        self._by_key: dict[str, str] = {}
        for name in classes:
            for form in spellings(name):
                self._by_key.setdefault(spelling_key(form), name)
        text = json.dumps([chat.name, PROMPT, self.classes])
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path = (folder or cache_directory().parent / "lave") / f"{digest}.json"
        self._replies = self._load()

    def match(self, name: str) -> Match:
        """Return the class that ``name`` means, and why.

        Raises:
            ValueError: if ``name`` is not a valid name.
            ConnectionError: if the model cannot be reached.
        """
        word = normalise_name(name)
        own = self._class_of(word)
        if own is not None:
            return Match(own, "exact")
        if word not in self._replies:
            classes = ", ".join(f"'{entry}'" for entry in self.classes)
            self._replies[word] = self._chat.reply(PROMPT.format(classes=classes, word=word))
            self._save()
        reply = self._replies[word]
        return Match(
            parse_reply(reply, self.classes, word=word, most=self._most),
            f"LAVE, {' '.join(reply.split())[:80]!r}",
        )

    def _class_of(self, text: str) -> str | None:
        return next(
            (
                self._by_key[spelling_key(form)]
                for form in spellings(text)
                if spelling_key(form) in self._by_key
            ),
            None,
        )

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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self.path.parent, delete=False) as file:
            json.dump(data, file, indent=1, ensure_ascii=False)
        os.replace(file.name, self.path)


def parse_reply(reply: str, classes: Sequence[str], *, word: str = "", most: int = 3) -> str | None:
    """Return the class a reply decides for, or None.

    What stands in quotes counts; only where nothing quoted is a class or ``void``, the whole text
    is searched. Case, plural, hyphens and spaces do not matter. The first class wins, in the order
    of the reply.

    Args:
        reply: What the model wrote.
        classes: The classes it could choose from.
        word: What was asked; repeating it is no answer (unless it is a class).
        most: With more distinct classes than this the reply decides nothing.
    """
    by_key = {spelling_key(VOID): VOID}
    for name in classes:
        for form in spellings(name):
            by_key.setdefault(spelling_key(form), name)
    text = reply.translate(str.maketrans("\u2018\u2019\u201c\u201d`", "''\"\"'"))
    quoted = re.findall(r"(?<!\w)'([^'\n]{1,80})'(?!\w)|\"([^\"\n]{1,80})\"", text)
    found = [_known(single or double, by_key) for single, double in quoted]
    named = [name for name in found if name]
    if not named:
        plain = text.replace(word, " ") if word else text
        named = _spoken(plain, by_key)
    distinct = list(dict.fromkeys(named))
    if not distinct or len(distinct) > most or distinct[0] == VOID:
        return None
    return distinct[0]


def _known(text: str, by_key: dict[str, str]) -> str | None:
    clean = " ".join(text.lower().split()).strip(" .,;:!?")
    forms = spellings(clean) if clean else ()
    return next((by_key[spelling_key(f)] for f in forms if spelling_key(f) in by_key), None)


def _spoken(text: str, by_key: dict[str, str]) -> list[str]:
    """Return the classes a text names in its order, the longest name at every place."""
    words = re.findall(r"[\w-]+", text.lower())
    found, at = [], 0
    while at < len(words):
        for length in range(min(6, len(words) - at), 0, -1):
            name = _known(" ".join(words[at : at + length]), by_key)
            if name:
                found.append(name)
                at += length - 1
                break
        at += 1
    return found
