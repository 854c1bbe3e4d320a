"""Where weights come from: a folder, the package itself, or a public name."""

from __future__ import annotations

from pathlib import Path

from ovseg_ros.folders import data_folder

ASSETS = Path(__file__).parents[1] / "robot_cell" / "assets"
"""Folder of the small weights that ship with the package."""


def resolve_weights(name: str) -> str:
    """Return what ``from_pretrained`` and the like can open.

    Args:
        name: An existing folder or file; ``robot_cell/<model>`` for the package's own weights;
            ``converted/<model>`` for what ``ovseg convert`` made, ``trained/<model>`` for what a
            recipe made that nobody publishes; else a public name, which is returned as it is.

    Raises:
        ValueError: if the name is empty.
        FileNotFoundError: if the weights of such a name of ours are not there.
    """
    if not name.strip():
        raise ValueError("weights: expected a folder or a name, got an empty string")
    if Path(name).expanduser().exists():
        return str(Path(name).expanduser())
    kind, _, model = name.partition("/")
    remedies = {
        "robot_cell": f"train it with `ovseg train {model}`",
        "trained": "nobody publishes such weights: train them (see `ovseg train --help`) and put "
        "the result there",
        "converted": "make it from the authors' checkpoint with `ovseg convert "
        f"{Path(model).name.partition('_')[0]} FILE`",
    }
    if not model or kind not in remedies:
        return name
    folder = (ASSETS if kind == "robot_cell" else data_folder("weights")) / model
    if not folder.exists():
        raise FileNotFoundError(f"weights: {folder} is not there; {remedies[kind]}")
    return str(folder)


def split_file(name: str) -> tuple[str, str] | None:
    """Return (repository, file) of ``OWNER/REPOSITORY/FILE``, None for names of another form."""
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    return (f"{owner}/{repository}", file) if owner and repository and file else None


def resolve_folder(name: str) -> str:
    """Return a folder of weights: local, the package's, or a public one from the cache.

    The network is never asked: a robot that starts without one starts in seconds, and one with a
    slow one as well.

    Raises:
        ValueError: if the name is empty.
        FileNotFoundError: if there are no such weights here; says how to get them.
    """
    found = resolve_weights(name)
    if Path(found).exists():
        return found
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return str(snapshot_download(name, local_files_only=True))
    except HFValidationError:
        raise FileNotFoundError(
            f"weights: {name!r} is neither a folder here nor a public name OWNER/REPOSITORY"
        ) from None
    except (LocalEntryNotFoundError, OSError):
        raise FileNotFoundError(_not_here(name)) from None


def resolve_file(name: str) -> str:
    """Return a path for weights of one file: local, the package's, or ``OWNER/REPOSITORY/FILE``.

    A public file comes from the cache that `ovseg pull` fills; the network is never asked.

    Raises:
        ValueError: if the name is empty.
        FileNotFoundError: if there are no such weights here; says how to get them.
    """
    found = resolve_weights(name)
    if Path(found).exists():
        return found
    public = split_file(name)
    if public is None:
        raise FileNotFoundError(
            f"weights: {name!r} is neither a file or folder here nor OWNER/REPOSITORY/FILE"
        )
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(*public)
    except HFValidationError:
        cached = None
    if not isinstance(cached, str):
        raise FileNotFoundError(_not_here(name))
    return cached


def _not_here(name: str) -> str:
    return (
        f"weights: {name} is not on this machine; run `ovseg pull PRESET` or `ovseg pull {name}` "
        "where there is a network, or give the path of a copy"
    )
