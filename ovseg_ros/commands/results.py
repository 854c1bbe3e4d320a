"""Results of `ovseg segment` on disk: whole or absent, told apart from photographs, kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovseg_ros.whole_files import UNFINISHED

if TYPE_CHECKING:
    from ovseg_ros.config import Config

_ABANDONED_S = 3600.0

PICTURES = (".overlay.png", ".labels.png")
"""What stands behind an image's name in the pictures made of it."""


def clear_abandoned(out: Path) -> None:
    """Delete what runs that were killed an hour ago or more have left half written."""
    for path in out.glob(f".*{UNFINISHED}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()


def without_results(files: Iterable[Path], out: Path, given: Iterable[Path]) -> list[Path]:
    """Return photographs without those that `ovseg segment` itself has drawn, each file once.

    Args:
        files: What was found, in order.
        out: Folder of the results, perhaps inside a folder of photographs.
        given: Files that were named one by one: these are meant, whatever they are called.

    Raises:
        FileNotFoundError: if nothing is left.
    """
    meant = {os.path.abspath(path) for path in given}
    kept: dict[str, Path] = {}
    for path in files:
        key = os.path.abspath(path)
        if key in meant or not is_result(path, out):
            kept.setdefault(key, path)
    if not kept:
        raise FileNotFoundError("images: expected photographs, found only results of earlier runs")
    return list(kept.values())


def is_result(path: Path, out: Path) -> bool:
    """Tell whether a picture is a result, in ``out`` or beside the JSON that belongs to it."""
    for suffix in PICTURES:
        if path.name.endswith(suffix):
            made = path.with_name(path.name.removesuffix(suffix) + ".json")
            return made.is_file() or path.resolve().is_relative_to(out.resolve())
    return False


def result_names(files: Sequence[Path], out: Path) -> dict[Path, str]:
    """Return a name for the results of every file, the same in every run.

    Equal stems get numbers, also where another photograph's results are in ``out`` already.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in files:
        stem, number = path.stem, 2
        while stem in taken or not _is_of(_about(out / f"{stem}.json"), path):
            stem, number = f"{path.stem}_{number}", number + 1
        names[path] = stem
        taken.add(stem)
    return names


def _is_of(about: dict[str, Any], path: Path) -> bool:
    """Tell whether a result may be replaced by one of ``path``: it is of it, or of nothing."""
    if about.get("image", str(path)) == str(path):
        return True
    try:
        return path.is_file() and about.get("sha256") == file_digest(path)  # from another folder
    except OSError:  # it cannot be read: said when its turn comes
        return False


def settings_digest(config: Config, **options: Any) -> str:
    """Return a short name for all that decides a result but the photograph itself."""
    from ovseg_ros.config import flatten
    from ovseg_ros.evaluation.protocol import digest, used_weights, versions

    return digest(
        {
            "options": {k: v for k, v in flatten(config).items() if k != "device"},
            "weights": used_weights(config),
            "version": versions()["ovseg_ros"],
            **options,
        }
    )


def finished(path: Path, out: Path, stem: str, settings: str) -> dict[str, Any] | None:
    """Return what a run before wrote about a photograph, None where it must be made.

    The JSON is written last; its pictures are there and whole, unless something damaged them.
    """
    about = _about(out / f"{stem}.json")
    if about.get("settings") != settings or about.get("sha256") != file_digest(path):
        return None
    categories = about.get("categories")
    if not isinstance(categories, list) or not all(map(_is_category, categories)):
        return None
    from ovseg_ros.codecs.pictures import png_end

    try:
        for suffix in PICTURES:
            png_end((out / f"{stem}{suffix}").read_bytes())
    except (OSError, ValueError):
        return None
    return about


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def _is_category(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("share"), float)
    )


def _about(path: Path) -> dict[str, Any]:
    """Return the JSON of a result; nothing where it is absent, damaged or something else."""
    try:
        about = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}
