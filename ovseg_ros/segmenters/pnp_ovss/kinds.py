"""What kind of model weights are."""

from __future__ import annotations

from collections.abc import Collection

CLIP = "openai/clip-vit-large-patch14-336"
"""Who rewards a search where the preset brings nobody: the paper's CLIP."""


def model_kind(source: str, kinds: Collection[str]) -> str:
    """Return transformers' name for the kind of model in a folder or public repository.

    Raises:
        OSError: if there is no configuration to be had.
        ValueError: if the kind is none of ``kinds``.
    """
    from transformers import PretrainedConfig

    config, _ = PretrainedConfig.get_config_dict(source)
    if not config:
        raise OSError(f"there is no config.json in {source}")
    kind = config.get("model_type")
    if kind not in kinds:
        raise ValueError(f"weights: expected one of {', '.join(kinds)}, got {kind} in {source}")
    return str(kind)
