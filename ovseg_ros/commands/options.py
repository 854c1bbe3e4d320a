"""Options that several commands share, and how ``--set key=value`` reaches a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import typer
import yaml

from ovseg_ros.config import flatten, from_mapping
from ovseg_ros.presets import DEFAULT

if TYPE_CHECKING:
    from ovseg_ros.pipeline import PipelineConfig

T = TypeVar("T")

PRESET = typer.Option(DEFAULT, "--preset", "-p", help="Preset by name, or a YAML file.")
SET = typer.Option(
    [], "--set", metavar="KEY=VALUE", help="Override an option: segmenter.simzss.weights=DIR."
)
DEVICE = typer.Option("", help="auto, cpu, cuda or cuda:N; the preset's by default.")


def pipeline_options(
    preset: str, sets: Sequence[str], *, device: str = "", **more: Any
) -> PipelineConfig:
    """Return a preset's options with overrides, the later ones winning.

    Args:
        preset: Name or file of the preset.
        sets: ``key=value`` as typed.
        device: Overrides the preset's device if given.
        more: Overrides by dotted key with ``.`` written as ``__``.
    """
    from ovseg_ros.presets import load_preset

    fixed = {key.replace("__", "."): value for key, value in more.items()}
    if device:
        fixed["device"] = device
    return override(load_preset(preset), sets, fixed)


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


def image_size(text: str) -> tuple[int, int]:
    """Read ``WIDTHxHEIGHT`` in pixels."""
    width, by, height = text.lower().partition("x")
    if not (by and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ValueError(f"--size: expected WIDTHxHEIGHT in pixels, got {text!r}")
    return int(width), int(height)
