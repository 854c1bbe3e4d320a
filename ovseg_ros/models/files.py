"""Files of weights, read so that one line names the file and what is wrong with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovseg_ros.whole_files import write_whole

if TYPE_CHECKING:  # read_json is for those who must not wait for torch
    from torch import Tensor, nn

MAX_JSON_BYTES = 1 << 26
"""Largest configuration or tokenizer, 64 MiB; those of large language models have about 20."""


def read_json(path: Path, *, option: str = "weights") -> Any:
    """Return what a JSON file of a model holds.

    Args:
        path: The file.
        option: Which option named it, for the error.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: naming the file if it is no JSON, or larger than ``MAX_JSON_BYTES``.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{option}: expected {path.name} in {path.parent}, it is not there")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{option}: {path}: expected at most {MAX_JSON_BYTES} bytes of JSON")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{option}: {path}: expected JSON, got a damaged file ({error})") from None


def read_object(path: Path, *, option: str = "weights") -> dict[str, Any]:
    """Return the object of a JSON file; as :func:`read_json`, and it must be an object."""
    found = read_json(path, option=option)
    if not isinstance(found, dict):
        raise ValueError(f"{option}: {path}: expected a JSON object, got {type(found).__name__}")
    return found


def read_tensors(path: Path, *, option: str = "weights") -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` file by name.

    Args:
        path: The file.
        option: Which option named it, for the error.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: naming the file if it is damaged or holds NaN or infinity.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{option}: expected {path.name} in {path.parent}, it is not there")
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except Exception as error:  # SafetensorError, MemoryError, OSError, KeyError of a type, ...
        raise ValueError(
            f"{option}: {path} is damaged, or no safetensors ({first_line(error)})"
        ) from None
    check_finite(tensors.items(), path)
    return tensors


def check_finite(tensors: Iterable[tuple[str, Tensor]], path: Path | str) -> None:
    """Refuse weights that are no numbers: every mask they make would be noise.

    Raises:
        ValueError: naming ``path`` and the first such tensor.
    """
    import torch

    for name, tensor in tensors:
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(
                f"weights: {path}: expected finite numbers, {name} holds NaN or infinity"
            )


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a ``.safetensors`` file as a whole, that whoever may read other new files may read.

    Args:
        path: The file.
        tensors: Contiguous tensors that share no memory, by name.

    Raises:
        OSError: naming the file if it cannot be written, as on a full disk.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    def fill(unfinished: Path) -> None:
        try:
            save_file(tensors, unfinished)
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written ({first_line(error)})") from None
        share(unfinished)

    write_whole(path, fill)


def share(path: Path) -> None:
    """Let whoever may read new files read this one: safetensors makes them for their writer alone.

    A robot's user could not read what root has trained, as in a container.
    """
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def halves(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as files of weights keep them: floats in float16, on the CPU."""
    return {
        key: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in tensors.items()
    }


def load_state(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load tensors into a model; none may be missing, left over or of another shape.

    Raises:
        ValueError: naming the file and the first few keys.
    """
    try:
        model.load_state_dict(tensors)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"weights: {path.parent} does not fit its config.json: {path.name}: {reason[:1000]}"
        ) from None


@contextmanager
def architecture(path: Path, what: str, *, option: str = "weights") -> Iterator[None]:
    """Name the file where a model cannot be built from what it says.

    Args:
        path: The file.
        what: Whose architecture it should hold: ``a SimZSS``.
        option: Which option named it, for the error.

    Raises:
        ValueError: naming the file; what says that a tower or file is missing comes through.
    """
    try:
        yield
    except Exception as error:  # of a wrong type or size, deep in a library
        if isinstance(error, FileNotFoundError) or str(error).startswith("tower:"):
            raise
        raise ValueError(
            f"{option}: {path}: expected the architecture of {what}: {first_line(error)}"
        ) from None


def first_damaged(folder: Path) -> str:
    """Return the first file of a folder that cannot be read and why, or ``""``.

    Libraries say "invalid JSON at line 3" and not of which of ten files.
    """
    for path in sorted(folder.glob("*.json")):
        try:
            read_json(path)
        except (ValueError, OSError) as error:
            return str(error).removeprefix("weights: ")
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as opened:
                opened.keys()
        except Exception as error:
            return f"{path} is damaged, or no safetensors ({first_line(error)})"
    return ""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
