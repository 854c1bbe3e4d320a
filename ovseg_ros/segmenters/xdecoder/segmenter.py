"""X-Decoder inference as AutoSeg runs it: resize, decode, softmax over texts, masks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ovseg_ros.models.class_text import ClassText, Prompt
from ovseg_ros.models.tokenizer import FILE as TOKENIZER_FILE
from ovseg_ros.models.weights import resolve_file
from ovseg_ros.segmenters.dense import (
    TextSegmenter,
    encode_in_chunks,
    resize_bytes,
    shortest_edge_hw,
)
from ovseg_ros.segmenters.prompts import templates
from ovseg_ros.segmenters.xdecoder.checkpoint import load_xdecoder
from ovseg_ros.segmenters.xdecoder.config import XDecoderConfig
from ovseg_ros.segmenters.xdecoder.inference import Sizes, label_queries
from ovseg_ros.types import Segmentation, Vocabulary

BACKGROUND = "background"
"""The last text of every list: what no name claims."""

_SUFFIXES = ("-other", "-merged", "-stuff")
"""Parts of COCO's names that are no words."""

_LIGHT = 20_000_000
"""Parameters up to which a model is meant for every frame."""


class XDecoderSegmenter(TextSegmenter):
    """Queries decode masks once; any number of names meets them in one small matrix product."""

    name = "xdecoder"

    def __init__(
        self, config: XDecoderConfig, *, device: str = "auto", dtype: str = "auto"
    ) -> None:
        """Load the weights.

        Raises:
            FileNotFoundError: if weights are missing; says how to get them.
            ValueError: if they are no X-Decoder; with a report of the keys.
        """
        super().__init__(device=device, dtype=dtype)
        self._config = config
        path = Path(resolve_file(config.weights))
        model, self._tokenizer = load_xdecoder(path)
        size = sum(parameter.numel() for parameter in model.parameters())
        self.cadence = "frame" if size <= _LIGHT else "keyframe"
        identity = _digest(model.text, path)
        self._model = model.to(self._device)
        for part in (model.backbone, model.pixel_decoder, model.decoder):
            part.to(self._dtype)  # the text tower stays float32: it runs once per word
        self.read_names(
            ClassText(
                encode_in_chunks(self._encode),
                model=f"xdecoder-{identity}",
                templates=templates(config.templates),
            )
        )

    @torch.inference_mode()
    def label(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Decode masks and let names meet them; see :class:`DenseSegmenter`."""
        masks, logits, sizes = self.decode(images, vocabulary.names)
        probabilities, ids = logits.softmax(-1), vocabulary.ids  # (B, Q, K + 1), (K,)
        if self._config.background:
            ids = np.append(ids, np.uint16(0))
        if self._config.as_released:
            ids = ids[:-1]
            if not len(ids):
                nothing = np.zeros(images.shape[:3], np.uint8)
                return Segmentation(labels=nothing, confidence=nothing, vocabulary=vocabulary)
        labels, confidence = label_queries(
            masks,
            probabilities[..., : len(ids)],
            ids,
            sizes,
            exact=self._config.upsample == "masks",
        )
        return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)

    @torch.inference_mode()
    def decode(self, images: np.ndarray, names: Sequence[str]) -> tuple[Tensor, Tensor, Sizes]:
        """Return what the queries say.

        Args:
            images: RGB, (B, H, W, 3) uint8.
            names: K names.

        Returns:
            Mask logits at stride 4 of the padded input (B, Q, h, w), logits of the names and, last,
            of the background (B, Q, K + 1; without it K, ``as_released``), both float32, and the
            sizes.
        """
        height, width = outer = images.shape[1:3]
        short = self._config.short_side or min(outer)
        inner = shortest_edge_hw(height, width, short, self._config.long_side)
        pixels = resize_bytes(self.to_device(images), inner)
        pixels = self._model.normalise(pixels)  # (B, 3, H', W'), padded
        decoded, features = self._model(pixels.to(self._dtype))
        words = (*map(spoken_name, names), *(() if self._config.as_released else (BACKGROUND,)))
        text = self.class_text(words)  # (K + 1, D)
        logits = self._model.match(decoded[-1].embeddings.float(), text)
        sizes = Sizes(padded=tuple(pixels.shape[2:]), inner=inner, outer=outer)  # type: ignore[arg-type]
        return decoded[-1].masks(features).float(), logits, sizes

    def embed(self, names: Sequence[str]) -> np.ndarray:
        """Return class text; see :class:`~ovseg_ros.segmenters.base.TextEmbedding`."""
        return super().embed([spoken_name(name) for name in names])

    def _encode(self, prompts: Sequence[Prompt]) -> Tensor:
        ids = self._tokenizer([prompt.sentence for prompt in prompts]).to(self._device)
        return self._model.text(ids)


def spoken_name(name: str) -> str:
    """Return a name without COCO's suffixes: "wall-other-merged" is a "wall"."""
    for suffix in _SUFFIXES:
        name = name.replace(suffix, "")
    return name


def _digest(text: torch.nn.Module, path: Path) -> str:
    """Return a digest of everything the meaning of text depends on."""
    found = hashlib.sha256()
    for key, value in text.state_dict().items():
        found.update(f"{key}{tuple(value.shape)}".encode())
        found.update(value.contiguous().numpy().tobytes())
    tokenizer = path / TOKENIZER_FILE
    found.update(tokenizer.read_bytes() if tokenizer.is_file() else b"clip")
    return found.hexdigest()
