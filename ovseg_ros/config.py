"""Options are frozen dataclasses; this file maps them to YAML, ROS parameters and back.

An option is written once, as a dataclass field made with :func:`option`. The same tree is read from
a preset's YAML (:func:`from_mapping`), declared as ROS parameters (:func:`flatten`) and shown to
people (:func:`describe`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, get_type_hints

import yaml

T = TypeVar("T")

Kind = Literal["", "weights", "place", "run"]
"""What is special about an option; see :func:`option`."""


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] | None = None,
    kind: Kind = "",
) -> Any:
    """Return a dataclass field with a description and, where it makes sense, a range or choices.

    Args:
        default: Value where nothing is given.
        help: What it means, for people.
        low: Smallest value.
        high: Largest value.
        choices: The valid values, if they are few.
        kind: ``weights`` if it names a model (to be pulled, and part of a result's identity),
            ``place`` if it is a file or folder of this machine, ``run`` if it changes how fast a
            run is but not its result.
    """
    meta = {"help": help, "low": low, "high": high, "choices": choices, "kind": kind}
    return dataclasses.field(default=default, metadata=meta)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Base of every configuration: checks each field against its type, range and choices."""

    def __post_init__(self) -> None:
        """Validate every field that was made with :func:`option`."""
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            object.__setattr__(self, field.name, _check(field, hints[field.name], value))

    def used(self) -> tuple[str, ...]:
        """Return the names of the fields that have an effect; of all that are there, all."""
        return tuple(field.name for field in dataclasses.fields(self))


@dataclasses.dataclass(frozen=True)
class Option:
    """One leaf of a configuration tree, as shown to ROS and to people."""

    name: str
    value: Any
    help: str
    low: float | None
    high: float | None
    choices: tuple[Any, ...] | None
    kind: Kind


def from_mapping(cls: type[T], mapping: Mapping[str, Any], where: str = "") -> T:
    """Build a configuration tree from nested (or dotted) keys; missing keys keep their defaults.

    Where an option comes twice, nested and dotted, the later one wins: ``{**preset, **overrides}``.

    Raises:
        ValueError: naming the full dotted key, what was expected and what came.
    """
    if not isinstance(mapping, Mapping):
        name = where.rstrip(".") or cls.__name__
        raise ValueError(f"{name}: expected a mapping, got {mapping!r}")
    nested = unfold(mapping, where)
    hints = get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(nested) - known)
    if unknown:
        raise ValueError(
            f"{where}{unknown[0]}: no such option; expected one of {', '.join(sorted(known))}"
        )
    values = {}
    for key, value in nested.items():
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            value = from_mapping(hint, value, f"{where}{key}.")  # type: ignore[arg-type]
        values[key] = value
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None


def describe(config: Config, prefix: str = "", *, used: bool = False) -> Iterator[Option]:
    """Yield every leaf of a configuration tree with its dotted name, depth first.

    Args:
        config: The tree.
        prefix: Stands before every name.
        used: Only leaves that have an effect: a segmenter that is not chosen has none.
    """
    names = config.used()
    for field in dataclasses.fields(config):
        if used and field.name not in names:
            continue
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if isinstance(value, Config):
            yield from describe(value, f"{name}.", used=used)
        else:
            meta = field.metadata
            yield Option(
                name,
                list(value) if isinstance(value, tuple) else value,
                meta.get("help", ""),
                meta.get("low"),
                meta.get("high"),
                meta.get("choices"),
                meta.get("kind", ""),
            )


def weights_of(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the dotted option and the name of all weights that a configuration uses."""
    for leaf in describe(config, used=True):
        if leaf.kind == "weights" and leaf.value:
            yield leaf.name, str(leaf.value)


def flatten(config: Any) -> dict[str, Any]:
    """Return ``{dotted name: value}`` of a configuration tree; tuples become lists."""
    return {leaf.name: leaf.value for leaf in describe(config)}


def override(config: T, sets: Sequence[str], fixed: Mapping[str, Any] | None = None) -> T:
    """Return a configuration with some options changed.

    Args:
        config: Where the options start from.
        sets: ``key=value`` as typed; the value is read as what the option is.
        fixed: Options that are changed as well, by dotted key; these win.

    Raises:
        ValueError: if there is no such option, or a value is wrong.
    """
    flat = flatten(config)
    for entry in sets:
        key, equals, text = entry.partition("=")
        key = key.strip()
        if not equals:
            raise ValueError(f"--set: expected KEY=VALUE, got {entry!r}")
        flat[key] = parse(text, flat.get(key))
    return from_mapping(type(config), {**flat, **(fixed or {})})


def parse(text: str, like: Any) -> Any:
    """Read a typed value: text stays text, ``a,b`` is a list where ``like`` is one, else YAML."""
    if isinstance(like, str):
        return text
    if isinstance(like, list) and not text.strip().startswith("["):
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return [yaml.safe_load(part) for part in parts]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(like, float) and isinstance(value, str):
        try:
            return float(value)  # YAML wants a point in 1e-4
        except ValueError:
            return value
    return value


def unfold(mapping: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Unfold dotted keys: ``{"a.b": 1}`` becomes ``{"a": {"b": 1}}``; later values win."""
    nested: dict[str, Any] = {}
    for key, value in mapping.items():
        head, _, tail = str(key).partition(".")
        if tail:
            value = {tail: value}
        if head in nested and isinstance(nested[head], dict) != isinstance(value, Mapping):
            raise ValueError(f"{where}{head}: expected a mapping or a value, got both")
        if isinstance(value, Mapping):
            inside = f"{where}{head}."
            value = merge(nested.get(head, {}), unfold(value, inside))
        nested[head] = value
    return nested


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return nested options, those of ``new`` winning leaf by leaf."""
    merged = {**old, **new}
    for key in old.keys() & new.keys():
        if isinstance(old[key], dict) and isinstance(new[key], dict):
            merged[key] = merge(old[key], new[key])
    return merged


def _check(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    name, meta = field.name, field.metadata
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, hint):  # type: ignore[arg-type]
            raise ValueError(f"{name}: expected {getattr(hint, '__name__', hint)}, got {value!r}")
        return value
    kind = getattr(hint, "__origin__", hint)
    if kind is tuple:
        if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
            raise ValueError(f"{name}: expected a list, got {value!r}")
        item = hint.__args__[0]
        value = tuple(_cast(name, item, entry) for entry in value)
    else:
        value = _cast(name, hint, value)
    for entry in value if kind is tuple else (value,):
        low, high, choices = meta.get("low"), meta.get("high"), meta.get("choices")
        if (low is not None and not entry >= low) or (high is not None and not entry <= high):
            raise ValueError(f"{name}: expected {_range(low, high)}, got {entry!r}")
        if choices is not None and entry not in choices:
            allowed = ", ".join(map(repr, choices))
            raise ValueError(f"{name}: expected one of {allowed}, got {entry!r}")
    return value


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"a value in [{low}, {high}]"


def _cast(name: str, hint: Any, value: Any) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (bool, int, float, str) and type(value) is not hint:
        raise ValueError(f"{name}: expected {hint.__name__}, got {value!r}")
    return value
