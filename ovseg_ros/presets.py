"""Presets: ROS parameter files that say which models and words a robot runs with.

Below ``/**`` a preset holds options of :class:`~ovseg_ros.pipeline.PipelineConfig` only, the same
for every node and for the library, and ``extends`` if it changes another preset. What only one node
knows is in a section of its own, such as ``/**/discovery_node``, which the library does not read.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ovseg_ros.config import from_mapping, merge, override, unfold

if TYPE_CHECKING:
    from ovseg_ros.pipeline import PipelineConfig

EVERYWHERE = "/**"
"""Section of what every node and the library read."""

NODES = ("segmentation_node", "discovery_node", "camera_node", "evaluation_node")
"""Names of the nodes; one that is given another name has a section of that name."""

DEFAULT = "robot_cell"
"""The preset that runs with nothing but what the package ships."""


def preset_folders() -> Iterator[Path]:
    """Yield the folders with presets: the source tree's, those of ROS, the environment's."""
    yield Path(__file__).resolve().parents[1] / "config"
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix) / "share" / "ovseg_ros" / "config"
    yield Path(sys.prefix) / "share" / "ovseg_ros" / "config"


def list_presets() -> dict[str, Path]:
    """Return the files of all presets by name, sorted; ``robot_cell/autoseg`` is in a folder."""
    found: dict[str, Path] = {}
    for folder in preset_folders():
        for path in folder.rglob("*.yaml"):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return dict(sorted(found.items()))


def find_preset(name_or_path: str | Path) -> Path:
    """Return the file of a preset given by name or by path.

    Raises:
        ValueError: if there is none; lists those there are.
    """
    path = Path(name_or_path).expanduser()
    if _is_file(path):
        return path.resolve()
    presets = list_presets()
    if str(name_or_path) not in presets:
        names = ", ".join(presets) or "none is installed"
        raise ValueError(f"preset: expected a YAML file or one of {names}; got {name_or_path}")
    return presets[str(name_or_path)]


def _is_file(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") and path.is_file()


def load_preset(name_or_path: str | Path) -> PipelineConfig:
    """Read the models and words of a preset.

    Raises:
        ValueError: if there is no such preset, or an option in it is unknown or wrong.
    """
    from ovseg_ros.pipeline import PipelineConfig

    options = resolve_preset(name_or_path)
    try:
        return from_mapping(PipelineConfig, options[EVERYWHERE])
    except ValueError as error:
        raise ValueError(f"{find_preset(name_or_path)}: {error}") from None


def resolve_preset(name_or_path: str | Path) -> dict[str, dict[str, Any]]:
    """Return a preset's options by section, with those of the presets that it extends below them.

    The sections are ``/**``, for every node and the library, and ``/**/NODE``. A preset names the
    one it changes by ``extends: NAME`` in ``/**``; the name of a file counts from its own folder.

    Raises:
        ValueError: if there is no such preset, it is no parameter file, or it extends itself.
    """
    sections: dict[str, dict[str, Any]] = {}
    seen: list[Path] = []
    following: str | Path | None = name_or_path
    while following is not None:
        try:
            path = find_preset(following)
        except ValueError as error:
            raise ValueError(f"{seen[-1]}: extends: {error}" if seen else str(error)) from None
        if path in seen:
            chain = " -> ".join(str(file) for file in (*seen, path))
            raise ValueError(f"extends: expected another preset, got a circle: {chain}")
        seen.append(path)
        try:
            own = _sections(path)
            following = own.get(EVERYWHERE, {}).pop("extends", None)
            if following is not None and not isinstance(following, str):
                raise ValueError(f"extends: expected the name of a preset, got {following!r}")
            if following is not None and _is_file(path.parent / following):
                following = path.parent / following
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        for name, options in own.items():
            sections[name] = merge(options, sections.get(name, {}))
    return sections


def node_options(name_or_path: str | Path, node: str) -> dict[str, Any]:
    """Return what a preset says to a node: its options for every node and those for this one.

    Args:
        name_or_path: The preset.
        node: The node's name without namespace.
    """
    sections = resolve_preset(name_or_path)
    return merge(sections.get(EVERYWHERE, {}), sections.get(f"{EVERYWHERE}/{node}", {}))


def pipeline_options(
    preset: str, sets: Sequence[str], *, device: str = "", measured: bool = False, **more: Any
) -> PipelineConfig:
    """Return a preset's options with overrides, the later ones winning.

    Args:
        preset: Name or file of the preset.
        sets: ``key=value`` as typed.
        device: Overrides the preset's device if given.
        measured: What comes out is a measured quality: where the preset leaves the numbers to the
            device (``auto``) they are float32, unless ``sets`` ask for another ``dtype``.
        more: Overrides by dotted key with ``.`` written as ``__``.
    """
    fixed = {key.replace("__", "."): value for key, value in more.items()}
    if device:
        fixed["device"] = device
    options = override(load_preset(preset), sets, fixed)
    asked = any(entry.partition("=")[0].strip() == "dtype" for entry in sets) or "dtype" in fixed
    if measured and options.dtype == "auto" and not asked:
        options = replace(options, dtype="float32")
    return options


def _sections(path: Path) -> dict[str, dict[str, Any]]:
    """Read a ROS parameter file whose sections begin with ``/**``; dotted keys are unfolded."""
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"expected YAML, {error}") from None
    if not isinstance(sections, dict):
        raise ValueError(f"expected a ROS parameter file, got {type(sections).__name__}")
    found = {}
    for name, section in sections.items():
        if not isinstance(section, dict) or set(section) != {"ros__parameters"}:
            raise ValueError(f"{name}: expected 'ros__parameters' and nothing else")
        options = section["ros__parameters"]
        if not isinstance(options, dict) or not options:
            raise ValueError(f"{name}: expected options below 'ros__parameters', got {options!r}")
        _check_section(str(name))
        found[str(name)] = unfold(options)
    if EVERYWHERE not in found:
        raise ValueError(f"expected a section '/**', got {', '.join(found) or 'none'}")
    return found


def _check_section(name: str) -> None:
    """Refuse a section that no node would read."""
    node = name.removeprefix(f"{EVERYWHERE}/")
    if name != EVERYWHERE and (node == name or "/" in node):
        raise ValueError(f"{name}: expected a section '/**' or '/**/NODE'")
    close = difflib.get_close_matches(node, NODES, n=1, cutoff=0.8)
    if close and node not in NODES:
        raise ValueError(f"{name}: no node has this name; did you mean '/**/{close[0]}'?")
