"""The systems there are: one folder each, and one line here.

A system's package holds a :class:`System` called ``SYSTEM`` that names its parts as text, so that
reading a preset or ``ovseg --help`` imports no model's library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Any, Literal, TypeVar

T = TypeVar("T")

SYSTEMS: dict[str, str] = {
    "simzss": "ovseg_ros.segmenters.simzss",
    "pnp_ovss": "ovseg_ros.segmenters.pnp_ovss",
    "xdecoder": "ovseg_ros.segmenters.xdecoder",
    "tipsv2": "ovseg_ros.segmenters.tipsv2",
    "fisa": "ovseg_ros.segmenters.fisa",
    "lmseg": "ovseg_ros.segmenters.lmseg",
}
"""Package of every system by name."""


@dataclass(frozen=True)
class Part:
    """Something a command runs, by name.

    Attributes:
        about: One line for people.
        place: Where it is, ``package.module:name``; in a :class:`System` inside its package.
        preset: Preset it is about where none is given; empty: the default preset.
    """

    about: str
    place: str
    preset: str = ""

    def load(self) -> Any:
        """Import and return it."""
        return load_place(self.place)


@dataclass(frozen=True)
class Install:
    """Weights that ship in the package: how a recipe's result is measured and where it goes.

    Attributes:
        asset: Name of the folder: ``robot_cell/ASSET`` in presets.
        preset: What runs with the weights; empty if the recipe measures them itself.
        option: Dotted option of the preset that names them.
        vocabulary: ``gt`` (true names) or ``auto`` (discovered names).
    """

    asset: str
    preset: str = ""
    option: str = ""
    vocabulary: Literal["gt", "auto"] = "gt"


@dataclass(frozen=True, kw_only=True)
class System:
    """The parts of a system, each as ``module:name`` inside its package.

    Attributes:
        config: Options of the segmenter; the module imports no model's library.
        segmenter: Class that is built with (config, device=..., dtype=...).
        recipes: For ``ovseg train``: functions of the recipe's options.
        installs: Recipes whose result ships in the package.
        tables: For ``ovseg table``: functions of a request.
        benches: For ``ovseg bench``: functions of a job.
        converters: For ``ovseg convert``: functions of checkpoint, folder and trust.
        protocol: What a data set asks of it in an evaluation: function of the data set's name that
            returns :class:`Rules`; empty: nothing.
        spelling: How its authors write the names of a data set's classes: function of the data
            set's name and a class; empty: as everybody.
        templates: Prompt template sets of its own: name to a tuple of templates or a function that
            returns one.
    """

    config: str
    segmenter: str
    recipes: Mapping[str, Part] = field(default_factory=dict)
    installs: Mapping[str, Install] = field(default_factory=dict)
    tables: Mapping[str, Part] = field(default_factory=dict)
    benches: Mapping[str, Part] = field(default_factory=dict)
    converters: Mapping[str, Part] = field(default_factory=dict)
    protocol: str = ""
    spelling: str = ""
    templates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What an evaluation of a system changes for a data set, where nobody asks for something else.

    Attributes:
        options: Options of the pipeline, by dotted key.
        protocol: Options of the protocol.
        about: What this means, in words.
    """

    options: Mapping[str, Any]
    protocol: Mapping[str, Any]
    about: str


@cache
def load_system(name: str) -> System:
    """Return a system; imports its package, and none of its parts.

    Raises:
        ValueError: if there is no such system; lists those there are.
    """
    system: System = import_module(pick("system", SYSTEMS, name)).SYSTEM
    return system


def load_place(place: str) -> Any:
    """Import ``package.module:name`` and return what it names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def load_part(name: str, place: str) -> Any:
    """Import a part ``module:name`` of a system's package."""
    return load_place(f"{SYSTEMS[name]}.{place}")


def dataset_rules(system: str, dataset: str, config: Any = None) -> Rules | None:
    """Return what a system's authors change for a data set; None if nothing.

    Args:
        system: Name of the segmenter.
        dataset: Name of the data set (``voc20/val``).
        config: The segmenter's own options, where the rules hold for published weights only.
    """
    place = load_system(system).protocol
    return load_part(system, place)(dataset, config) if place else None


def spellers() -> tuple[str, ...]:
    """Return the systems whose authors write classes in a way of their own."""
    return tuple(name for name in SYSTEMS if load_system(name).spelling)


def spell(system: str, dataset: str, name: str) -> str:
    """Return how a system's authors write a class of a data set."""
    spelled: str = load_part(system, load_system(system).spelling)(dataset, name)
    return spelled


def parts(kind: Literal["recipes", "tables", "benches", "converters"]) -> dict[str, Part]:
    """Return what the systems bring for a command, by name."""
    return {
        name: replace(part, place=f"{package}.{part.place}")
        for system, package in SYSTEMS.items()
        for name, part in getattr(load_system(system), kind).items()
    }


def installs() -> dict[str, Install]:
    """Return which of the systems' recipes make weights that ship, by recipe."""
    return {recipe: what for name in SYSTEMS for recipe, what in load_system(name).installs.items()}


def pick(what: str, known: Mapping[str, T], name: str) -> T:
    """Return the one of that name.

    Raises:
        ValueError: if there is none: it says ``what`` is to be named, and lists those there are.
    """
    if name not in known:
        raise ValueError(f"{what}: expected one of {', '.join(known)}, got {name!r}")
    return known[name]
