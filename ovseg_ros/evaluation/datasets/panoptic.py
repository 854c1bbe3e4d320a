"""Panoptic ground truth in COCO's format: a JSON of segments and PNGs whose colours are ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ovseg_ros.evaluation.datasets.base import Segment, Segments
from ovseg_ros.evaluation.datasets.classes import ClassList
from ovseg_ros.evaluation.datasets.masks import MaskDataset, Pair, read_colors
from ovseg_ros.types import normalise_name


class PanopticAnnotations:
    """The segments of many images: ``id = R + 256 G + 65536 B`` in the PNGs, meaning in a JSON."""

    def __init__(self, file: Path, folder: Path) -> None:
        """Read the JSON.

        Args:
            file: The JSON with ``annotations`` and ``categories``.
            folder: Where the PNGs lie.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: naming the path, if it is not such a JSON.
        """
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file")
        try:
            data = json.loads(file.read_text())
            self.categories: list[dict[str, Any]] = sorted(
                data["categories"], key=lambda entry: int(entry["id"])
            )
            self._of = {entry["file_name"]: entry["segments_info"] for entry in data["annotations"]}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{file}: expected panoptic annotations of COCO, {error!r}") from None
        self.file, self.folder = file, folder

    @property
    def file_names(self) -> list[str]:
        """Names of the PNGs, sorted."""
        return sorted(self._of)

    @property
    def things(self) -> frozenset[int]:
        """Ids of the categories with countable instances."""
        return frozenset(int(c["id"]) for c in self.categories if c.get("isthing"))

    def read(self, name: str, labels: Mapping[int, int]) -> Segments:
        """Read one image's segments.

        Args:
            name: File name of the PNG.
            labels: Label 1..K by category id; other categories are void.

        Raises:
            FileNotFoundError: if the PNG is missing.
            ValueError: naming the path, if it is damaged, or the JSON does not know it.
        """
        if name not in self._of:
            raise ValueError(f"{self.file}: expected an annotation of {name}, got none")
        colors = read_colors(self.folder / name)
        ids = (colors @ np.array([1, 256, 65_536])).astype(np.int32)  # (H, W)
        known = {
            int(entry["id"]): Segment(
                labels[int(entry["category_id"])], crowd=bool(entry.get("iscrowd", 0))
            )
            for entry in self._of[name]
            if int(entry["category_id"]) in labels
        }
        return Segments(ids=ids, of=known)


def paint(segments: Segments) -> np.ndarray:
    """Return the label of every pixel, (H, W) int64; 0 where no segment lies."""
    ids, places = np.unique(segments.ids, return_inverse=True)
    labels = [segments.of[int(i)].label if int(i) in segments.of else 0 for i in ids]
    return np.array(labels, np.int64)[places].reshape(segments.ids.shape)


def classes_of(categories: Sequence[Mapping[str, Any]]) -> ClassList:
    """Return categories of a JSON as classes, named as people speak.

    COCO's "wall-other-merged" is called "wall" and "door-stuff" "door"; the names in the JSON stay
    as synonyms. The values are 1..K in the order of the categories.
    """
    synonyms: dict[str, tuple[str, ...]] = {}
    for category in categories:
        own = [normalise_name(part) for part in str(category["name"]).split(",") if part.strip()]
        plain = own[0].removesuffix("-merged").removesuffix("-other").removesuffix("-stuff")
        names = list(dict.fromkeys([plain, *own]))
        name = next((n for n in names if n not in synonyms), f"{plain} {category['id']}")
        synonyms[name] = tuple(n for n in names if n != name)
    values = tuple(range(1, len(synonyms) + 1))
    return ClassList(names=tuple(synonyms), values=values, synonyms=synonyms)


def open_masks(
    name: str,
    pairs: Sequence[Pair],
    classes: ClassList,
    *,
    file: Path,
    folder: Path,
    labels: Mapping[int, int],
) -> MaskDataset:
    """Return images with masks, and with segments where panoptic annotations lie beside them.

    Args:
        name: Name in reports.
        pairs: Where the samples lie.
        classes: Class of every mask value.
        file: The JSON of the annotations, if there are any.
        folder: Where their PNGs lie.
        labels: Label 1..K by the JSON's category ids.
    """
    if not file.exists():
        return MaskDataset(name, pairs, classes)
    annotations = PanopticAnnotations(file, folder)
    return MaskDataset(
        name,
        pairs,
        classes,
        segments=lambda pair: annotations.read(pair.mask.name, labels),
        things=[classes.names[labels[i] - 1] for i in sorted(annotations.things) if i in labels],
    )


class PanopticDataset(MaskDataset):
    """Images whose labels come from panoptic annotations alone."""

    def __init__(self, name: str, images: Path, annotations: PanopticAnnotations) -> None:
        """Combine images (``STEM.jpg``) with their annotations (``STEM.png``)."""
        classes = classes_of(annotations.categories)
        labels = {int(c["id"]): label for label, c in enumerate(annotations.categories, start=1)}

        def segments(pair: Pair) -> Segments:
            return annotations.read(pair.mask.name, labels)

        def read(path: Path) -> np.ndarray:
            return paint(annotations.read(path.name, labels))

        super().__init__(
            name,
            [
                Pair(Path(file).stem, images / f"{Path(file).stem}.jpg", annotations.folder / file)
                for file in annotations.file_names
            ],
            classes,
            read=read,
            segments=segments,
            things=[
                name
                for name, category in zip(classes.names, annotations.categories, strict=True)
                if int(category["id"]) in annotations.things
            ],
        )
