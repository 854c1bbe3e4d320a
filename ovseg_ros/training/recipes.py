"""The recipes of ``ovseg train``: those of the systems, and of what systems share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

from ovseg_ros.config import Config
from ovseg_ros.segmenters import systems
from ovseg_ros.segmenters.systems import Install, Part, pick

SHARED = {
    "tower": Part(
        "the tower of the small models: ImageNet's Lite0 with a neck for the robot cell",
        "ovseg_ros.training.tower_recipe:train",
    ),
    "pyramid": Part(
        "the small visual tower (convolutions), with the simulator's masks",
        "ovseg_ros.training.pyramid:train",
    ),
    "blip": Part(
        "a small BLIP captioner on such a tower", "ovseg_ros.discovery.captioner_recipe:train"
    ),
}
"""What belongs to no single system."""


SHARED_INSTALLS = {
    "tower": Install("tower"),
    "blip": Install("blip", "robot_cell", "discovery.captioner.weights", "auto"),
}


def find_install(recipe: str) -> Install:
    """Return how a recipe's weights are put into the package.

    Raises:
        ValueError: if it makes none that ship; lists those that do.
    """
    return pick("--install", {**SHARED_INSTALLS, **systems.installs()}, recipe)


def recipes() -> dict[str, Part]:
    """Return every recipe by name."""
    return {**SHARED, **systems.parts("recipes")}


def load_recipe(name: str) -> tuple[Config, Callable[[Any], None]]:
    """Return a recipe's default configuration and its function.

    Raises:
        ValueError: if there is no such recipe; lists those there are.
    """
    run = pick("recipe", recipes(), name).load()
    return get_type_hints(run)["config"](), run
