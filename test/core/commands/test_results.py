"""Results on disk: whole or absent, and nothing half written stays."""

from __future__ import annotations

import os
from pathlib import Path

from ovseg_ros.commands.results import clear_abandoned


def test_what_a_killed_run_left_goes_after_an_hour(tmp_path: Path):
    old, new = tmp_path / ".old.png.part", tmp_path / ".new.png.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    clear_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == [new]
