"""FISA's inference: propose masks, name them, merge (arXiv 2409.16278)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.models.class_text import ClassText, Prompt
from ovseg_ros.models.stages import stage
from ovseg_ros.segmenters.dense import TextSegmenter, encode_in_chunks, resize, shortest_edge_hw
from ovseg_ros.segmenters.fisa.checkpoint import load_fisa
from ovseg_ros.segmenters.fisa.clip import Clip
from ovseg_ros.segmenters.fisa.config import FisaConfig
from ovseg_ros.segmenters.fisa.generator import STRIDE
from ovseg_ros.segmenters.fisa.model import Fisa
from ovseg_ros.segmenters.fisa.panoptic import Rules, list_segments, merge_proposals
from ovseg_ros.segmenters.prompts import templates
from ovseg_ros.segmenters.xdecoder.inference import Sizes, enlarge, label_queries
from ovseg_ros.types import Segment, Segmentation, Vocabulary, label_dtype

OTHER = "other"
"""The text of what no name claims."""

_LIGHT = 30_000_000
"""Parameters up to which a model is meant for every frame."""


class FisaSegmenter(TextSegmenter):
    """Proposals are masked and named; any number of names costs about the same."""

    name = "fisa"

    def __init__(self, config: FisaConfig, *, device: str = "auto", dtype: str = "auto") -> None:
        """Load generator, CLIP and adaptation.

        Raises:
            FileNotFoundError: if weights are missing.
            ValueError: if weights do not fit one another.
        """
        super().__init__(device=device, dtype=dtype)
        self._config = config
        model, clip = load_fisa(config.weights, config.generator, config.clip)
        self._take(model, clip)

    def _take(self, model: Fisa, clip: Clip) -> None:
        """Bring the models to the device; the text tower stays float32: it runs once per word."""
        size = sum(parameter.numel() for parameter in model.parameters())
        self.cadence = "frame" if size <= _LIGHT else "keyframe"
        self.clip, self.model = clip.to(self._device), model.to(self._device)
        model.generator.lower(self._dtype)  # type: ignore[operator]
        clip.model.visual.to(self._dtype)  # type: ignore[operator,union-attr]
        for part in ("seve", "queries", "lora", "adapter"):
            getattr(model.classifier, part).to(self._dtype)
        self.read_names(
            ClassText(
                encode_in_chunks(self._encode),
                model=f"fisa-{clip.digest}",
                templates=templates(self._config.templates),
            )
        )

    def label(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Propose, name and merge; see :class:`DenseSegmenter`.

        The order of the names changes nothing: they are sorted before they meet the image.
        """
        order = np.argsort(np.array(vocabulary.names))
        proposals = self.propose(images, [vocabulary.names[i] for i in order])
        return self.merge(*proposals, vocabulary, order)

    def merge(
        self,
        masks: Tensor,
        probabilities: Tensor,
        sizes: Sizes,
        vocabulary: Vocabulary,
        order: np.ndarray,
    ) -> Segmentation:
        """Return what :meth:`propose` found as labels and segments.

        Args:
            masks: Mask logits, (B, Q, h, w).
            probabilities: Of the names, (B, Q, K).
            sizes: Where the images are in the masks.
            vocabulary: The names.
            order: Which of them the K columns are, (K,).
        """
        ids = vocabulary.ids[order]
        things = [vocabulary.categories[i].is_thing for i in order]
        found = None
        if self._config.segments or self._config.labels == "panoptic":
            with stage("merge"):
                found = self._segments(masks, probabilities, ids, things, sizes)
        if found is not None and self._config.labels == "panoptic":
            labels, confidence = _paint(*found, ids)
        else:
            with stage("upsample + argmax"):
                labels, confidence = self._labels(masks, probabilities, ids, sizes)
        kept = found if self._config.segments else None
        return Segmentation(
            labels=labels,
            confidence=confidence,
            vocabulary=vocabulary,
            segment_ids=kept[0] if kept else None,
            segments=kept[1] if kept else (),
        )

    @torch.inference_mode()
    def propose(self, images: np.ndarray, names: Sequence[str]) -> tuple[Tensor, Tensor, Sizes]:
        """Return proposals and what they are called.

        Args:
            images: RGB, (B, H, W, 3) uint8.
            names: K names.

        Returns:
            The generator's mask logits at stride 4 of the padded input (B, Q, h, w), probabilities
            of the names (B, Q, K) or, with ``other``, (B, Q, K + 1), both float32, and the sizes.
            With ``objectness`` they sum up to the probability that a proposal shows anything.
        """
        canvas, sizes = self.canvas(images)
        text = self.class_text((*names, OTHER))
        generator: Any = self.model.generator
        with stage("generator"):
            masks, objectness = generator.propose(canvas)
        with stage("classifier"):
            classifier = self.model.classifier
            vectors, _ = classifier(self.seen(canvas), masks, text[:-1])
            logits = classifier.match(vectors, text if self._config.other else text[:-1])
        odds = logits.softmax(-1)
        if self._config.objectness:
            odds = odds * objectness[..., None]
        return masks.float(), odds, sizes

    def canvas(self, images: np.ndarray) -> tuple[Tensor, Sizes]:
        """Return images in 0..255, resized and padded to multiples of 32, (B, 3, H, W) float32."""
        height, width = images.shape[1:3]
        inner = shortest_edge_hw(height, width, self._config.short_side, self._config.long_side)
        pixels = resize(self.to_device(images), inner)
        height, width = pixels.shape[2:]
        mean: Tensor = self.model.generator.mean.float()  # type: ignore[assignment,operator,union-attr]
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        canvas = F.pad(pixels - mean, padding) + mean
        padded = (canvas.shape[2], canvas.shape[3])
        return canvas, Sizes(padded=padded, inner=inner, outer=images.shape[1:3])  # type: ignore[arg-type]

    def seen(self, canvas: Tensor) -> Tensor:
        """Return what CLIP reads of a canvas (B, 3, H, W), normalised."""
        side = self._config.clip_side
        if side:
            side = max(1, side // self.clip.side) * self.clip.side
            canvas = F.interpolate(canvas, size=(side, side), mode="bilinear", antialias=True)
        pixels = self.clip.normalise(canvas)
        return pixels if self.clip.small else pixels.to(self._dtype)

    def _labels(
        self, masks: Tensor, probabilities: Tensor, ids: np.ndarray, sizes: Sizes
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._config.other:
            ids = np.append(ids, np.uint16(0))
        return label_queries(
            masks,
            probabilities,
            ids,
            sizes,
            exact=self._config.upsample == "masks",
            mode="bilinear",
        )

    def _segments(
        self,
        masks: Tensor,
        probabilities: Tensor,
        ids: np.ndarray,
        things: list[bool],
        sizes: Sizes,
    ) -> tuple[np.ndarray, tuple[tuple[Segment, ...], ...]]:
        """Return segment ids (B, H, W) uint16 and the segments of every image."""
        rules = Rules(
            score=self._config.score, overlap=self._config.overlap, mask=self._config.mask
        )
        countable = torch.tensor([*things, True], device=masks.device)
        numbers, segments = [], []
        for own, odds in zip(masks, probabilities, strict=True):
            if self._config.other:  # what that word wins is no segment
                odds = odds.masked_fill((odds.argmax(-1) == len(ids))[:, None], -1.0)
            merged, found = merge_proposals(
                own, odds, countable, partial(enlarge, sizes=sizes), sizes.outer, rules
            )
            numbers.append(merged.cpu().numpy().astype(np.uint16))
            segments.append(list_segments(numbers[-1], found, ids))
        return np.stack(numbers), tuple(segments)

    def _encode(self, prompts: Sequence[Prompt]) -> Tensor:
        return self.clip.encode([prompt.sentence for prompt in prompts])


def _paint(
    numbers: np.ndarray, segments: Sequence[Sequence[Segment]], ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and confidences of segments alone."""
    kind = label_dtype(ids)
    labels, confidence = np.zeros(numbers.shape, kind), np.zeros(numbers.shape, np.uint8)
    for row, own in enumerate(segments):
        label, score = np.zeros(len(own) + 1, kind), np.zeros(len(own) + 1, np.uint8)
        for segment in own:
            label[segment.id], score[segment.id] = segment.category_id, round(255 * segment.score)
        labels[row], confidence[row] = label[numbers[row]], score[numbers[row]]
    return labels, confidence
