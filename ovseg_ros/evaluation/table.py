"""What every table is asked for and what it returns: rows of ours and rows that were published."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovseg_ros.config import describe
from ovseg_ros.segmenters import systems
from ovseg_ros.segmenters.systems import Part
from ovseg_ros.whole_files import write_json

Value = str | float | int | None
"""A cell; None is a number nobody has measured."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a table is asked for.

    Attributes:
        root: Folder of the robot cell's splits; the default place if None.
        out: Folder that keeps finished rows, so that a killed run goes on.
        split: Split that is scored.
        limit: Only the first images; all if None.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        sets: Overrides ``key=value`` of the table's own options.
    """

    root: Path | None
    out: Path
    split: str = "test"
    limit: int | None = None
    device: str = "auto"
    sets: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under common columns.

    Attributes:
        title: What the table shows.
        columns: Names of the columns, in order; the first one names the rows.
        rows: For every row its cells by column; missing cells are None.
        notes: What a reader must know to trust the numbers: protocol, sources.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Value]]
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that no cell stands outside the columns."""
        for row in self.rows:
            if extra := set(row) - set(self.columns):
                raise ValueError(f"rows: expected columns {self.columns}, got {sorted(extra)}")

    def lines(self) -> list[str]:
        """Return the table as aligned lines of text, notes below."""
        cells = [list(self.columns)]
        cells += [[_text(row.get(column)) for column in self.columns] for row in self.rows]
        widths = [max(len(line[k]) for line in cells) for k in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if k == 0 else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        ]
        rule = "-" * max(len(line) for line in lines)
        notes = [f"{name}: {value}" for name, value in self.notes.items() if value]
        return [self.title, rule, lines[0], rule, *lines[1:], rule, *notes]

    def write(self, path: Path) -> None:
        """Write the table as JSON."""
        rows = [{column: row.get(column) for column in self.columns} for row in self.rows]
        write_json(path, {"title": self.title, "rows": rows, "notes": self.notes})


SHARED = {
    "autoseg": Part(
        "who finds the words: AutoSeg, its ablations and baselines, beside the paper",
        "ovseg_ros.discovery.table:table",
    )
}
"""What belongs to no single segmenter; functions of a request."""


def tables() -> dict[str, Part]:
    """Return every table by name."""
    return {**SHARED, **systems.parts("tables")}


def kept(path: Path, make: Callable[[], dict[str, Any]], **protocol: Any) -> dict[str, Any]:
    """Return a result that was kept in a JSON file, or make and keep it.

    Args:
        path: The file.
        make: Measures the result (plain data).
        **protocol: What the result depends on; another protocol is measured anew.
    """
    asked = json.loads(json.dumps(protocol))  # as it comes back: tuples are lists there
    if path.is_file():
        try:
            entry = json.loads(path.read_bytes())
            known, result = entry["protocol"], dict(entry["result"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path}: expected a result measured before, it is damaged ({error}); without the "
                "file it is measured again"
            ) from None
        if known == asked:
            return result
    result = make()
    write_json(path, {"protocol": asked, "result": result})
    return result


def train_once(config: Any, train: Callable[[Any], object]) -> None:
    """Run a recipe unless ``config.out`` holds finished weights of the same options."""
    card = Path(config.out) / "card.json"
    if card.is_file():
        wanted = {leaf.name: leaf.value for leaf in describe(config) if not leaf.kind}
        found = json.loads(card.read_text())["options"]
        wanted = json.loads(json.dumps(wanted))  # tuples are lists there
        if all(found.get(key) == value for key, value in wanted.items()):
            return
    train(config)


def split_rows(request: Request, known: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the rows that ``rows=a,b`` asks for, all by default, and the other ``sets``.

    Raises:
        ValueError: if there is no such row.
    """
    asked = [entry[5:] for entry in request.sets if entry.startswith("rows=")]
    chosen = [name.strip() for entry in asked for name in entry.split(",")] or list(known)
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"rows: expected some of {', '.join(known)}, got {unknown[0]!r}")
    return chosen, [entry for entry in request.sets if not entry.startswith("rows=")]


def _text(value: Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return format(value, ".3f" if abs(value) < 10 else ".1f")
    return str(value)
