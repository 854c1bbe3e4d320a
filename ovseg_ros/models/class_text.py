"""Text enters the segmenters only here: names in prompts, and a persistent cache of embeddings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ovseg_ros.folders import cache_folder
from ovseg_ros.models.text_cache import TextCache

_REMEMBERED = 65_536
"""Phrases kept in memory, the last used; more than a vocabulary can hold."""

_FORMAT = "3"
"""Rises when the same name, template and model come to mean another vector."""


class Prompt(NamedTuple):
    """A name in a sentence.

    Attributes:
        template: The sentence, with one ``{}`` for the name.
        name: The name.
    """

    template: str
    name: str

    @property
    def sentence(self) -> str:
        """What a text encoder reads."""
        return self.template.format(self.name)

    @property
    def span(self) -> tuple[int, int]:
        """First character of the name in the sentence, and the one after its last."""
        first = self.template.index("{}")
        return first, first + len(self.name)


Encoder = Callable[[Sequence[Prompt]], np.ndarray]
"""Maps N prompts to (N, D) float32 embeddings."""


class ClassText:
    """Class embeddings of names, computed once per model, template set and phrase.

    A phrase's embedding is the renormalised mean of its normalised prompt embeddings. Embeddings
    live in memory and on disk (:class:`ovseg_ros.models.text_cache.TextCache`), so that a robot
    which restarts with known words runs no text encoder.
    """

    def __init__(
        self,
        encode: Encoder,
        *,
        model: str,
        templates: Sequence[str],
        directory: Path | None = None,
    ) -> None:
        """Prepare the cache.

        Args:
            encode: Text encoder, prompts -> (N, D) float32, not necessarily normalised.
            model: Identity of the encoder's weights, e.g. a digest of the file.
            templates: Prompt templates with one ``{}`` each.
            directory: Where embeddings persist; ``cache_folder("text")`` by default.
        """
        self._encode = encode
        self._templates = tuple(templates)
        key = "\n".join((_FORMAT, model, *self._templates))
        self._disk = TextCache(directory or cache_folder("text"), key)
        self._memory: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self.encoded = 0
        """How many phrases had to be encoded since the start; the rest came from the cache."""

    def embed(self, names: Sequence[str]) -> np.ndarray:
        """Return the class embeddings of ``names``, (K, D) float32, each of unit length.

        Raises:
            ValueError: if there are no names, or the encoder gives no finite vectors.
        """
        if not names:
            raise ValueError("names: expected at least one name, got none")
        wanted = dict.fromkeys(names)
        found = self._recall(wanted)
        missing = [name for name in wanted if name not in found]
        if missing:
            made = self._make(missing)
            if {len(v) for v in found.values()} - {len(made[missing[0]])}:
                missing = list(wanted)  # the disk's are of another length: none of them is right
                made = self._make(missing)
            found |= made
            self._disk.write(made)
            self.encoded += len(missing)
        with self._lock:
            for name in wanted:
                self._memory.pop(name, None)
                self._memory[name] = found[name]  # last: the first ones are forgotten first
            for name in list(self._memory)[: max(0, len(self._memory) - _REMEMBERED)]:
                del self._memory[name]
        return np.stack([found[name] for name in names])

    def _recall(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        with self._lock:
            found = {name: self._memory[name] for name in names if name in self._memory}
        absent = [name for name in names if name not in found]
        if absent:
            found |= self._disk.read(absent)
        return found if len({len(vector) for vector in found.values()}) <= 1 else {}

    def _make(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        prompts = [Prompt(template, name) for name in names for template in self._templates]
        vectors = np.asarray(self._encode(prompts), dtype=np.float32)
        vectors = _normalise(vectors).reshape(len(names), len(self._templates), -1)
        means = _normalise(vectors.mean(1))
        if not np.isfinite(means).all():
            raise ValueError("weights: expected a text encoder that gives numbers, got NaN")
        return dict(zip(names, means, strict=True))


def _normalise(vectors: np.ndarray) -> np.ndarray:
    norms: np.ndarray = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, 1e-12)
