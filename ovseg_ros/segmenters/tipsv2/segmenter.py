"""TIPSv2 inference: patch values meet class text, in the whole image or in published windows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.models.class_text import ClassText
from ovseg_ros.models.stages import stage
from ovseg_ros.segmenters.dense import TextSegmenter, resize_bytes, window_starts
from ovseg_ros.segmenters.labelling import label_pixels
from ovseg_ros.segmenters.prompts import templates
from ovseg_ros.segmenters.tipsv2.config import Tipsv2Config
from ovseg_ros.segmenters.tipsv2.model import (
    TextTower,
    load_tipsv2,
    values,
    whole_patches,
)
from ovseg_ros.segmenters.tipsv2.windows import Window, label_windows
from ovseg_ros.types import Segmentation, Vocabulary, label_dtype

_BATCH = 8
"""Windows that are encoded at a time."""


class Tipsv2Segmenter(TextSegmenter):
    """Labels patches by cosine similarity with class text.

    The whole image runs once through the vision tower; all K names meet the patches in one matrix
    product, and only names that win are brought to image size. With ``window`` the authors'
    protocol of sliding windows takes its place, which is for evaluation.
    """

    name = "tipsv2"

    def __init__(self, config: Tipsv2Config, *, device: str = "auto", dtype: str = "auto") -> None:
        """Load the weights.

        Raises:
            FileNotFoundError: if weights are missing or no TIPSv2; says how to get them.
            ValueError: if an option is wrong, or transformers is too old.
        """
        super().__init__(device=device, dtype=dtype)
        self._config = config
        tokenizer, model = load_tipsv2(config.weights)
        self.patch = int(model.config.vision_config.patch_size)
        self._temperature = config.temperature or model.temperature.item()
        # The text tower stays float32: it runs once per word.
        self.tower = TextTower(model.text_model, tokenizer, self._device, keep=config.keep_text)
        self._vision = model.vision_model.to(self._device, self._dtype)
        self.read_names(
            ClassText(
                self.tower.encode,
                model=f"tipsv2-{self.tower.digest}",
                templates=templates(config.templates),
            )
        )

    @torch.inference_mode()
    def label(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Label every patch, and pixels between patches; see :class:`DenseSegmenter`."""
        if self._config.window:
            labels, confidence = self._slide(images, vocabulary)
        else:
            labels, confidence = label_pixels(
                self.similarity(images, vocabulary.names),
                vocabulary.ids,
                size_hw=images.shape[1:3],
                temperature=self._temperature,
                background=self._config.background or None,
            )
        return Segmentation(labels=labels, confidence=confidence, vocabulary=vocabulary)

    @torch.inference_mode()
    def similarity(self, images: np.ndarray, names: Sequence[str]) -> Tensor:
        """Return cosine similarities of the patches of whole images, (B, K, h, w) float32.

        Args:
            images: RGB, (B, H, W, 3) uint8.
            names: K names.
        """
        return self._match(self._pixels(images), self.class_text(tuple(names)))

    def _pixels(self, images: np.ndarray) -> Tensor:
        """Return images at the size of the input, (B, 3, h, w) float32 in 0..1."""
        size_hw = self.input_hw(images.shape[1:3])
        return resize_bytes(self.to_device(images), size_hw, mode="bicubic") / 255

    def _match(self, pixels: Tensor, text: Tensor) -> Tensor:
        """Return cosine similarities of images (B, 3, h, w) and text (K, D), (B, K, h', w')."""
        with stage("encoder"):
            pixels = whole_patches(pixels, self.patch)
            patches = F.normalize(values(self._vision, pixels.to(self._dtype)).float(), dim=-1)
        with stage("head"):
            return (patches @ text.T).permute(0, 3, 1, 2)

    def _slide(self, images: np.ndarray, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
        """Return labels and confidence (B, H, W) by the published windows."""
        pixels, text = self._pixels(images), self.class_text(vocabulary.names)
        ids = torch.from_numpy(vocabulary.ids.astype(np.int64)).to(self._device)
        if self._config.background:
            ids = F.pad(ids, (0, 1))
        found = []
        for image in pixels:
            windows = self._windows(image, text)
            with stage("upsample + argmax"):
                found.append(
                    label_windows(
                        windows,
                        ids,
                        input_hw=(image.shape[1], image.shape[2]),
                        size_hw=images.shape[1:3],
                        temperature=self._temperature,
                    )
                )
        with stage("device to host"):
            labels, confidence = (
                torch.stack(parts).cpu().numpy() for parts in zip(*found, strict=True)
            )
        return labels.astype(label_dtype(vocabulary.ids)), confidence

    def _windows(self, image: Tensor, text: Tensor) -> list[Window]:
        """Return the windows of an image (3, h, w), and their similarities with text (K, D)."""
        side, stride = self._config.window, min(self._config.stride, self._config.window)
        height, width = (min(side, length) for length in image.shape[1:])
        places = [
            (top, left)
            for top in window_starts(image.shape[1], side, stride)
            for left in window_starts(image.shape[2], side, stride)
        ]
        parts = torch.stack([image[:, y : y + height, x : x + width] for y, x in places])
        logits = torch.cat([self._match(part, text) for part in parts.split(_BATCH)])
        if self._config.background:
            logits = F.pad(logits, (0, 0, 0, 0, 0, 1), value=self._config.background)
        return [
            Window(top, left, height, width, maps)
            for (top, left), maps in zip(places, logits, strict=True)
        ]

    def input_hw(self, image_hw: tuple[int, ...]) -> tuple[int, int]:
        """Return the size an image (H, W) is brought to: its short side as asked, its aspect."""
        short, limit = self._config.short_side, self._config.long_side
        scale = Fraction(short, min(image_hw))
        if limit:
            scale = min(scale, Fraction(limit, max(image_hw)))
        longest = limit or 4 * short  # a sliver must not become an endless strip
        height, width = (max(1, min(int(side * scale), longest)) for side in image_hw)
        return height, width
