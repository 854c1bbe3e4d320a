"""Files that are there as a whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
from pathlib import Path

import pytest

from ovseg_ros.whole_files import whole_lines, write_json, write_text, write_whole


def test_what_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "a.json"
    write_whole(path, lambda unfinished: unfinished.write_text("old"))

    def fail(unfinished: Path) -> None:
        unfinished.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_its_folder_and_no_numbers_that_are_none(tmp_path: Path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"a": (1.5, float("nan")), "b": {"c": float("inf")}})
    assert json.loads(path.read_text()) == {"a": [1.5, None], "b": {"c": None}}
    with pytest.raises(TypeError):
        write_json(path, {"a": path})
    assert json.loads(path.read_text())["a"] == [1.5, None]


def test_json_goes_through_a_pipe(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    write_json(pipe, [1])
    reader.join(timeout=10)
    assert json.loads(heard[0]) == [1] and pipe.is_fifo()


@pytest.mark.parametrize("mend", [False, True])
def test_a_line_that_is_cut_off_is_left_out(tmp_path: Path, mend: bool):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"one\ntwo\nth")
    assert whole_lines(path, mend=mend) == [b"one\n", b"two\n"]
    assert path.read_bytes() == b"one\ntwo\n" + (b"" if mend else b"th")


def test_a_disk_without_room_is_told_with_the_name_of_the_file(tmp_path: Path):
    def fill(unfinished: Path) -> None:
        unfinished.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.json"
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{path}'") + "$"):
        write_whole(path, fill)
    assert list(tmp_path.iterdir()) == []


def test_texts_are_whole_and_in_utf_8(tmp_path: Path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "犬")
    assert path.read_bytes() == "犬".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_link_is_written_to(tmp_path: Path):
    path, link = tmp_path / "a.txt", tmp_path / "link"
    path.write_text("old")
    link.symlink_to(path)
    write_text(link, "new")
    assert link.is_symlink() and path.read_text() == "new"


def test_lines_are_mended_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"one\ntwo\nth")

    def cut(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[:2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_bytes", cut)
        whole_lines(path, mend=True)
    assert path.read_bytes() == b"one\ntwo\nth"


def test_what_cannot_take_its_place_is_told_with_its_name(tmp_path: Path):
    path = tmp_path / "a"
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=re.escape(f"'{path}'") + "$"):
        write_whole(path, Path.touch)
    assert list(tmp_path.iterdir()) == [path]
