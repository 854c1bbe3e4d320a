"""Attributes of names, written by a language model (LMSeg, arXiv 2412.00364).

The paper names three groups: colour, shape and size, texture and material. A model is asked for all
three at once as JSON; what it answers is checked, kept on disk, and never edited. A name about
which nothing was written has plain sentences, so that a new name works at once.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ovseg_ros.models.chat import Chat
from ovseg_ros.models.text_cache import cache_directory

VERSION = 1
"""Of the question and of the sentences; rises when either changes."""

QUESTION = (
    'How does a "{name}" usually look? Answer with one JSON object and nothing else: '
    '{{"colour": "...", "shape": "...", "texture": "..."}}. Each value is an English phrase of '
    "two to eight words: its colours; its shape and size; its texture and material."
)
AGAIN = "{question} Your last answer was no such object. Only the JSON object."

PLAIN = "A photo of a {} in the scene."
SENTENCES = {
    "colour": "A photo of a {name}, whose colour is {value}.",
    "shape": "A photo of a {name}, whose shape and size is {value}.",
    "texture": "A photo of a {name}, whose texture and material is {value}.",
}
WITHOUT = {
    "colour": "A photo of a {name}, seen by its colour.",
    "shape": "A photo of a {name}, seen by its shape and size.",
    "texture": "A photo of a {name}, seen by its texture and material.",
}
"""Sentences of a name about which nothing was written."""

_LONGEST = 80
_LONGEST_REPLY = 4000
"""Repairs take time that grows with its square."""

_REST_S = 60.0
_KEYS = {
    "colour": ("colour", "color", "colours", "colors"),
    "shape": ("shape", "shape/size", "shape_size", "shape and size", "size", "shapes"),
    "texture": (
        "texture", "texture/material", "texture_material", "texture and material", "material",
        "textures",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Attributes:
    """What a name looks like, in the paper's three groups; English phrases.

    Attributes:
        colour: Its colours.
        shape: Its shape and size.
        texture: Its texture and material.
    """

    colour: str
    shape: str
    texture: str

    def __post_init__(self) -> None:
        """Validate."""
        for group, value in asdict(self).items():
            if not isinstance(value, str) or not value.isprintable() or not _letters(value):
                raise ValueError(f"{group}: expected a phrase, got {value!r}")
            if len(value) > _LONGEST:
                raise ValueError(f"{group}: expected at most {_LONGEST} characters, got {value!r}")


def _letters(value: str) -> bool:
    return any(letter.isalpha() for letter in value)


def sentences(name: str, attributes: Attributes | None) -> tuple[str, ...]:
    """Return the four sentences that stand for a name: a plain one, and one of each group."""
    plain = PLAIN.replace("{}", name)
    if attributes is None:
        return (plain, *(text.replace("{name}", name) for text in WITHOUT.values()))
    return (
        plain,
        *(
            text.replace("{value}", value).replace("{name}", name)
            for text, value in zip(SENTENCES.values(), asdict(attributes).values(), strict=True)
        ),
    )


def parse_attributes(reply: str) -> Attributes | None:
    """Read a model's reply; None if there is no such object in it.

    Only its beginning is read (4,000 characters). Code fences, text around the object, single
    quotes, a comma too many, a brace too few, lists instead of phrases and the keys' usual variants
    are repaired; nothing is made up.
    """
    reply = reply[:_LONGEST_REPLY]
    start = reply.find("{")
    if start < 0:
        return None
    text = reply[start : reply.rfind("}") + 1] or reply[start:].rstrip("`\n ") + "}"
    for attempt in (text, _repaired(text)):
        try:
            data = json.loads(attempt)
        except (ValueError, RecursionError):
            continue
        return _attributes(data) if isinstance(data, Mapping) else None
    return None


def _repaired(text: str) -> str:
    text = re.sub(r"(?<=[{,:\[\s])'|'(?=\s*[,:}\]])", '"', text)
    text = re.sub(r"([{,]\s*)(\w[\w /]*)(\s*:)", r'\1"\2"\3', text)
    return re.sub(r",\s*([}\]])", r"\1", text)


def _attributes(data: Mapping[object, object]) -> Attributes | None:
    lower = {str(key).strip().lower(): value for key, value in data.items()}
    found = {}
    for group, keys in _KEYS.items():
        value = next((lower[key] for key in keys if key in lower), None)
        if isinstance(value, (list, tuple)):
            value = ", ".join(str(entry) for entry in value)
        if not isinstance(value, str):
            return None
        found[group] = " ".join(value.split()).strip(" .\"'").lower()
    try:
        return Attributes(**found)
    except ValueError:
        return None


def ask(chat: Chat, name: str, *, retries: int = 2) -> Attributes | None:
    """Ask a chat model about a name; None if no reply could be read.

    Raises:
        ConnectionError: if the model cannot be reached.
    """
    question = QUESTION.format(name=name)
    found = parse_attributes(chat.reply(question))
    for number in range(retries):
        if found is not None:
            return found
        again = AGAIN.format(question=question) + "!" * number  # another question each time
        found = parse_attributes(chat.reply(again))
    return found


class AttributeStore:
    """Attributes by name: those a file brings, and those a model was asked for, on disk.

    Safe to use from several threads; several processes may share the directory.
    """

    def __init__(self, model: str, *, directory: Path | None = None) -> None:
        """Open the store of a model.

        Args:
            model: Name of the model that writes.
            directory: Where it is kept; beside the text cache by default.
        """
        folder = directory or cache_directory().parent / "attributes"
        digest = hashlib.sha256(model.encode(errors="surrogatepass")).hexdigest()[:12]
        safe = re.sub(r"[^\w.-]+", "_", model)[-60:] + f"-{digest}"  # names that look alike differ
        self._path = folder / f"{safe}-{VERSION}.jsonl"
        self._lock = threading.Lock()
        self._known: dict[str, Attributes | None] = dict(_read_lines(self._path))

    def get(self, name: str) -> Attributes | None:
        """Return what was written about a name, or None."""
        with self._lock:
            return self._known.get(name)

    def __contains__(self, name: str) -> bool:
        """Return whether the model was asked about a name, whatever it said."""
        with self._lock:
            return name in self._known

    def put(self, name: str, attributes: Attributes | None) -> None:
        """Keep what was written, also that nothing could be read; a full disk costs nothing."""
        with self._lock:
            self._known[name] = attributes
            entry = {"name": name, **(asdict(attributes) if attributes else {})}
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a") as file:  # a line is written as a whole
                    file.write(json.dumps(entry) + "\n")
            except OSError:
                return


def _read_lines(path: Path) -> dict[str, Attributes | None]:
    found: dict[str, Attributes | None] = {}
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return found
    for line in lines:
        try:
            entry = json.loads(line)
            name = entry.pop("name")
            found[str(name)] = Attributes(**entry) if entry else None
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a line that was cut, or not ours
    return found


def read_attributes(path: Path) -> tuple[str, dict[str, Attributes]]:
    """Read a file of attributes: the model that wrote them, and the attributes by name.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged; names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"enrichment.file: {path} is not there")
    try:
        data = json.loads(path.read_text())
        names = {str(name): Attributes(**entry) for name, entry in data["names"].items()}
        return str(data["model"]), names
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"enrichment.file: {path} holds no attributes ({error})") from None


class Enrichment:
    """Says at once what stands for names, and has a model write about the new ones meanwhile.

    Attributes:
        version: Grows by one whenever more was written; what was read before stays whole.
    """

    def __init__(
        self,
        written: Mapping[str, Attributes],
        *,
        chat: Chat | None = None,
        store: AttributeStore | None = None,
        retries: int = 2,
        complain: Callable[[str], None] = lambda text: None,
        rest_s: float = _REST_S,
    ) -> None:
        """Begin with what was written before.

        Args:
            written: Attributes by name.
            chat: Who is asked about other names; None: nobody.
            store: Where the answers are kept.
            retries: Further questions about a name.
            complain: Told why the model stopped to answer; a reason that stays is told once.
            rest_s: A model that failed is left alone for so long, and then asked again.
        """
        self.version = 0
        self._written = dict(written)
        self._chat, self._store, self._retries = chat, store, retries
        self._complain, self._rest_s = complain, rest_s
        self._reason, self._resumes = "", -math.inf
        self._wanted: list[str] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def sentences(self, names: Sequence[str]) -> tuple[int, list[tuple[str, ...]]]:
        """Return the version, and each name's sentences, all of that version."""
        with self._changed:
            self._want(names)
            return self.version, [sentences(name, self._find(name)) for name in names]

    def want(self, names: Sequence[str]) -> int:
        """Have the model write about names that nothing is known about; return the version."""
        with self._changed:
            self._want(names)
            return self.version

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing is asked any more; return whether that came to pass."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._wanted, timeout_s)

    def _find(self, name: str) -> Attributes | None:
        found = self._written.get(name)
        return found if found is not None or self._store is None else self._store.get(name)

    def _want(self, names: Sequence[str]) -> None:
        if self._chat is None or self._store is None or time.monotonic() < self._resumes:
            return
        known = (self._written, self._store, self._wanted)
        fresh = [n for n in dict.fromkeys(names) if not any(n in place for place in known)]
        self._wanted += fresh
        if self._wanted and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="enrichment", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        assert self._chat is not None and self._store is not None
        while True:
            with self._changed:
                if not self._wanted:
                    self._thread = None
                    self._changed.notify_all()
                    return
                name = self._wanted[0]
            try:
                found = ask(self._chat, name, retries=self._retries)
            except Exception as error:  # away, out of memory: the plain sentences stay
                if str(error) != self._reason:
                    self._complain(f"no attributes of {name!r}: {error}")
                with self._changed:
                    self._reason = str(error)
                    self._resumes = time.monotonic() + self._rest_s
                    self._wanted.clear()
                continue
            self._reason = ""
            self._store.put(name, found)
            with self._changed:
                self._wanted.remove(name)
                self.version += found is not None
