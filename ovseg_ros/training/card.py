"""The card that lies beside every set of trained weights."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import torch

from ovseg_ros.config import describe, flatten
from ovseg_ros.whole_files import write_json


def write_card(
    directory: Path, *, recipe: str, config: Any, seconds: float, data: str, **notes: Any
) -> None:
    """Write ``card.json``: how the weights beside it were made.

    The command repeats the run: it names every option that is not the recipe's default, places
    aside.

    Args:
        directory: Where the weights are.
        recipe: Name of the recipe, as in ``ovseg train NAME``.
        config: The recipe's configuration.
        seconds: Wall time of the optimisation.
        data: One line about the training data.
        **notes: Anything else worth knowing (how the tower was pretrained, ...).
    """
    options = {
        leaf.name: leaf.value
        for leaf in describe(config)
        if leaf.kind != "place"  # of the machine it was trained on
        and not (leaf.kind == "weights" and leaf.value and Path(leaf.value).is_dir())
    }
    defaults = flatten(type(config)())
    card = {
        "recipe": recipe,
        "command": shlex.join(
            [
                *("ovseg", "train", recipe),
                *(
                    word
                    for key, value in options.items()
                    if value != defaults[key]
                    for word in ("--set", f"{key}={_text(value)}")
                ),
            ]
        ),
        "options": options,
        "data": data,
        "seconds": round(seconds),
        "torch": torch.__version__,
        **notes,
    }
    write_json(directory / "card.json", card)


def _text(value: Any) -> str:
    """Write a value as ``--set`` reads it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
