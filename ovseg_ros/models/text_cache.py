"""Vectors of names on disk: one file for every batch, verified when read, the oldest deleted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from ovseg_ros.whole_files import UNFINISHED, write_whole

MAX_BYTES = 1 << 27
"""Size of the whole cache, 128 MiB: 65,000 names of 512 numbers."""

MAX_FILES = 4096
"""Files in the whole cache; a robot that learns its words one by one writes one for each."""

_SUFFIX = ".vectors"
_OURS = (_SUFFIX, UNFINISHED, ".tmp", ".npy")  # the last by earlier versions
_CHECKSUM_BYTES = 32
_ABANDONED_S = 3600.0


class TextCache:
    """A mapping from names to unit vectors that outlives the process.

    A file holds one line of JSON (the names and the length of a vector), the vectors as
    little-endian float32, and the SHA-256 of the key and all that. What is not exactly so is
    deleted and as good as absent. Several processes may share the folder; a full disk, a folder
    that cannot be written and a file that vanishes cost time only.
    """

    def __init__(self, directory: Path, key: str) -> None:
        """Prepare; nothing is read or written yet.

        Args:
            directory: The whole cache's folder.
            key: What the vectors depend on beside the name: model, templates.
        """
        self._root = directory
        self._key = key.encode()
        self._folder = directory / hashlib.sha256(self._key).hexdigest()[:24]
        self._lock = threading.Lock()
        self._files: dict[str, str] = {}  # name -> file
        self._seen: set[str] = set()

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Return those of the names that are there, each (D,) float32 of unit length."""
        wanted = set(names)
        with self._lock:
            self._look_around()
            by_file: dict[str, list[str]] = {}
            for name in wanted & self._files.keys():
                by_file.setdefault(self._files[name], []).append(name)
        found: dict[str, np.ndarray] = {}
        for file, inside in by_file.items():
            vectors = self._load(file)
            with contextlib.suppress(OSError):
                os.utime(self._folder / file)  # in use: others are deleted first
            found |= {name: vectors[name] for name in inside if name in vectors}
        return found

    def write(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep vectors, (D,) float32 of unit length each, in one file.

        It is written under another name first: a reader sees all of it or nothing.
        """
        names = list(vectors)
        stacked = np.stack([vectors[name] for name in names]).astype("<f4")
        head = json.dumps({"names": names, "length": stacked.shape[1]}).encode() + b"\n"
        body = head + stacked.tobytes()
        file = hashlib.sha256("\0".join(names).encode(errors="replace")).hexdigest()[:32] + _SUFFIX
        if len(body) > MAX_BYTES:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            content = body + self._checksum(body)
            write_whole(self._folder / file, lambda unfinished: unfinished.write_bytes(content))
        except OSError:
            return
        with self._lock:
            self._seen.add(file)
            self._files |= dict.fromkeys(names, file)
        self._trim()

    def _look_around(self) -> None:
        """Take note of files that are new, be they of an earlier run or of another process."""
        try:
            listed = {p.name for p in self._folder.iterdir() if p.suffix == _SUFFIX}
        except OSError:
            listed = set()
        for file in sorted(listed - self._seen):
            self._files |= dict.fromkeys(self._load(file), file)
        self._seen = listed

    def _load(self, file: str) -> dict[str, np.ndarray]:
        """Return what a file holds; nothing, and no file either, if it is damaged."""
        path = self._folder / file
        try:
            about = path.stat()
            if not stat.S_ISREG(about.st_mode) or about.st_size > 2 * MAX_BYTES:
                raise ValueError("not a file of this cache")
            return _vectors(path.read_bytes(), self._checksum)
        except FileNotFoundError:
            return {}
        except Exception:  # whatever the damage: absent, so that it is made anew
            with contextlib.suppress(OSError):
                path.unlink()
            return {}

    def _checksum(self, body: bytes) -> bytes:
        return hashlib.sha256(self._key + b"\0" + body).digest()

    def _trim(self) -> None:
        """Delete the files used longest ago while the cache is too large, and abandoned ones."""
        found: list[tuple[float, int, Path]] = []
        for path in self._root.glob("*/*"):
            with contextlib.suppress(OSError):
                about = path.stat()
                if stat.S_ISREG(about.st_mode) and path.suffix in _OURS:
                    found.append((about.st_mtime, about.st_size, path))
        if not found:
            return
        newest = max(time for time, _, _ in found)
        size, count = sum(size for _, size, _ in found), len(found)
        for time, bytes_, path in sorted(found):
            abandoned = path.suffix in (UNFINISHED, ".tmp") and time < newest - _ABANDONED_S
            if abandoned or size > MAX_BYTES or count > MAX_FILES:
                size, count = size - bytes_, count - 1
                with contextlib.suppress(OSError):
                    path.unlink()


def _vectors(data: bytes, checksum: Callable[[bytes], bytes]) -> dict[str, np.ndarray]:
    """Return the vectors of a file's bytes by name.

    Raises:
        ValueError: if checksum, length, names or vectors are not what :class:`TextCache` writes.
    """
    body, found = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if found != checksum(body):
        raise ValueError("checksum")
    head, _, rest = body.partition(b"\n")
    about = json.loads(head)
    names, length = about["names"], about["length"]
    if length < 1 or not all(isinstance(name, str) for name in names):
        raise ValueError("header")
    vectors = np.frombuffer(rest, "<f4").astype(np.float32).reshape(len(names), length)
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        raise ValueError("length of a vector")
    return dict(zip(names, vectors, strict=True))
