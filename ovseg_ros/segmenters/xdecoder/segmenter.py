"""X-Decoder inference as AutoSeg runs it: resize, decode, softmax over texts, masks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.config import Config, option
from ovseg_ros.device import resolve_device, resolve_dtype
from ovseg_ros.segmenters.base import Traits
from ovseg_ros.segmenters.simzss.tokenizer import FILE as TOKENIZER_FILE
from ovseg_ros.segmenters.xdecoder.checkpoint import load_xdecoder
from ovseg_ros.segmenters.xdecoder.inference import Sizes, label_queries
from ovseg_ros.text import TextCache, templates
from ovseg_ros.types import Segmentation, Vocabulary, check_images
from ovseg_ros.weights import resolve_file

BACKGROUND = "background"
"""The last text of every list: what no name claims."""

_SUFFIXES = ("-other", "-merged", "-stuff")
"""Parts of COCO's names that are no words."""

_LIGHT = 20_000_000
"""Parameters up to which a model is meant for every frame."""


@dataclass(frozen=True, kw_only=True)
class XDecoderConfig(Config):
    """Options of the X-Decoder segmenter."""

    weights: str = option(
        "robot_cell/xdecoder",
        "an authors' checkpoint (path, or OWNER/REPOSITORY/FILE.pt), a directory of the recipe's "
        "weights, or robot_cell/NAME",
    )
    templates: str = option(
        "xdecoder",
        "prompt templates of the class text",
        choices=("none", "photo", "cell", "clip", "xdecoder"),
    )
    short_side: int = option(
        500,
        "short side the image is resized to; 0 for its own (published: AutoSeg 500, COCO and VOC "
        "800, ADE 640, Cityscapes 1024)",
        low=0,
        high=4096,
    )
    long_side: int = option(
        1500,
        "long side at most (published: AutoSeg 1500, COCO and VOC 1333, ADE 2560, Cityscapes 2048)",
        low=32,
        high=8192,
    )
    background: bool = option(
        False, "pixels that the background text wins stay unlabelled (published: no)"
    )
    upsample: str = option(
        "masks",
        "what is brought to image size: every query's mask (published), or the winners' scores",
        choices=("masks", "winners"),
    )


class XDecoderSegmenter:
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
        self._config = config
        path = Path(resolve_file(config.weights))
        self._device = resolve_device(device)
        self._dtype = resolve_dtype(dtype, self._device)
        self.device = str(self._device)
        model, self._tokenizer = load_xdecoder(path)
        size = sum(parameter.numel() for parameter in model.parameters())
        self.traits = (
            Traits(needs="names", cost="light", cadence="frame")
            if size <= _LIGHT
            else Traits(needs="names", cost="heavy", cadence="keyframe")
        )
        identity = _digest(model.text, path)
        self._model = model.to(self._device)
        for part in (model.backbone, model.pixel_decoder, model.decoder):
            part.to(self._dtype)  # the text tower stays float32: it runs once per word
        self.text = TextCache(
            self._encode, model=f"xdecoder-{identity}", templates=templates(config.templates)
        )
        self._prepared: tuple[tuple[str, ...], Tensor] = ((), torch.empty(0))

    @torch.inference_mode()
    def segment(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Segment a batch (B, H, W, 3) uint8 RGB; see :class:`segmenters.base.Segmenter`."""
        check_images(images)
        if not len(vocabulary):
            labels, confidence = np.zeros((2, *images.shape[:3]), dtype=np.uint8)
            return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)
        masks, logits, sizes = self.decode(images, vocabulary.names)
        probabilities, ids = logits.softmax(-1), vocabulary.ids  # (B, Q, K + 1), (K,)
        if self._config.background:
            ids = np.append(ids, np.uint16(0))
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
            of the background (B, Q, K + 1), both float32, and the sizes.
        """
        # Copies only what torch cannot wrap: flipped views and frames that are read-only.
        owned = np.require(images, requirements=["C", "W"])
        pixels = torch.from_numpy(owned).to(self._device).permute(0, 3, 1, 2).float()
        inner, outer = self._input_hw(images), images.shape[1:3]
        if inner != outer:
            pixels = F.interpolate(pixels, size=inner, mode="bilinear", antialias=True)
        pixels = self._model.normalise(pixels)  # (B, 3, H', W'), padded
        decoded, features = self._model(pixels.to(self._dtype))
        logits = self._model.match(decoded[-1].embeddings.float(), self._class_text(tuple(names)))
        sizes = Sizes(padded=tuple(pixels.shape[2:]), inner=inner, outer=outer)  # type: ignore[arg-type]
        return decoded[-1].masks(features).float(), logits, sizes

    def _input_hw(self, images: np.ndarray) -> tuple[int, int]:
        """Return the size images are brought to: the short side as asked, the long one limited."""
        height, width = images.shape[1:3]
        short = self._config.short_side or min(height, width)
        scale = min(short / min(height, width), self._config.long_side / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _class_text(self, names: tuple[str, ...]) -> Tensor:
        """Return text of names and background on the device, (K + 1, D) float32; remembered."""
        known, text = self._prepared
        if known != names:
            spoken = [*map(spoken_name, names), BACKGROUND]
            text = torch.from_numpy(self.text.embed(spoken)).to(self._device)
            self._prepared = names, text
        return text

    def _encode(self, prompts: Sequence[str]) -> np.ndarray:
        vectors = []
        for start in range(0, len(prompts), 256):
            ids = self._tokenizer(prompts[start : start + 256]).to(self._device)
            vectors.append(self._model.text(ids))
        stacked: np.ndarray = torch.cat(vectors).float().cpu().numpy()
        return stacked


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
