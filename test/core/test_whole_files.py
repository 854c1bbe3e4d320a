"""Files that are there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovseg_ros.whole_files import write_whole


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
