"""The text cache's files: verified, few, and never more than so many."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovseg_ros.models import text_cache
from ovseg_ros.models.text_cache import TextCache


def vectors(*names: str, length: int = 8) -> dict[str, np.ndarray]:
    found = {}
    for name in names:
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        vector = np.random.default_rng(seed).normal(size=length).astype(np.float32)
        found[name] = vector / np.linalg.norm(vector)
    return found


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_it_comes_back(tmp_path: Path):
    made = vectors("mug", "\u676f\u5b50", "a\nb", "{}")
    TextCache(tmp_path, "key").write(made)
    found = TextCache(tmp_path, "key").read([*made, "unknown"])
    assert found.keys() == made.keys()
    for name, vector in made.items():
        np.testing.assert_array_equal(found[name], vector)
    assert TextCache(tmp_path, "other key").read(made) == {}


def test_ten_thousand_names_are_one_file(tmp_path: Path):
    names = [f"thing {i}" for i in range(10_000)]
    cache = TextCache(tmp_path, "key")
    cache.write(vectors(*names))
    assert len(files(tmp_path)) == 1
    assert len(TextCache(tmp_path, "key").read(names)) == 10_000


def test_another_process_is_seen(tmp_path: Path):
    first, second = TextCache(tmp_path, "key"), TextCache(tmp_path, "key")
    assert first.read(["mug"]) == {}
    second.write(vectors("mug"))
    assert first.read(["mug"]).keys() == {"mug"}
    for path in files(tmp_path):
        path.unlink()
    assert first.read(["mug"]) == {}


def resealed(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a file with a right checksum over changed content."""
    body = change(data[:-32])
    return body + hashlib.sha256(b"key\0" + body).digest()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda d: b"", id="empty"),
        pytest.param(lambda d: d[:10], id="cut in the names"),
        pytest.param(lambda d: d[:-3], id="cut"),
        pytest.param(lambda d: bytes(len(d)), id="zeros"),
        pytest.param(lambda d: b"\x80\x04K\x01.", id="pickle"),
        pytest.param(lambda d: b"PK\x03\x04" + d, id="zip"),
        pytest.param(lambda d: d.replace(b'"length": 8', b'"length": 9'), id="header"),
        pytest.param(lambda d: d + b"\0", id="longer"),
        pytest.param(lambda d: resealed(d, lambda b: b[:-4]), id="sealed, cut"),
        pytest.param(lambda d: resealed(d, lambda b: b[:-32] + bytes(32)), id="sealed, no vector"),
        pytest.param(lambda d: resealed(d, lambda b: b[:-4] + b"\0\0\xc0\x7f"), id="sealed, NaN"),
        pytest.param(
            lambda d: resealed(d, lambda b: b.replace(b'"length": 8', b'"length": -1')),
            id="sealed, wrong length",
        ),
        pytest.param(
            lambda d: resealed(d, lambda b: b"[" * 100_000 + b"\n"), id="sealed, deep JSON"
        ),
        pytest.param(lambda d: resealed(d, lambda b: b"{}\n"), id="sealed, other JSON"),
    ],
)
def test_what_cannot_be_verified_is_absent(tmp_path: Path, damage: Callable[[bytes], bytes]):
    TextCache(tmp_path, "key").write(vectors("mug", "duck"))
    (file,) = files(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    cache = TextCache(tmp_path, "key")
    assert cache.read(["mug", "duck"]) == {}
    assert files(tmp_path) == []
    cache.write(vectors("mug", "duck"))
    assert len(TextCache(tmp_path, "key").read(["mug", "duck"])) == 2


@given(at=st.integers(0, 10_000), value=st.integers(1, 255))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_wrong_byte_is_noticed(tmp_path: Path, at: int, value: int):
    TextCache(tmp_path, "key").write(vectors("mug", "duck"))
    (file,) = files(tmp_path)
    data = bytearray(file.read_bytes())
    data[at % len(data)] ^= value
    file.write_bytes(bytes(data))
    assert TextCache(tmp_path, "key").read(["mug", "duck"]) == {}


def test_what_is_no_file_is_left_alone(tmp_path: Path):
    cache = TextCache(tmp_path, "key")
    cache.write(vectors("mug"))
    (file,) = files(tmp_path)
    os.mkfifo(file.with_name("pipe.vectors"))
    file.with_name("folder.vectors").mkdir()
    file.with_name("link.vectors").symlink_to("/dev/zero")
    assert TextCache(tmp_path, "key").read(["mug"]).keys() == {"mug"}


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text_cache, "MAX_FILES", 3)
    cache = TextCache(tmp_path, "key")
    for number, name in enumerate(["a", "b", "c"]):
        cache.write(vectors(name))
        (file,) = (p for p in files(tmp_path) if p.stat().st_mtime > 1000)
        os.utime(file, (number, number))
    assert cache.read(["a"]).keys() == {"a"}  # used again: no longer the oldest
    TextCache(tmp_path, "another model").write(vectors("d"))
    assert TextCache(tmp_path, "key").read(["a", "b", "c"]).keys() == {"a", "c"}


def test_the_cache_has_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text_cache, "MAX_BYTES", 20_000)
    cache = TextCache(tmp_path, "key")
    for start in range(0, 1000, 50):
        cache.write(vectors(*(f"thing {start + i}" for i in range(50))))
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 20_000
    cache.write(vectors(*(f"{i}" for i in range(1000))))  # alone too large: not kept
    assert cache.read(["0"]) == {}


def test_what_a_crash_left_goes_too(tmp_path: Path):
    cache = TextCache(tmp_path, "key")
    cache.write(vectors("mug"))
    (file,) = files(tmp_path)
    litter = file.with_name("half.tmp")
    litter.write_bytes(b"half")
    cache.write(vectors("duck"))
    assert litter.exists()  # perhaps another process writes it right now
    os.utime(litter, (0, 0))
    cache.write(vectors("bear"))
    assert not litter.exists()
