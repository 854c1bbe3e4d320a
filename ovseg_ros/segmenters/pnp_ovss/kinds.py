"""What kind of model weights are."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ovseg_ros.models.files import read_object

CLIP = "openai/clip-vit-large-patch14-336"
"""Who rewards a search where the preset brings nobody: the paper's CLIP."""


def model_kind(source: str, kinds: Collection[str]) -> str:
    """Return transformers' name for the kind of model in a folder or public repository.

    Raises:
        FileNotFoundError: if there is no configuration.
        ValueError: if the kind is none of ``kinds``.
    """
    kind = read_object(Path(source) / "config.json").get("model_type")
    if kind not in kinds:
        raise ValueError(f"weights: expected one of {', '.join(kinds)}, got {kind} in {source}")
    return str(kind)
