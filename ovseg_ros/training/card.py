"""The card that lies beside every set of trained weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ovseg_ros.config import flatten


def write_card(
    directory: Path, *, recipe: str, config: Any, seconds: float, data: str, **notes: Any
) -> None:
    """Write ``card.json``: how the weights beside it were made.

    Args:
        directory: Where the weights are.
        recipe: Name of the recipe, as in ``ovseg train NAME``.
        config: The recipe's configuration.
        seconds: Wall time of the optimisation.
        data: One line about the training data.
        **notes: Anything else worth knowing (how the tower was pretrained, ...).
    """
    options = flatten(config)
    places = ("data", "out", "tower")  # paths of the machine it was trained on
    card = {
        "recipe": recipe,
        "command": f"ovseg train {recipe}",
        "options": {key: value for key, value in options.items() if key not in places},
        "data": data,
        "seconds": round(seconds),
        "torch": torch.__version__,
        **notes,
    }
    (directory / "card.json").write_text(json.dumps(card, indent=2) + "\n")
