"""`ovseg segment` and `ovseg discover`: photographs in, words and masks out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ovseg_ros.commands.options import DEVICE, PRESET, SET, with_commas
from ovseg_ros.presets import pipeline_options

if TYPE_CHECKING:
    from ovseg_ros.types import Discovery

IMAGES = typer.Argument(..., help="Images, or folders of images.", show_default=False)
_OUT = Path("out/segment")


def segment(
    images: list[Path] = typer.Argument(
        ..., help="Images, folders of images, or one ROS bag.", show_default=False
    ),
    names: str | None = typer.Option(
        None, help="Words to look for, with commas; discovered by default."
    ),
    out: Path = typer.Option(_OUT, "--out", "-o", help="Folder of the results, or the new bag."),
    preset: str = PRESET,
    device: str = DEVICE,
    sets: list[str] = SET,
    seed: int = typer.Option(0, min=0, help="Seed of the discovery."),
    max_side: int = typer.Option(
        2048, min=16, help="Larger images are segmented at this size; masks keep the image's."
    ),
    again: bool = typer.Option(False, help="Also segment what a run before has finished."),
    topic: list[str] = typer.Option(
        [], "--topic", help="Bags: a camera's topic, also several times; by default all cameras."
    ),
    overlay: bool = typer.Option(True, help="Bags: also write the overlay, the largest topic."),
) -> None:
    """Segment images or a recording, with given or found words.

    Writes NAME.overlay.png, NAME.labels.png (category ids) and NAME.json for every image. A run
    that was interrupted goes on with the same command. `ovseg segment BAG -o BAG` copies a ROS
    bag and adds the topics that the nodes would have sent.
    """
    from ovseg_ros.commands import results
    from ovseg_ros.photographs import find_images, is_bag
    from ovseg_ros.pipeline import build_pipeline

    if any(is_bag(path) for path in images):
        if len(images) > 1:
            raise ValueError(f"images: expected one bag and nothing else, got {len(images)} paths")
        _segment_bag(images[0], out, names, preset, device, sets, topic, overlay, seed)
        return
    if topic:
        raise ValueError(f"--topic: expected a ROS bag, got {images[0]}")
    files = results.without_results(
        find_images(images), out, [path for path in images if path.is_file()]
    )
    words = _words(names)
    own: dict[str, Any] = {"discovery__name": "none"} if words else {}
    config = pipeline_options(preset, sets, device=device, **own)
    if not words and config.discovery.name == "none":
        raise ValueError("--names: expected words, as this preset discovers none")
    pipeline = build_pipeline(config)
    out.mkdir(parents=True, exist_ok=True)
    results.clear_abandoned(out)
    stems = results.result_names(files, out)
    settings = results.settings_digest(config, names=words, seed=seed, max_side=max_side)

    def run(path: Path) -> str:
        from ovseg_ros.commands.segmenting import segment_photograph

        known = None if again else results.finished(path, out, stems[path], settings)
        if known is not None:
            return f"{_shown(known['categories'])} (made before)"
        found = segment_photograph(pipeline, path, words, seed=seed, max_side=max_side)
        found.write(out, stems[path], settings)
        return _shown(found.categories)

    _each(files, run)


def _words(names: str | None) -> list[str]:
    """Return the names that were typed; none where discovery is to find them."""
    from ovseg_ros.vocabulary.config import distinct

    if names is None:
        return []
    try:
        words = distinct(with_commas(names))
    except ValueError as error:
        raise ValueError(f"--names: {error}") from None
    if not words:
        raise ValueError(f"--names: expected words with commas between them, got {names!r}")
    return words


def _segment_bag(
    bag: Path,
    out: Path,
    names: str | None,
    preset: str,
    device: str,
    sets: list[str],
    topics: list[str],
    overlay: bool,
    seed: int,
) -> None:
    from ovseg_ros.cli import complain
    from ovseg_ros.commands.graph import with_ros

    fixed: dict[str, Any] = {"device": device} if device else {}
    if words := _words(names):
        fixed |= {"discovery.name": "none", "vocabulary.mode": "fixed", "vocabulary.names": words}
    target = out / bag.stem if out == _OUT else out

    def run() -> Any:
        from ovseg_ros.nodes.segment_bag import segment_bag

        return segment_bag(
            bag,
            target,
            preset=preset,
            sets=sets,
            fixed=fixed,
            topics=topics,
            overlay=overlay,
            seed=seed,
            progress=True,
        )

    done = with_ros(run)
    replaced = f", {done.replaced} of an earlier run replaced" if done.replaced else ""
    typer.echo(
        f"{target}: {done.frames} pictures of {', '.join(done.cameras)} segmented, "
        f"{done.copied} messages copied{replaced}; words: {', '.join(done.names) or 'none'}"
    )
    if done.refused:
        complain(f"{done.refused} pictures could not be read; the last one: {done.reason}")
        raise typer.Exit(1)


def discover(
    images: list[Path] = IMAGES,
    preset: str = PRESET,
    device: str = DEVICE,
    sets: list[str] = SET,
    seed: int = typer.Option(0, min=0, help="Same image and seed give the same words."),
    captions: bool = typer.Option(False, help="Also print the captions the words come from."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per image."),
) -> None:
    """Find the words of images, with scores."""
    from ovseg_ros.discovery.build import build_discoverer
    from ovseg_ros.photographs import find_images, read_image

    files = find_images(images)
    config = pipeline_options(preset, sets, device=device)
    discoverer = build_discoverer(config.discovery, device=config.device, dtype=config.dtype)
    if discoverer is None:
        raise ValueError("--preset: expected one with discovery, this one has discovery.name none")

    def run(path: Path) -> str:
        found = discoverer.discover(read_image(path), seed=seed)
        if as_json:
            return json.dumps(_as_data(path, found))
        lines = [f"  {p.score:4.2f}  {', '.join((p.name, *p.synonyms))}" for p in found.proposals]
        if captions:
            lines += [f"        {caption!r}" for caption in found.captions]
        return "\n".join(["", *lines]) if lines else "nothing"

    _each(files, run, with_name=not as_json)


def _as_data(path: Path, found: Discovery) -> dict[str, Any]:
    return {
        "image": str(path),
        "names": [
            {"name": p.name, "score": round(p.score, 4), "synonyms": list(p.synonyms)}
            for p in found.proposals
        ],
        "captions": list(found.captions),
    }


def _shown(categories: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{c['name']} {c['share']:.0%}" for c in categories) or "nothing"


def _each(files: Sequence[Path], run: Callable[[Path], str], *, with_name: bool = True) -> None:
    """Run every file; one that fails is named and the others go on, but the exit code is 1."""
    from ovseg_ros.cli import complain

    failed = 0
    for path in files:
        try:
            text = run(path)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            if "--debug" in sys.argv:
                raise
            failed += 1
            said = str(error) or type(error).__name__
            complain(said if str(path) in said else f"{path}: {said}")
        else:
            typer.echo(f"{path}: {text}" if with_name else text)
    if failed:
        complain(f"{failed} of {len(files)} images failed")
        raise typer.Exit(1)
