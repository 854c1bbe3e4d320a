"""`ovseg presets` and `ovseg pull`: what there is, and having it before the robot goes offline."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import typer

from ovseg_ros.commands.options import SET
from ovseg_ros.config import weights_of
from ovseg_ros.presets import pipeline_options

_OTHER_FORMATS = ["*.bin", "*.h5", "*.msgpack", "*.onnx", "*.tflite", "*.pt", "*.ckpt"]


def presets() -> None:
    """List the presets."""
    from ovseg_ros.presets import DEFAULT, list_presets

    found = list_presets()
    width = max(map(len, found), default=0)
    for name, path in found.items():
        lines = takewhile(lambda line: line.startswith("#"), path.read_text("utf-8").splitlines())
        about = " ".join(line.lstrip("# ") for line in lines)
        sentence = re.match(r".*?\.(?= |$)|.*", about)
        shown = sentence[0] if sentence else ""
        typer.echo(f"{name:{width}}  {'(default) ' if name == DEFAULT else ''}{shown}")


def pull(
    preset: str = typer.Argument(
        ..., help="Preset by name, a YAML file, or a public model: OWNER/REPOSITORY[/FILE]."
    ),
    sets: list[str] = SET,
) -> None:
    """Download the weights of a preset, or one public model.

    Afterwards the robot can be offline.
    """
    from ovseg_ros.models.weights import resolve_weights

    if "/" in preset and not Path(preset).exists() and not preset.endswith((".yaml", ".yml")):
        typer.echo(f"{preset} is in {download(preset)}")
        return
    absent: FileNotFoundError | None = None
    for key, weights in weights_of(pipeline_options(preset, sets)):
        try:
            found = resolve_weights(weights)
        except FileNotFoundError as error:  # what nobody can download must not keep the rest away
            absent = absent or error
            continue
        if Path(found).exists():
            typer.echo(f"{key}: {weights} is here")
            continue
        typer.echo(f"{key}: {weights} ...")
        typer.echo(f"{key}: {weights} is in {download(found)}")
    if absent is not None:
        raise absent


def download(name: str) -> str:
    """Download a public repository, or ``OWNER/REPOSITORY/FILE``; return where it lies.

    Both end in the Hugging Face cache. Of several formats of the same weights only safetensors are
    taken.

    Raises:
        ValueError: if there is no such repository.
        ConnectionError: if it cannot be reached; a single file may come from the cache.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
    )

    from ovseg_ros.models.weights import split_file

    file = split_file(name)
    try:
        if file is not None:
            return str(hf_hub_download(*file))
        safe = any(f.endswith(".safetensors") for f in HfApi().list_repo_files(name))
        ignore = _OTHER_FORMATS if safe else None
        return str(snapshot_download(name, ignore_patterns=ignore))
    except (RemoteEntryNotFoundError, RepositoryNotFoundError, HFValidationError):
        raise ValueError(
            f"{name}: neither a folder here nor a public model of that name (private ones need "
            "`hf auth login`)"
        ) from None
    except Exception as error:  # the hub's client raises its transport's errors as they are
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConnectionError(f"{name}: cannot be downloaded ({reason})") from None
