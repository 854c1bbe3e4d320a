"""`ovseg attributes`: a language model writes about names, once and for a file (LMSeg)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from ovseg_ros.commands.options import SET


def attributes(
    out: Path = typer.Argument(..., help="JSON file that enrichment.file may name."),
    names: list[str] = typer.Option([], "--name", help="A name; may be given several times."),
    classes: str = typer.Option("", help="Names of a known data set: robot_cell, ade150, voc, ..."),
    note: str = typer.Option("", help="What a reader of the file must know of the model."),
    sets: list[str] = SET,
) -> None:
    """Have a chat model write how things look, for LMSeg's enriched prompts.

    The model is that of `--set chat.backend=... --set chat.model=...`, as in
    segmenter.lmseg.enrichment. What it has answered before is not asked again.
    """
    from ovseg_ros.config import override
    from ovseg_ros.segmenters.lmseg.attributes import AttributeStore, write_attributes
    from ovseg_ros.segmenters.lmseg.config import EnrichmentConfig
    from ovseg_ros.segmenters.lmseg.writer import ask, build_writer
    from ovseg_ros.types import normalise_name

    config = override(EnrichmentConfig(), sets, {})
    words = [normalise_name(name) for name in (*names, *(known_names(classes) if classes else ()))]
    asked = list(dict.fromkeys(words))
    if not asked:
        raise ValueError("--name: expected names, or --classes of a data set, got none")
    chat = build_writer(config.chat, each=config.each)
    store = AttributeStore(chat.name, each=config.each)
    found = {}
    for name in asked:
        if name not in store:
            store.put(name, ask(chat, name, retries=config.retries, each=config.each))
        written = store.get(name)
        if written is None:
            typer.echo(f"{name}: no answer of {chat.name} could be read", err=True)
            continue
        found[name] = written
        typer.echo(f"{name}: {written.colour}; {written.shape}; {written.texture}")
    write_attributes(out, chat.name, found, note=note)
    typer.echo(f"{len(found)} of {len(asked)} names, by {chat.name}: {out}")


def known_names(classes: str) -> Sequence[str]:
    """Return the names of a known data set; those of the robot cell with their synonyms.

    Raises:
        ValueError: if it is not known; lists those that are.
    """
    from ovseg_ros.evaluation.datasets.classes import CLASS_LISTS, bundled_classes
    from ovseg_ros.robot_cell.objects import CATALOGUE

    if classes == "robot_cell":
        return [word for kind in CATALOGUE for word in (kind.name, *kind.synonyms)]
    lists = sorted(path.stem for path in CLASS_LISTS.glob("*.txt"))
    if classes not in lists:
        raise ValueError(
            f"--classes: expected one of robot_cell, {', '.join(lists)}, got {classes!r}"
        )
    return bundled_classes(classes).names
