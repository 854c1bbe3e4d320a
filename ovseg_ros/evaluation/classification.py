"""Zero-shot classification: a whole image (its class token) against the classes' names.

Two kinds of images: a folder with one sub-folder of pictures per class, as ImageNet is laid out,
and crops cut out of a segmentation data set, one around each thing it shows. A crop has a
*subject*, the class it was cut around, and *visible* classes: those of a hundredth of it or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ovseg_ros.evaluation.datasets.base import VOID, Dataset
from ovseg_ros.photographs import SUFFIXES, read_image
from ovseg_ros.segmenters.base import ImageClassifier
from ovseg_ros.types import normalise_name

SUBJECT_SHARE = 0.003
"""A crop is cut around the largest part of every class that covers this share of an image."""

VISIBLE_SHARE = 0.01
"""A class is visible if it covers this share of a crop."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One image to classify.

    Attributes:
        image: RGB, (H, W, 3) uint8.
        subject: Index of its class.
        visible: Indices of all classes it shows, the subject among them.
    """

    image: np.ndarray
    subject: int
    visible: frozenset[int]


def crops(dataset: Dataset, *, side: int = 224, limit: int | None = None) -> Iterator[Picture]:
    """Yield the crops of a segmentation data set.

    A crop is 1.25 times as large as the box around the subject's largest connected part, at least
    a quarter and at most the whole of the image's shorter side, and lies inside the image.

    Args:
        dataset: The data set.
        side: Size of the crops in pixels.
        limit: Only the first images.
    """
    for index in range(len(dataset) if limit is None else min(limit, len(dataset))):
        sample = dataset[index]
        values, counts = np.unique(sample.labels, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            if value == VOID or count < SUBJECT_SHARE * sample.labels.size:
                continue
            rows, columns = _crop_around(sample.labels == value)
            inside = sample.labels[rows, columns]
            shown, pixels = np.unique(inside, return_counts=True)
            large = shown[(pixels >= VISIBLE_SHARE * inside.size) & (shown != VOID)]
            image = cv2.resize(
                np.ascontiguousarray(sample.image[rows, columns]),
                (side, side),
                interpolation=cv2.INTER_AREA,
            )
            visible = frozenset({value - 1, *(large.astype(int) - 1).tolist()})
            yield Picture(image=image, subject=value - 1, visible=visible)


def open_folder(root: Path) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    """Return the classes of a folder of folders, and its pictures with their class indices.

    A class is called like its folder, or what ``classes.txt`` says in lines ``FOLDER: name``.

    Raises:
        FileNotFoundError: if there is no sub-folder with a picture.
    """
    known = root / "classes.txt"
    lines = known.read_text().splitlines() if known.is_file() else []
    names = {line.partition(":")[0].strip(): line.partition(":")[2] for line in lines}
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    classes = tuple(normalise_name(names.get(path.name) or path.name) for path in folders)
    pictures = [
        (path, number)
        for number, folder in enumerate(folders)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES
    ]
    if not pictures:
        raise FileNotFoundError(f"{root}: expected one sub-folder of pictures per class")
    return classes, pictures


def folder_pictures(pictures: Sequence[tuple[Path, int]], *, side: int = 224) -> Iterator[Picture]:
    """Yield the middle crops of pictures, scaled to a side in pixels."""
    for path, number in pictures:
        image = read_image(path)
        height, width = image.shape[:2]
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        middle = np.ascontiguousarray(image[top : top + edge, left : left + edge])
        image = cv2.resize(middle, (side, side), interpolation=cv2.INTER_AREA)
        yield Picture(image=image, subject=number, visible=frozenset({number}))


def evaluate_classification(
    classifier: ImageClassifier,
    pictures: Iterator[Picture],
    classes: Sequence[str],
    *,
    batch: int = 32,
    progress: bool = False,
) -> dict[str, Any]:
    """Classify pictures and return plain data for JSON.

    Returns:
        ``accuracy``: share of the pictures whose most similar name is their subject;
        ``class_accuracy``: its mean over classes; ``visible_accuracy``: share whose most similar
        name is visible; ``pictures``: how many; ``per_class``: accuracy by name. None: no pictures.
    """
    hits: dict[int, list[bool]] = {number: [] for number in range(len(classes))}
    seen: list[bool] = []
    waiting: list[Picture] = []

    def work() -> None:
        images = np.stack([picture.image for picture in waiting])
        found = classifier.classify(images, classes).argmax(1).tolist()
        for picture, answer in zip(waiting, found, strict=True):
            hits[picture.subject].append(answer == picture.subject)
            seen.append(answer in picture.visible)
        waiting.clear()

    for picture in tqdm(pictures, disable=not progress, unit="picture", desc="classify"):
        waiting.append(picture)
        if len(waiting) == batch:
            work()
    if waiting:
        work()
    per_class = {name: _mean(hits[number]) for number, name in enumerate(classes)}
    return {
        "accuracy": _mean([hit for found in hits.values() for hit in found]),
        "class_accuracy": _mean([value for value in per_class.values() if value is not None]),
        "visible_accuracy": _mean(seen),
        "pictures": len(seen),
        "per_class": per_class,
    }


def _crop_around(mask: np.ndarray) -> tuple[slice, slice]:
    """Return rows and columns of the square around the largest connected part of a mask (H, W)."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    part = stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())]
    left, top, width, height = (int(value) for value in part[:4])
    shorter = min(mask.shape)
    edge = min(max(math.ceil(1.25 * max(width, height)), shorter // 4), shorter)
    y = min(max(top + height // 2 - edge // 2, 0), mask.shape[0] - edge)
    x = min(max(left + width // 2 - edge // 2, 0), mask.shape[1] - edge)
    return slice(y, y + edge), slice(x, x + edge)


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 6) if len(values) else None
