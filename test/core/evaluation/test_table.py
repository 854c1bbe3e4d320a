"""Tables: aligned text, JSON without NaN, rows that are measured once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovseg_ros.evaluation.table import Table, kept

TABLE = Table(
    title="Two methods",
    columns=("method", "mIoU", "images/s"),
    rows=[{"method": "ours", "mIoU": 0.12345, "images/s": 1234}, {"method": "theirs"}],
    notes={"split": "val", "limit": None},
)


def test_a_table_is_aligned_and_says_what_is_not_measured():
    title, rule, head, _, ours, theirs, _, note = TABLE.lines()
    assert (title, note) == ("Two methods", "split: val")
    assert head == "method   mIoU  images/s"
    assert ours == "ours    0.123      1234"
    assert theirs == "theirs      -         -"
    assert rule == "-" * len(head)


def test_the_file_holds_every_column(tmp_path: Path):
    TABLE.write(tmp_path / "new" / "table.json")
    data = json.loads((tmp_path / "new" / "table.json").read_text())
    assert data["rows"][1] == {"method": "theirs", "mIoU": None, "images/s": None}
    assert data["rows"][0]["mIoU"] == 0.12345
    assert data["notes"] == {"split": "val", "limit": None}


def test_a_cell_needs_a_column():
    with pytest.raises(ValueError, match=r"rows: expected columns .*'a'.* got \['b'\]"):
        Table(title="", columns=("a",), rows=[{"a": 1, "b": 2}])


def test_a_row_is_measured_once_per_protocol(tmp_path: Path):
    made = []

    def make() -> dict[str, float]:
        made.append(1)
        return {"x": len(made) + 0.5}

    path = tmp_path / "rows" / "a.json"
    assert kept(path, make, steps=3, size=(1, 2)) == {"x": 1.5}
    assert kept(path, make, steps=3, size=(1, 2)) == {"x": 1.5}
    assert kept(path, make, steps=4, size=(1, 2)) == {"x": 2.5}
    assert len(made) == 2
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b"[1]", b"[" * 100_000, b"\xff\xfe"])
def test_a_damaged_row_is_named(tmp_path: Path, damage: bytes):
    path = tmp_path / "row.json"
    path.write_bytes(damage)
    with pytest.raises(ValueError, match=r"row\.json: expected a result measured before"):
        kept(path, lambda: {"a": 1}, seed=1)
    path.unlink()
    assert kept(path, lambda: {"a": 1}, seed=1) == {"a": 1}
