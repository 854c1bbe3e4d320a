"""Prompts made of attributes, and how they come into force (LMSeg, arXiv 2412.00364).

A name about which nothing was written has sentences that say nothing, so that a new name works at
once; a chat model writes about it meanwhile.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from ovseg_ros.models.chat import Chat
from ovseg_ros.segmenters.lmseg.attributes import Attributes, AttributeStore
from ovseg_ros.segmenters.lmseg.writer import ask

OPENING = "A photo of a {} in the scene"
"""Of every sentence; ``{}`` stands for the name."""

GROUPS = {"colour": "colour", "shape": "shape and size", "texture": "texture and material"}
"""The paper's groups, as a name's sentences call them about which nothing was written."""

_REST_S = 60.0


def sentences(name: str, attributes: Attributes | None, opening: str = OPENING) -> tuple[str, ...]:
    """Return the four sentences that stand for a name: a plain one, and one of each group."""
    start = opening.replace("{}", name)
    if attributes is None:
        return (f"{start}.", *(f"{start}, seen by its {group}." for group in GROUPS.values()))
    said = asdict(attributes)
    return (f"{start}.", *(f"{start}, {said[group]} in {group}." for group in GROUPS))


class Enrichment:
    """Says at once what stands for names, and has a model write about the new ones meanwhile.

    Attributes:
        version: Grows by one whenever more was written; what was read before stays whole.
        writer: Which model wrote, in words.
    """

    def __init__(
        self,
        written: Mapping[str, Attributes],
        *,
        chat: Chat | None = None,
        store: AttributeStore | None = None,
        retries: int = 2,
        each: bool = False,
        complain: Callable[[str], None] = lambda text: None,
        rest_s: float = _REST_S,
        author: str = "",
        opening: str = OPENING,
    ) -> None:
        """Begin with what was written before.

        Args:
            written: Attributes by name.
            chat: Who is asked about other names; None: nobody.
            store: Where the answers are kept.
            retries: Further questions about a name.
            each: Ask about the groups one by one.
            complain: Told why the model stopped to answer; a reason that stays is told once.
            rest_s: A model that failed is left alone for so long, and then asked again.
            author: Who wrote what was written before.
            opening: Of the sentences.
        """
        self.version = 0
        self.writer = " and ".join(filter(None, (author, chat.name if chat else "")))
        self._known: dict[str, Attributes | None] = dict(written)
        self._opening = opening
        self._chat, self._store = chat, store
        self._retries, self._each = retries, each
        self._complain, self._rest_s = complain, rest_s
        self._reason, self._resumes = "", -math.inf
        self._wanted: list[str] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def sentences(self, names: Sequence[str]) -> tuple[int, list[tuple[str, ...]]]:
        """Return the version, and each name's sentences, all of that version."""
        with self._changed:
            self._want(names)
            return self.version, [
                sentences(name, self._known.get(name), self._opening) for name in names
            ]

    def plain(self, name: str) -> str:
        """Return the plain one of a name's sentences."""
        return sentences(name, None, self._opening)[0]

    def want(self, names: Sequence[str]) -> int:
        """Have the model write about names that nothing is known about; return the version."""
        with self._changed:
            self._want(names)
            return self.version

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing is asked any more; return whether that came to pass."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._wanted, timeout_s)

    def complete(self, names: Sequence[str]) -> None:
        """Ask about names here and now, for what must not begin with half of them.

        Raises:
            ConnectionError: if the model cannot be reached; whatever it raises otherwise.
        """
        if self._chat is None or self._store is None:
            return
        for name in dict.fromkeys(names):
            with self._changed:
                self._recall(name)
                if name in self._known:
                    continue
            self._learn(name, ask(self._chat, name, retries=self._retries, each=self._each))

    def unknown(self, names: Sequence[str]) -> list[str]:
        """Return the names about which nothing is written: plain sentences stand for them."""
        with self._changed:
            return [name for name in dict.fromkeys(names) if self._known.get(name) is None]

    def _recall(self, name: str) -> None:
        """Take over what the store knows, before anybody has read a sentence of this name."""
        if self._store is not None and name not in self._known and name in self._store:
            self._known[name] = self._store.get(name)

    def _learn(self, name: str, found: Attributes | None) -> None:
        """Let an answer come into force, with a version of its own."""
        assert self._store is not None
        self._store.put(name, found)
        with self._changed:
            self._known[name] = found
            self.version += found is not None

    def _want(self, names: Sequence[str]) -> None:
        if self._chat is None or self._store is None:
            return
        wanted = set(self._wanted)
        fresh = [n for n in dict.fromkeys(names) if n not in self._known and n not in wanted]
        for name in fresh:
            self._recall(name)
        if time.monotonic() < self._resumes:
            return
        self._wanted += [name for name in fresh if name not in self._known]
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
                found = ask(self._chat, name, retries=self._retries, each=self._each)
            except Exception as error:  # away, out of memory: the plain sentences stay
                if str(error) != self._reason:
                    self._complain(f"no attributes of {name!r}: {error}")
                with self._changed:
                    self._reason = str(error)
                    self._resumes = time.monotonic() + self._rest_s
                    self._wanted.clear()
                continue
            self._reason = ""
            self._learn(name, found)
            with self._changed:
                self._wanted.remove(name)
