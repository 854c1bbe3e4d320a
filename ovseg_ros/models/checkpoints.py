"""Checkpoint files as authors publish them: any of torch's formats, bare or wrapped."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ovseg_ros.models.files import check_finite, first_line, read_tensors

_WRAPPERS = ("state_dict", "model", "model_state_dict", "module", "ema", "net")
"""Keys under which training scripts put the tensors, the likeliest first."""

_PREFIXES = ("module.", "model.", "_orig_mod.")
"""What parallel, wrapped and compiled models put in front of every key."""


def read_checkpoint(
    path: Path, *, option: str = "weights", trust: bool = False
) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by key.

    Reads ``.safetensors`` and what ``torch.save`` writes, also before torch 1.6; a state dict under
    ``state_dict`` or ``model`` is unwrapped, and a prefix that all keys share (``module.``) is
    taken off. Beside the tensors a wrapper may hold what it likes.

    Args:
        path: The file.
        option: Which option named it, for errors.
        trust: Read files with other objects than tensors too, which may run code.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is no checkpoint, is not to be read without ``trust``, or
            holds NaN or infinity.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{option}: expected a checkpoint at {path}, it is not there")
    if path.suffix == ".safetensors":
        return _bare(read_tensors(path, option=option))
    try:
        # Files from before torch 1.6 are no archives, so that they cannot be mapped into memory.
        found: Any = torch.load(
            path, map_location="cpu", weights_only=not trust, mmap=zipfile.is_zipfile(path)
        )
    except Exception as error:  # a cut download, a pickle of something else, ...
        reason = f"{type(error).__name__}: {first_line(error)}"
        hint = "" if trust else "; if somebody you trust put more than tensors in it, add --trust"
        raise ValueError(
            f"{option}: {path} is no checkpoint of torch, or a damaged one ({reason}){hint}"
        ) from None
    tensors = _unwrap(found)
    if tensors is None:
        got = type(found).__name__
        if isinstance(found, Mapping):
            got = f"a dict of {', '.join(map(str, list(found)[:6])) or 'nothing'}"
        raise ValueError(
            f"{option}: expected a dict of tensors in {path}, bare or under one of "
            f"{', '.join(_WRAPPERS)}; got {got}"
        )
    check_finite(tensors.items(), path)
    return _bare(tensors)


def _unwrap(found: Any) -> dict[str, Tensor] | None:
    """Return the dict of tensors in an object, None if there is none."""
    if not isinstance(found, Mapping) or not found:
        return None
    if all(isinstance(value, Tensor) for value in found.values()):
        return {str(key): value for key, value in found.items()}
    for key in _WRAPPERS:
        inner = _unwrap(found.get(key))
        if inner is not None:
            return inner
    return None


def _bare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without prefixes that all keys share."""
    for prefix in 2 * _PREFIXES:
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key[len(prefix) :]: value for key, value in tensors.items()}
    return tensors
