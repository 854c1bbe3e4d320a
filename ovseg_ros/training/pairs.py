"""Image-caption pairs on disk: tar shards in webdataset's layout, or a folder with COCO captions.

Both are read by position, so that every draw is known from its number alone: a run that was killed
goes on with exactly the pairs it would have seen, and processes share an epoch without overlap.
"""

from __future__ import annotations

import glob
import io
import json
import math
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import normalize
from tqdm import tqdm

from ovseg_ros.training.data import (
    CAPTIONS,
    Source,
    captions_file,
    folder_of,
    open_source,
    read_captions,
)

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


class Pairs(Protocol):
    """Pictures with captions, by position."""

    def __len__(self) -> int:
        """Return the number of pictures."""
        ...

    def captions(self, index: int) -> Sequence[str]:
        """Return the captions of a picture, lower case."""
        ...

    def picture(self, index: int) -> Image.Image:
        """Return a picture, RGB."""
        ...


class FilePairs:
    """Picture files with their captions."""

    def __init__(self, entries: Sequence[tuple[Path, tuple[str, ...]]]) -> None:
        """Keep the files; each is read when it is asked for."""
        self._entries = entries

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._entries)

    def captions(self, index: int) -> Sequence[str]:
        """Return the captions of a picture."""
        return self._entries[index][1]

    def picture(self, index: int) -> Image.Image:
        """Read a picture."""
        return Image.open(self._entries[index][0]).convert("RGB")


class CocoPairs(FilePairs):
    """A folder of pictures and a captions file in COCO's format."""

    def __init__(self, folder: Path, annotations: Path) -> None:
        """Read the captions.

        Raises:
            FileNotFoundError: if the folder or the file is not there.
            ValueError: if the file names no caption.
        """
        for path in (folder, annotations):
            if not path.exists():
                raise FileNotFoundError(f"data: {path} is not there")
        content = json.loads(annotations.read_text())
        said: dict[int, list[str]] = {}
        for entry in content.get("annotations", []):
            said.setdefault(entry["image_id"], []).append(clean(entry["caption"]))
        files = {entry["id"]: entry["file_name"] for entry in content.get("images", [])}
        super().__init__([(folder / files[key], tuple(said[key])) for key in sorted(said)])
        if not said:
            raise ValueError(f"captions: expected COCO captions in {annotations}, got none")


@dataclass(frozen=True)
class _Member:
    """Where a pair lies: shard, then offset and size of its picture and of its caption."""

    shard: int
    picture: tuple[int, int]
    caption: tuple[int, int]
    is_json: bool


class ShardPairs:
    """Tar shards of files KEY.jpg with KEY.txt, or KEY.json with a "caption".

    The table of contents of every shard is read once at the start, and lies in memory (about 300
    bytes per pair). Pictures and captions are read where they lie.
    """

    def __init__(self, shards: Sequence[Path]) -> None:
        """List the shards' pairs.

        Raises:
            ValueError: if there is no pair.
        """
        self._shards = tuple(shards)
        self._members = [m for number in range(len(shards)) for m in self._list(number)]
        if not self._members:
            raise ValueError(f"data: expected pictures with captions in {len(shards)} shards")

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._members)

    def captions(self, index: int) -> Sequence[str]:
        """Return the caption of a picture."""
        member = self._members[index]
        text = self._read(member.shard, member.caption).decode()
        return (clean(json.loads(text)["caption"] if member.is_json else text),)

    def picture(self, index: int) -> Image.Image:
        """Read a picture."""
        member = self._members[index]
        return Image.open(io.BytesIO(self._read(member.shard, member.picture))).convert("RGB")

    def _list(self, number: int) -> Iterator[_Member]:
        found: dict[str, dict[str, tuple[int, int]]] = {}
        with tarfile.open(self._shards[number], "r:") as archive:
            for entry in archive:
                folder, _, name = entry.name.rpartition("/")
                stem, dot, suffix = name.partition(".")
                place = found.setdefault(f"{folder}/{stem}", {})
                place[(dot + suffix).lower()] = (entry.offset_data, entry.size)
        for files in found.values():
            picture = next((files[suffix] for suffix in PICTURES if suffix in files), None)
            caption = files.get(".txt", files.get(".json"))
            if picture is not None and caption is not None:
                yield _Member(number, picture, caption, ".txt" not in files)

    def _read(self, shard: int, place: tuple[int, int]) -> bytes:
        with self._shards[shard].open("rb") as file:
            file.seek(place[0])
            return file.read(place[1])


class FolderPairs(FilePairs):
    """Pictures with captions that somebody wrote: ``images/`` and ``captions.jsonl``."""

    def __init__(self, folder: Path) -> None:
        """Read the captions.

        Raises:
            FileNotFoundError: if they or a picture are not there.
            ValueError: if they are not as they should be.
        """
        said = read_captions(folder)
        files = {path.stem: path for path in sorted((folder / "images").iterdir())}
        super().__init__([(files[stem], captions) for stem, captions in said.items()])


class LabelledPairs:
    """Pictures with masks, whose captions name what is there."""

    def __init__(self, source: Source) -> None:
        """Wrap a split; its captions are read, or made of its masks, once."""
        self._source = source
        self._captions = [
            source[i].captions for i in tqdm(range(len(source)), desc=f"read {source.title}")
        ]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._source)

    def captions(self, index: int) -> Sequence[str]:
        """Return the captions of a picture."""
        return self._captions[index]

    def picture(self, index: int) -> Image.Image:
        """Read a picture."""
        return Image.fromarray(self._source[index].image)


def open_pairs(data: str, captions: str = "") -> Pairs:
    """Open pairs.

    Args:
        data: Shards by a pattern such as ``train-*.tar`` or their folder; a folder of pictures with
            a captions file; or what every recipe takes (:mod:`ovseg_ros.training.data`), where
            ``captions.jsonl`` is enough and masks without one give captions of their names.
        captions: A captions file in COCO's format.

    Raises:
        FileNotFoundError: if nothing is there.
        ValueError: if it is not as it should be.
    """
    if captions:
        return CocoPairs(Path(data), Path(captions))
    folder = Path(data).expanduser()
    pattern = str(folder / "*.tar") if folder.is_dir() else str(folder)
    shards = [Path(path) for path in sorted(glob.glob(pattern))]
    if shards:
        return ShardPairs(shards)
    place = folder_of(folder, "train")
    if place is not None and captions_file(place) is not None:
        return FolderPairs(place)
    try:
        return LabelledPairs(open_source(data, "train"))
    except ValueError as error:
        raise FileNotFoundError(
            f"data: {data!r} matches no tar file, and holds no {CAPTIONS}; a folder of pictures "
            f"needs captions=FILE.json ({error})"
        ) from None


def clean(caption: str) -> str:
    """Return a caption in lower case on one line."""
    return " ".join(caption.lower().split())


class Views(Dataset[tuple[Tensor, str]]):
    """Augmented pictures by the number of the draw.

    Every epoch is a permutation of all pairs that depends on the seed and the epoch alone; the
    crop and the choice of the caption depend on the seed and the draw.
    """

    def __init__(self, pairs: Pairs, *, size: int, scale: tuple[float, float], seed: int) -> None:
        """Keep where pictures come from.

        Args:
            pairs: The pairs.
            size: Side of the square views in pixels.
            scale: Range of a crop's area as a share of the picture's.
            seed: Seed of order, crops and captions.
        """
        self._pairs, self._size, self._scale, self._seed = pairs, size, scale, seed

    def __getitem__(self, number: int) -> tuple[Tensor, str]:
        """Return the view (3, size, size), normalised, and the caption of a draw."""
        epoch, place = divmod(number, len(self._pairs))
        index = int(_permutation(self._seed, epoch, len(self._pairs))[place])
        rng = np.random.default_rng((self._seed, number))
        captions = self._pairs.captions(index)
        picture = self._pairs.picture(index)
        box = draw_box(picture.size, self._scale, rng)
        view = picture.resize((self._size, self._size), Image.Resampling.BICUBIC, box)
        pixels = torch.from_numpy(np.array(view)).permute(2, 0, 1).float() / 255
        caption = captions[int(rng.integers(len(captions)))]
        return normalize(pixels, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD), caption


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, 1)).permutation(count)


def draw_box(
    size_wh: tuple[int, int], scale: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Draw a crop as the field does: a share of the area, an aspect in 3:4 to 4:3.

    Returns:
        x0, y0, x1, y1 in pixels, inside the picture; the whole picture if no draw of ten fits.
    """
    width, height = size_wh
    for _ in range(10):
        area = width * height * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if w <= width and h <= height:
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return x, y, x + w, y + h
    return 0.0, 0.0, float(width), float(height)


def load_views(
    views: Views, *, first: int, steps: int, batch: int, rank: int, world: int, workers: int
) -> Iterator[tuple[Tensor, list[str]]]:
    """Yield this process's part of every step's draws, from step ``first`` on.

    Args:
        views: The augmented pictures.
        first: Number of the first step.
        steps: Number of the step after the last.
        batch: Pairs per process.
        rank: Number of this process.
        world: Number of processes.
        workers: Processes that read pictures ahead; 0 reads them when they are needed.
    """
    draws = [
        list(range((step * world + rank) * batch, (step * world + rank + 1) * batch))
        for step in range(first, steps)
    ]
    loader: DataLoader[Any] = DataLoader(
        views,
        batch_sampler=draws,
        num_workers=workers,
        collate_fn=_collate,
        multiprocessing_context="spawn" if workers else None,
    )
    return iter(loader)


def _collate(items: Sequence[tuple[Tensor, str]]) -> tuple[Tensor, list[str]]:
    return torch.stack([view for view, _ in items]), [caption for _, caption in items]
