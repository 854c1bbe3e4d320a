"""What names look like, as a language model wrote it: read, checked, kept (arXiv 2412.00364).

The paper names three groups: colour, shape and size, texture and material. What a model answers is
checked and kept on disk, and never edited.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ovseg_ros.folders import LISTS, cache_folder
from ovseg_ros.whole_files import write_json

VERSION = 2
"""Of the question and its examples; rises when one of them changes."""

_LONGEST = 80
_LONGEST_REPLY = 4000
"""Repairs take time that grows with its square."""

SHIPPED = LISTS / "attributes"
"""What language models wrote about the names of known data sets."""

_KEYS = {
    "colour": ("colour", "color", "colours", "colors"),
    "shape": ("shape", "shape/size", "shape_size", "shape and size", "size", "shapes"),
    "texture": (
        "texture", "texture/material", "texture_material", "texture and material", "material",
        "textures",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Attributes:
    """What a name looks like, in the paper's three groups; English phrases.

    Attributes:
        colour: Its colours.
        shape: Its shape and size.
        texture: Its texture and material.
    """

    colour: str
    shape: str
    texture: str

    def __post_init__(self) -> None:
        """Validate."""
        for group, value in asdict(self).items():
            if not isinstance(value, str) or not value.isprintable() or not _letters(value):
                raise ValueError(f"{group}: expected a phrase, got {value!r}")
            if len(value) > _LONGEST:
                raise ValueError(f"{group}: expected at most {_LONGEST} characters, got {value!r}")


def _letters(value: str) -> bool:
    return any(letter.isalpha() for letter in value)


def parse_attributes(reply: str) -> Attributes | None:
    """Read a model's reply; None if there is no such object in it.

    Only its beginning is read (4,000 characters). Code fences, text around the object, single
    quotes, a comma too many, a brace too few, lists instead of phrases and the keys' usual variants
    are repaired; nothing is made up.
    """
    data = _object(reply)
    phrases = {group: _phrase(data, group) for group in _KEYS}
    try:
        return Attributes(**phrases)
    except ValueError:
        return None


def parse_phrase(reply: str, group: str) -> str | None:
    """Read the phrase of one group out of a reply, as :func:`parse_attributes` does all three."""
    phrase = _phrase(_object(reply), group)
    try:
        Attributes(**{key: phrase for key in _KEYS})
    except ValueError:
        return None
    return phrase


def _object(reply: str) -> Mapping[object, object]:
    """Return the JSON object in a reply; an empty one if there is none."""
    reply = reply[:_LONGEST_REPLY]
    start = reply.find("{")
    if start < 0:
        return {}
    text = reply[start : reply.rfind("}") + 1] or reply[start:].rstrip("`\n ") + "}"
    for attempt in (text, _repaired(text)):
        try:
            data = json.loads(attempt)
        except (ValueError, RecursionError):
            continue
        return data if isinstance(data, Mapping) else {}
    return {}


def _repaired(text: str) -> str:
    text = re.sub(r"(?<=[{,:\[\s])'|'(?=\s*[,:}\]])", '"', text)
    text = re.sub(r"([{,]\s*)(\w[\w /]*)(\s*:)", r'\1"\2"\3', text)
    return re.sub(r",\s*([}\]])", r"\1", text)


def _phrase(data: Mapping[object, object], group: str) -> str:
    """Return the phrase of a group; empty if there is none."""
    lower = {str(key).strip().lower(): value for key, value in data.items()}
    value = next((lower[key] for key in _KEYS[group] if key in lower), None)
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(entry) for entry in value)
    return " ".join(value.split()).strip(" .\"'").lower() if isinstance(value, str) else ""


class AttributeStore:
    """Attributes by name: those a file brings, and those a model was asked for, on disk.

    Safe to use from several threads; several processes may share the directory.
    """

    def __init__(self, model: str, *, each: bool = False, directory: Path | None = None) -> None:
        """Open the store of a model.

        Args:
            model: Name of the model that writes.
            each: Whether it was asked about the groups one by one.
            directory: Where it is kept; beside the text cache by default.
        """
        folder = directory or cache_folder("attributes")
        digest = hashlib.sha256(model.encode(errors="surrogatepass")).hexdigest()[:12]
        safe = re.sub(r"[^\w.-]+", "_", model)[-60:] + f"-{digest}"  # names that look alike differ
        self._path = folder / f"{safe}-{VERSION}{'-each' * each}.jsonl"
        self._lock = threading.Lock()
        self._known: dict[str, Attributes | None] = dict(_read_lines(self._path))

    def get(self, name: str) -> Attributes | None:
        """Return what was written about a name, or None."""
        with self._lock:
            return self._known.get(name)

    def __contains__(self, name: str) -> bool:
        """Return whether the model was asked about a name, whatever it said."""
        with self._lock:
            return name in self._known

    def put(self, name: str, attributes: Attributes | None) -> None:
        """Keep what was written, also that nothing could be read; a full disk costs nothing."""
        with self._lock:
            self._known[name] = attributes
            entry = {"name": name, **(asdict(attributes) if attributes else {})}
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a") as file:  # a line is written as a whole
                    file.write(json.dumps(entry) + "\n")
            except OSError:
                return


def _read_lines(path: Path) -> dict[str, Attributes | None]:
    found: dict[str, Attributes | None] = {}
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return found
    for line in lines:
        try:
            entry = json.loads(line)
            name = entry.pop("name")
            found[str(name)] = Attributes(**entry) if entry else None
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a line that was cut, or not ours
    return found


def write_attributes(
    path: Path, model: str, names: Mapping[str, Attributes], *, note: str = ""
) -> None:
    """Write what :func:`read_attributes` reads.

    Args:
        path: The file.
        model: Who wrote.
        names: Attributes by name.
        note: What else a reader must know of it.
    """
    entries = {name: asdict(attributes) for name, attributes in names.items()}
    head = {"model": model, "note": note, "prompt_version": VERSION}
    write_json(path, {**head, "names": entries})


def read_attributes(path: Path) -> tuple[str, dict[str, Attributes]]:
    """Read a file of attributes: the model that wrote them, and the attributes by name.

    A file that ships with the package goes by its name alone (``robot_cell``).

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged; names the file.
    """
    if path.name == str(path) and (SHIPPED / f"{path}.json").is_file():
        path = SHIPPED / f"{path}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"enrichment.file: {path} is not there; with the package come "
            + (", ".join(sorted(file.stem for file in SHIPPED.glob("*.json"))) or "none")
        )
    try:
        data = json.loads(path.read_text())
        names = {str(name): Attributes(**entry) for name, entry in data["names"].items()}
        return str(data["model"]), names
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"enrichment.file: {path} holds no attributes ({error})") from None
