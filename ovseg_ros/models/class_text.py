"""Text enters the segmenters only here: names in prompts, and a persistent cache of embeddings."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

_FORMAT = "2"
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


def cache_directory() -> Path:
    """Return the directory of the text cache: ``$OVSEG_CACHE`` or the user's cache folder."""
    root = os.environ.get("OVSEG_CACHE")
    if root:
        return Path(root).expanduser() / "text"
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(home or Path.home() / ".cache") / "ovseg_ros" / "text"
    except RuntimeError:  # a container's user without a home
        return Path(tempfile.gettempdir()) / "ovseg_ros" / "text"


class ClassText:
    """Class embeddings of names, computed once per model, template set and phrase.

    A phrase's embedding is the renormalised mean of its normalised prompt embeddings. Embeddings
    live in memory and, one small file per phrase, on disk, so that a robot which restarts with
    known words runs no text encoder. Several processes may share the directory.
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
            directory: Where embeddings persist; ``cache_directory()`` by default.
        """
        self._encode = encode
        self._templates = tuple(templates)
        key = hashlib.sha256("\n".join((_FORMAT, model, *self._templates)).encode()).hexdigest()[
            :24
        ]
        self._directory = (directory or cache_directory()) / key
        self._memory: dict[str, np.ndarray] = {}
        self.encoded = 0
        """How many phrases had to be encoded since the start; the rest came from the cache."""

    def embed(self, names: Sequence[str]) -> np.ndarray:
        """Return the class embeddings of ``names``, (K, D) float32, each of unit length.

        Raises:
            ValueError: if there are no names.
        """
        if not names:
            raise ValueError("names: expected at least one name, got none")
        missing = [name for name in dict.fromkeys(names) if self._recall(name) is None]
        if missing:
            prompts = [Prompt(template, name) for name in missing for template in self._templates]
            vectors = np.asarray(self._encode(prompts), dtype=np.float32)
            vectors = _normalise(vectors).reshape(len(missing), len(self._templates), -1)
            for name, vector in zip(missing, _normalise(vectors.mean(1)), strict=True):
                self._memory[name] = vector
                self._store(name, vector)
            self.encoded += len(missing)
        return np.stack([self._memory[name] for name in names])

    def _path(self, name: str) -> Path:
        return self._directory / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.npy"

    def _recall(self, name: str) -> np.ndarray | None:
        if name not in self._memory:
            try:
                vector = np.load(self._path(name), allow_pickle=False)
            except (OSError, ValueError, EOFError):
                return None  # absent, or cut short by a crash: encode it again
            if vector.ndim != 1 or not np.isclose(np.linalg.norm(vector), 1, atol=1e-3):
                return None  # a power cut can leave a file of zeros
            self._memory[name] = vector
        return self._memory[name]

    def _store(self, name: str, vector: np.ndarray) -> None:
        """Write atomically: a reader sees a whole embedding or none; a full disk costs nothing."""
        path = self._path(name)
        unfinished = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with unfinished.open("xb") as file:
                np.save(file, vector)
            unfinished.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)


def _normalise(vectors: np.ndarray) -> np.ndarray:
    norms: np.ndarray = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, 1e-12)
