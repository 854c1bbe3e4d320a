"""SimZSS inference: patch . text, up-sample, argmax (arXiv 2406.16085)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.language import things
from ovseg_ros.models.class_text import ClassText, Prompt
from ovseg_ros.models.pyramid import PyramidTower
from ovseg_ros.models.stages import stage
from ovseg_ros.models.tokenizer import FILE as TOKENIZER_FILE
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.models.word_tower import WordTower
from ovseg_ros.segmenters.dense import TextSegmenter, encode_in_chunks, resize, window_starts
from ovseg_ros.segmenters.labelling import label_pixels
from ovseg_ros.segmenters.prompts import templates
from ovseg_ros.segmenters.simzss.config import SimZSSConfig
from ovseg_ros.segmenters.simzss.model import load_simzss, unit
from ovseg_ros.segmenters.simzss.sliding import Windows, label_windows, rescale
from ovseg_ros.types import Segmentation, Vocabulary


class _Text(NamedTuple):
    """What patches meet: K names as the towers read them.

    Attributes:
        vectors: Class text, unit vectors, (K, D).
        covered: For every name the classes of ImageNet that it covers.
        less: What is taken off the similarities of names that cover none, (K,).
    """

    vectors: Tensor
    covered: Sequence[tuple[int, ...]]
    less: Tensor


class SimZSSSegmenter(TextSegmenter):
    """Labels patches by cosine similarity with class text; cost is flat in the vocabulary's size.

    The image runs once through the vision tower. All K names meet the patches in one matrix
    product at patch resolution, and only names that win there are brought to image size.
    """

    name = "simzss"

    def __init__(self, config: SimZSSConfig, *, device: str = "auto", dtype: str = "auto") -> None:
        """Load the weights.

        Raises:
            FileNotFoundError: if weights are missing.
            ValueError: if weights and configuration disagree.
        """
        super().__init__(device=device, dtype=dtype)
        self._config = config
        directory = Path(resolve_weights(config.weights))
        model, self._tokenizer = load_simzss(directory)
        if isinstance(model.visual, (PyramidTower, WordTower)):
            model.visual.fuse()
        self.patch: int = model.visual.patch[0]
        self._model = model.to(self._device)
        self._model.visual.to(self._dtype)  # the text tower stays float32: it runs once per word
        digest, prompts = _digest(directory), templates(config.templates)
        text, self.sentences = (
            ClassText(
                encode_in_chunks(partial(self._encode, kind=kind)),
                model=f"simzss-{kind}-{digest}",
                templates=prompts,
            )
            for kind in (config.class_text, "sentence")
        )
        self._last_read: tuple[tuple[tuple[str, ...], bool], _Text] | None = None
        self.read_names(text)

    def label(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Label every patch, and pixels between patches; see :class:`DenseSegmenter`."""
        if self._config.dense == "pixels":
            return self._label_by_pixels(images, vocabulary)
        floor = self._config.background or None
        logits, among = self._compare(images, vocabulary.names, adjusted=True, floor=floor)
        labels, confidence = label_pixels(
            logits,
            vocabulary.ids,
            among=among,
            size_hw=images.shape[1:3],
            temperature=self._config.temperature,
            background=floor,
        )
        return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)

    @torch.inference_mode()
    def _label_by_pixels(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Label as the published protocol does; see ``sliding.py``."""
        config, text = self._config, self.class_text(vocabulary.names)
        short = config.short_side or min(self._model.config.image_hw)
        side, stride = self._window()
        found = []
        for image in images:
            small = rescale(image, short, config.long_side or 4 * short)
            pixels = self._model.normalise(self.to_device(small[None]).float() / 255)
            seen = Windows(
                pixels, self._patches, patch=self._model.visual.patch, side=side, stride=stride
            )
            found.append(
                label_windows(
                    seen,
                    text,
                    vocabulary.ids,
                    size_hw=images.shape[1:3],
                    temperature=config.temperature,
                    background=config.background or None,
                )
            )
        labels, confidence = (np.stack(parts) for parts in zip(*found, strict=True))
        return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)

    @torch.inference_mode()
    def similarity(self, images: np.ndarray, names: Sequence[str]) -> Tensor:
        """Return cosine similarities of patches and class text, (B, K, h, w) float32.

        Args:
            images: RGB, (B, H, W, 3) uint8.
            names: K names.
        """
        similarity, _ = self._compare(images, names, adjusted=False, floor=None)
        return similarity

    @torch.inference_mode()
    def _compare(
        self, images: np.ndarray, names: Sequence[str], *, adjusted: bool, floor: float | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return similarities, and of which names if not of all.

        Adjusted ones may be compared with each other and a background; names that exceed no floor
        may be left out.
        """
        pixels = self._pixels(images, self._input_hw(images))
        text = self._read(tuple(names), adjusted=adjusted)
        if self._config.window:
            return self._slide(pixels, text), None
        return self._match(pixels, text, floor)

    @torch.inference_mode()
    def classify(self, images: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Return cosine similarities of whole images (class tokens) and names, (B, K) float32.

        The names' sentence features are used, which the caption loss trains.

        Args:
            images: RGB, (B, H, W, 3) uint8, taken at their own size (whole patches of it): squares
                of 224 pixels for published models, of 96 for the robot cell's.
            names: K names.
        """
        height, width = (
            max(side, round(length / side) * side)
            for length, side in zip(images.shape[1:3], self._model.visual.patch, strict=True)
        )
        pixels = self._pixels(images, (height, width)).to(self._dtype)
        first, _ = self._model.encode_image(pixels)  # (B, D)
        text = torch.from_numpy(self.sentences.embed(names)).to(self._device)
        similarity: np.ndarray = (unit(first.float()) @ text.T).cpu().numpy()
        return similarity

    def _pixels(self, images: np.ndarray, size: tuple[int, int]) -> Tensor:
        """Return images at a size (h, w), normalised, on the device, (B, 3, h, w) float32."""
        return self._model.normalise(resize(self.to_device(images), size) / 255)

    def patches(self, pixels: Tensor) -> Tensor:
        """Return unit vectors of patches, (B, h, w, D) float32, of images (B, 3, H, W) in 0..1.

        H and W are whole patches.
        """
        return self._patches(self._model.normalise(pixels))

    def _patches(self, pixels: Tensor) -> Tensor:
        with stage("encoder"):
            _, patches = self._model.encode_image(pixels.to(self._dtype))
            return unit(patches.float())

    def _match(
        self, pixels: Tensor, text: _Text, floor: float | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if isinstance(self._model.visual, WordTower):
            with stage("encoder"):
                return self._model.visual.match(
                    pixels.to(self._dtype), text.vectors, text.covered, text.less, floor=floor
                )
        patches = self._patches(pixels)  # (B, h, w, D)
        with stage("head"):
            found = F.linear(patches, text.vectors, -text.less)
            return found.permute(0, 3, 1, 2), None  # (B, K, h, w)

    def _slide(self, pixels: Tensor, text: _Text) -> Tensor:
        """Average the similarities of overlapping windows at input resolution / patch size."""
        patch = self.patch
        side, stride = (max(patch, value // patch * patch) for value in self._window())
        height, width = pixels.shape[2:]
        total = pixels.new_zeros(len(pixels), len(text.covered), height // patch, width // patch)
        count = pixels.new_zeros(height // patch, width // patch)
        for top in window_starts(_whole(height, side, patch), side, stride):
            for left in window_starts(_whole(width, side, patch), side, stride):
                window = pixels[:, :, top : top + side, left : left + side]
                rows = slice(top // patch, (top + window.shape[2]) // patch)
                columns = slice(left // patch, (left + window.shape[3]) // patch)
                total[:, :, rows, columns] += self._match(window, text)[0]
                count[rows, columns] += 1
        return total / count

    def _window(self) -> tuple[int, int]:
        return self._config.window, min(self._config.stride, self._config.window)

    def _input_hw(self, images: np.ndarray) -> tuple[int, int]:
        """Return the size the tower sees: the image's aspect, in whole patches."""
        height, width = images.shape[1:3]
        short = self._config.short_side or min(self._model.config.image_hw)
        scale = short / min(height, width)
        if self._config.long_side:
            scale = min(scale, self._config.long_side / max(height, width))
        longest = self._config.long_side or 4 * short  # a sliver must not become an endless strip
        patch = self._model.visual.patch
        return tuple(  # type: ignore[return-value]
            max(side, round(min(length * scale, longest) / side) * side)
            for length, side in zip((height, width), patch, strict=True)
        )

    def _encode(self, prompts: Sequence[Prompt], kind: str) -> Tensor:
        ids = self._tokenizer([prompt.sentence for prompt in prompts]).to(self._device)
        vector, tokens = self._model.encode_text(ids)
        if kind == "concept":
            spans = torch.stack(
                [self._tokenizer.spelling(prompt.sentence, *prompt.span) for prompt in prompts]
            ).to(self._device)
            vector = torch.einsum("bl,bld->bd", spans, unit(tokens))
        if isinstance(self._model.visual, WordTower):
            self._look_up([prompt.name for prompt in prompts], self._model.visual, vector)
        return vector

    def _read(self, names: tuple[str, ...], *, adjusted: bool) -> _Text:
        """Return what patches meet; kept for the same names."""
        last = self._last_read
        if last is None or last[0] != (names, adjusted):
            vectors = self.class_text(names)
            covered = [self._classes(name) for name in names]
            less = vectors.new_zeros(len(names))
            if adjusted:
                taught = torch.tensor([not classes for classes in covered], device=less.device)
                less = torch.where(taught, self._handicap(vectors), less)
            last = self._last_read = (names, adjusted), _Text(vectors, covered, less)
        return last[1]

    def _handicap(self, vectors: Tensor) -> Tensor:
        """Return what is taken off names that the text tower writes, to compare all names, (K,).

        That is what their rarity brought them in the tower's training, and the rest of a
        background of their own, so that one background fits all.
        """
        less = vectors.new_zeros(len(vectors))
        if isinstance(self._model.visual, WordTower):
            less += self._config.logit_adjustment * self._model.visual.head_start(vectors)
        if self._config.taught_background and self._config.background:
            less += self._config.taught_background - self._config.background
        return less

    def _classes(self, name: str) -> tuple[int, ...]:
        """Return the classes of ImageNet that a name covers; none if captions taught the name."""
        if not isinstance(self._model.visual, WordTower):
            return ()
        return () if name in self._model.config.taught else things.covered(name)

    def _look_up(self, names: Sequence[str], tower: WordTower, vectors: Tensor) -> None:
        """Write what a dictionary says over vectors (N, D) of names, in place.

        What ImageNet's classes and WordNet say exactly is not left to a small text tower; it writes
        the names that captions taught it, and whatever no dictionary has.
        """
        for row, name in enumerate(names):
            if classes := self._classes(name):
                vectors[row] = tower.meaning(classes).to(vectors)


def _digest(directory: Path) -> str:
    """Return a digest of everything the meaning of text depends on."""
    found = hashlib.sha256()
    for name in ("config.json", "model.safetensors", TOKENIZER_FILE):
        path = directory / name
        found.update(hashlib.sha256(path.read_bytes() if path.is_file() else b"").digest())
    return found.hexdigest()


def _whole(length: int, side: int, patch: int) -> int:
    """Return a length whose last window of a side begins with a whole patch."""
    return side + max(0, length - side) // patch * patch
