"""Which names of a vocabulary an image shows at all, before anything is segmented.

The paper asks GPT-4o. Offline there are scores of the matcher or of CLIP, a chat model that sees,
and lists that somebody made before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch

from ovseg_ros.models.image_chat import load_image_chat
from ovseg_ros.photographs import SUFFIXES, read_image
from ovseg_ros.segmenters.pnp_ovss.config import FilterConfig
from ovseg_ros.segmenters.pnp_ovss.lists import read_list
from ovseg_ros.segmenters.pnp_ovss.matchers import Matcher
from ovseg_ros.segmenters.pnp_ovss.prompts import Prompt
from ovseg_ros.segmenters.pnp_ovss.scorers import TEMPERATURE, Scorer, load_scorer

QUESTION = (
    "Which of the following can be seen in this image? {names}. "
    "Answer with a JSON list of those names only."
)


class CategoryFilter(Protocol):
    """Says which names an image shows."""

    def keep(self, images: np.ndarray, names: Sequence[str]) -> list[list[int]]:
        """Return for every image of (B, H, W, 3) uint8 RGB the indices of the names it shows."""
        ...


class NoFilter:
    """Keeps every name."""

    def keep(self, images: np.ndarray, names: Sequence[str]) -> list[list[int]]:
        """See :class:`CategoryFilter`."""
        return [list(range(len(names))) for _ in images]


class MatchFilter:
    """Keeps the names that fit the image in the matcher's own eyes."""

    def __init__(self, matcher: Matcher, threshold: float, *, opening: str, rows: int) -> None:
        """Prepare; ``rows`` texts share a forward pass."""
        self._matcher, self._threshold = matcher, threshold
        self._opening, self._rows = opening, rows
        self._prompts: dict[str, Prompt] = {}

    def keep(self, images: np.ndarray, names: Sequence[str]) -> list[list[int]]:
        """See :class:`CategoryFilter`."""
        fits = self.scores(images, names)
        return [np.flatnonzero(row >= self._threshold).tolist() for row in fits]

    def scores(self, images: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Return the probability that each name fits each image, (B, K) float32."""
        matcher = self._matcher
        prompts = [self._prompt(name) for name in names]
        seen = matcher.encode(matcher.prepare(images))
        pairs = [(image, prompt) for image in range(len(images)) for prompt in prompts]
        found = []
        for start in range(0, len(pairs), self._rows):
            rows, texts = zip(*pairs[start : start + self._rows], strict=True)
            found.append(matcher.fit(seen, rows, texts))
        scores: np.ndarray = torch.cat(found).view(len(images), -1).cpu().numpy()
        return scores

    def _prompt(self, name: str) -> Prompt:
        """Return the text about one name; words come again with every frame."""
        if name not in self._prompts:
            (self._prompts[name],) = self._matcher.write([name], self._opening)
        return self._prompts[name]


class SimilarityFilter:
    """Keeps the names whose odds, by similarity, come near those of the best name."""

    def __init__(self, scorer: Scorer, threshold: float) -> None:
        """Prepare."""
        self._scorer, self._threshold = scorer, threshold
        self._prepared: tuple[tuple[str, ...], torch.Tensor] = ((), torch.empty(0))

    def keep(self, images: np.ndarray, names: Sequence[str]) -> list[list[int]]:
        """See :class:`CategoryFilter`."""
        scorer = self._scorer
        if self._prepared[0] != tuple(names):
            self._prepared = tuple(names), scorer.names(names)
        similar = scorer.images(scorer.prepare(images)) @ self._prepared[1].T  # (B, K)
        odds = ((similar - similar.max(1, keepdim=True).values) / TEMPERATURE).exp()
        return [torch.nonzero(row >= self._threshold).flatten().tolist() for row in odds.cpu()]


class ChatFilter:
    """Keeps the names that a chat model says it sees."""

    def __init__(self, ask: Callable[[np.ndarray, str], str]) -> None:
        """Prepare; ``ask`` answers a question about an RGB image."""
        self._ask = ask

    def keep(self, images: np.ndarray, names: Sequence[str]) -> list[list[int]]:
        """See :class:`CategoryFilter`."""
        question = QUESTION.format(names=", ".join(names))
        return [read_answer(self._ask(image, question), names) for image in images]


class FileFilter:
    """Keeps the names that somebody listed, for all images or for each.

    Images have no names here, so a listed file is known again by its thumbnail: it may have been
    resized or packed anew since.
    """

    SIDE = 16
    NEAR = 4.0
    """Two images are the same below this mean difference of thumbnails, in grey levels."""

    def __init__(self, path: Path, images: Path | None = None) -> None:
        """Read the lists, and the images they are about.

        Args:
            path: JSON: a list of names for all images; or by image file, or its name without
                ending, a list or what GPT-4o wrote (the authors' files as they are).
            images: Folder of the images; that of ``path`` by default.

        Raises:
            FileNotFoundError: if the file or an image it lists is missing.
            ValueError: if it is no such JSON.
        """
        try:
            data = json.loads(path.read_text())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"filter.file: expected JSON in {path}, {error}") from None
        by_image = isinstance(data, dict)
        try:
            self._lists = [read_list(entry) for entry in (data.values() if by_image else [data])]
        except ValueError as error:
            raise ValueError(f"filter.file: {path}: {error}") from None
        self._path = path
        self._thumbnails: np.ndarray | None = None
        if by_image:
            files = find_images(images or path.parent, list(data))
            self._thumbnails = np.stack([self._thumbnail(read_image(file)) for file in files])

    def keep(self, images: np.ndarray, names: Sequence[str]) -> list[list[int]]:
        """See :class:`CategoryFilter`.

        Raises:
            ValueError: if an image is not listed.
        """
        return [self._lists[self._find(image)].find(names) for image in images]

    def _find(self, image: np.ndarray) -> int:
        if self._thumbnails is None:
            return 0
        far = np.abs(self._thumbnails - self._thumbnail(image)).mean((1, 2, 3))
        if far.min() > self.NEAR:
            raise ValueError(f"filter.file: {self._path} does not list this image")
        return int(far.argmin())

    def _thumbnail(self, image: np.ndarray) -> np.ndarray:
        small = cv2.resize(image, (self.SIDE, self.SIDE), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32)


def find_images(folder: Path, keys: Sequence[str]) -> list[Path]:
    """Return the image files that keys name: file names, or names without their ending.

    Raises:
        FileNotFoundError: naming the first that is not there.
    """
    by_stem = {
        path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES
    }
    found = []
    for key in keys:
        path = folder / key
        if not path.is_file():
            if key not in by_stem:
                raise FileNotFoundError(f"filter.images: expected the image {key} in {folder}")
            path = by_stem[key]
        found.append(path)
    return found


def read_answer(answer: str, names: Sequence[str]) -> list[int]:
    """Return the indices of the names that an answer lists; long names before parts of them."""
    left, found = answer.lower(), []
    for index in sorted(range(len(names)), key=lambda i: -len(names[i])):
        pattern = rf"(?<!\w){re.escape(names[index])}s?(?!\w)"
        if re.search(pattern, left):
            found.append(index)
            left = re.sub(pattern, " ", left)
    return sorted(found)


def build_filter(
    config: FilterConfig, matcher: Matcher, *, opening: str, rows: int, device: str, dtype: str
) -> CategoryFilter:
    """Build the filter that ``config.name`` names.

    Raises:
        ValueError: if an option that it needs is missing.
        FileNotFoundError: if weights or a file cannot be had.
    """
    if config.name in ("clip", "chat") and not config.weights:
        raise ValueError(f"filter.weights: expected a model for {config.name!r}, got none")
    if config.name == "file" and not Path(config.file).expanduser().is_file():
        raise FileNotFoundError(f"filter.file: expected a JSON file, got {config.file!r}")
    if config.images and not Path(config.images).expanduser().is_dir():
        raise FileNotFoundError(f"filter.images: expected a folder, got {config.images!r}")
    builders: dict[str, Callable[[], CategoryFilter]] = {
        "none": NoFilter,
        "itm": lambda: MatchFilter(matcher, config.threshold, opening=opening, rows=rows),
        "clip": lambda: SimilarityFilter(
            load_scorer(config.weights, device=device), config.threshold
        ),
        "chat": lambda: ChatFilter(
            load_image_chat(
                config.weights, max_tokens=config.tokens, device=device, dtype=dtype
            ).ask
        ),
        "file": lambda: FileFilter(
            Path(config.file).expanduser(),
            Path(config.images).expanduser() if config.images else None,
        ),
    }
    return builders[config.name]()
