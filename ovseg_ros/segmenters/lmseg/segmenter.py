"""LMSeg's inference: windows, fused features, refined cost maps (arXiv 2412.00364)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.models.class_text import ClassText, Prompt
from ovseg_ros.models.stages import stage
from ovseg_ros.segmenters.base import Cadence
from ovseg_ros.segmenters.dense import DenseSegmenter, encode_in_chunks, resize
from ovseg_ros.segmenters.fisa.clip import Clip
from ovseg_ros.segmenters.fisa.towers import show_tower
from ovseg_ros.segmenters.labelling import label_pixels
from ovseg_ros.segmenters.lmseg.attributes import AttributeStore, read_attributes
from ovseg_ros.segmenters.lmseg.checkpoint import Parts, load_lmseg
from ovseg_ros.segmenters.lmseg.config import EnrichmentConfig, LmsegConfig
from ovseg_ros.segmenters.lmseg.enrichment import Enrichment
from ovseg_ros.segmenters.lmseg.features import Dense, cost_map, dense_features
from ovseg_ros.segmenters.lmseg.views import Window, crop_map, windows
from ovseg_ros.segmenters.lmseg.writer import build_writer
from ovseg_ros.types import Segmentation, Vocabulary

logger = logging.getLogger(__name__)

WITHOUT_ATTRIBUTES = (
    "prompts=enriched without enrichment.file or enrichment.ask: the sentences name colour, shape "
    "and texture and say nothing about them, which is not the paper's enrichment"
)

_SHOWN = 20
"""Names in a warning."""

_SHARP = 0.1
"""Divides probabilities before the softmax of the confidence."""


class LmsegSegmenter(DenseSegmenter):
    """Every name's cost map is refined by itself and against the others.

    Its cost grows with the names, by design. The order of the names changes nothing.
    """

    name = "lmseg"
    cadence: Cadence = "keyframe"

    def __init__(self, config: LmsegConfig, *, device: str = "auto", dtype: str = "auto") -> None:
        """Load the towers and what was trained.

        Raises:
            FileNotFoundError: if weights are missing.
            ValueError: if weights do not fit one another.
        """
        super().__init__(device=device, dtype=dtype)
        parts = load_lmseg(
            config.weights, clip=config.clip, sam=config.sam, device=str(self._device)
        )
        self._take(config, parts)

    def _take(self, config: LmsegConfig, parts: Parts) -> None:
        self._config, self._neck = config, parts.neck
        self.model = parts.model.eval().to(self._device, self._dtype)
        self.clip: Clip = parts.clip.to(self._device)
        self.clip.model.visual.to(self._dtype)  # type: ignore[operator,union-attr]
        self._tower = show_tower(self.clip.model.visual)  # type: ignore[arg-type]
        self.enrichment = build_enrichment(config.enrichment, device=str(self._device))
        self.text = SentenceText(self.clip, self.enrichment, enriched=config.prompts == "enriched")
        if config.prompts == "enriched" and not (config.enrichment.file or config.enrichment.ask):
            logger.info("segmenter.lmseg: %s", WITHOUT_ATTRIBUTES)
        self._class_text = np.empty(0), torch.empty(0)
        self._warned: tuple[str, ...] = ()

    def embed(self, names: Sequence[str]) -> np.ndarray:
        """Return class text; see :class:`~ovseg_ros.segmenters.base.TextEmbedding`."""
        return self.text.embed(names)

    @torch.inference_mode()
    def label(self, images: np.ndarray, vocabulary: Vocabulary) -> Segmentation:
        """Label images one after the other; see :class:`DenseSegmenter`."""
        order = np.argsort(np.array(vocabulary.names), kind="stable")
        names = [vocabulary.names[i] for i in order]
        found_text = self.text.embed(names)
        if found_text is not self._class_text[0]:  # the same object as long as nothing changes
            self._class_text = found_text, torch.from_numpy(found_text).to(self._device)
        text = self._class_text[1]
        labels, confidence, left_out = [], [], []
        for image in images:
            probabilities, kept = self.probabilities(image, text)
            ids = vocabulary.ids[order][kept.cpu().numpy()]
            found = label_pixels(
                probabilities[None],
                ids,
                size_hw=image.shape[:2],
                temperature=_SHARP,
                background=self._config.threshold or None,
            )
            labels.append(found[0][0])
            confidence.append(found[1][0])
            left_out.append(tuple(sorted(set(vocabulary.ids.tolist()) - set(ids.tolist()))))
        self._report(vocabulary, left_out)
        return Segmentation(
            labels=np.stack(labels).astype(np.result_type(*labels)),
            confidence=np.stack(confidence),
            vocabulary=vocabulary,
            left_out_of=tuple(left_out),
        )

    def _report(self, vocabulary: Vocabulary, left_out: Sequence[tuple[int, ...]]) -> None:
        """Say which names an image was not compared with, once for a vocabulary.

        The result says it of every image.
        """
        missing = set().union(*left_out)
        if not missing or vocabulary.names == self._warned:
            return
        self._warned = vocabulary.names
        names = [c.name for c in vocabulary.categories if c.id in missing]
        logger.warning(
            "of %d names %d are left out of an image, not being among its %d most similar ones "
            "(segmenter.lmseg.most): %s%s",
            len(vocabulary), len(names), self._config.most, ", ".join(names[:_SHOWN]),
            ", ..." if len(names) > _SHOWN else "",
        )  # fmt: skip

    @torch.inference_mode()
    def probabilities(self, image: np.ndarray, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return how probable names are at every place of the canvas.

        Args:
            image: RGB, (H, W, 3) uint8.
            text: Class text, (K, D).

        Returns:
            Probabilities (K', h, w) float32 at a quarter of the canvas, and which K' of the K
            names they are of, in rising order, (K',) int64.
        """
        config, grid = self._config, self.model.shape.grid
        canvas = config.canvas or config.window
        views = windows(canvas, config.window, config.stride, whole=config.whole)
        pixels = resize(self.to_device(image[None]), (canvas, canvas))
        with stage("sam"):
            neck = None
            if self._neck is not None:
                neck = self._neck.features(image).to(self._device)
        features, dense = self._see(pixels, views, canvas, neck)
        kept = torch.arange(len(text), device=text.device)
        if len(text) > config.most:
            kept = choose(list(cost_map(features.float(), text)), config.most)
        chosen = text[kept].to(self._dtype)
        # Places of the canvas at a window's resolution; a smaller canvas fills one window.
        cells = 4 * grid * max(canvas, config.window) // config.window
        total, count = pixels.new_zeros(len(kept), cells, cells), pixels.new_zeros(cells, cells)
        for number, view in enumerate(views):  # one by one: the maps of all names are the memory
            own = slice(number, number + 1)
            with stage("refinement"):
                logits = self.model.refine(features[own], dense[own], chosen)
                odds = logits.float().sigmoid()
            rows, columns = (
                slice(round(start * cells / canvas), round((start + view.side) * cells / canvas))
                for start in (view.top, view.left)
            )
            size = (rows.stop - rows.start, columns.stop - columns.start)
            total[:, rows, columns] += F.interpolate(odds, size=size, mode="bilinear")[0]
            count[rows, columns] += 1
        return total / count, kept

    def _see(
        self, pixels: Tensor, views: Sequence[Window], canvas: int, neck: Tensor | None
    ) -> tuple[Tensor, Dense]:
        """Return unit features (V, D, g, g) of all views in one pass, and CLIP's."""
        size = (self._config.window, self._config.window)
        parts = [pixels[:, :, v.top : v.top + v.side, v.left : v.left + v.side] for v in views]
        parts = [
            part
            if part.shape[2:] == size
            else F.interpolate(part, size=size, mode="bilinear", antialias=True)
            for part in parts
        ]
        with stage("clip"):
            seen = self.clip.normalise(torch.cat(parts))
            seen = seen if self.clip.small else seen.to(self._dtype)
            dense = dense_features(self._tower, seen, readout=self.model.shape.readout)
        with stage("fusion"):
            fused = []
            for number, view in enumerate(views):  # their parts of the map differ in size
                own = pixels.new_zeros(8, 1, 1) if neck is None else crop_map(neck, view, canvas)
                alone = dense[number : number + 1]
                fused.append(self.model.see(alone, own[None].to(self._dtype)))
            return torch.cat(fused), dense


def choose(costs: Sequence[Tensor], most: int) -> Tensor:
    """Return the names (K',) whose cost maps have the largest maxima, in rising order.

    Args:
        costs: Of every view, (K, h, w): what only one view shows counts as well.
        most: Names at most.
    """
    best = torch.stack([cost.flatten(1).amax(1) for cost in costs]).amax(0)
    return best.topk(min(most, len(best))).indices.sort().values


class SentenceText:
    """Class text out of several sentences for each name, in versions that are whole.

    A name's vector is the renormalised mean of its sentences' unit vectors.
    """

    def __init__(self, clip: Clip, enrichment: Enrichment, *, enriched: bool) -> None:
        """Prepare.

        Args:
            clip: Its text tower reads the sentences.
            enrichment: What stands for names.
            enriched: All four sentences of a name, or the plain one alone.
        """
        self._enrichment, self._enriched = enrichment, enriched
        self._sentences = ClassText(
            encode_in_chunks(lambda prompts: _encode(clip, prompts)),
            model=f"lmseg-{clip.digest}",
            templates=("{}",),
        )
        self._known: tuple[int, tuple[str, ...], np.ndarray] = (-1, (), np.empty(0))

    def embed(self, names: Sequence[str]) -> np.ndarray:
        """Return class text (K, D) float32 of unit length, all of one version of the sentences."""
        version = self._enrichment.want(names) if self._enriched else 0
        before, known, text = self._known
        if (before, known) == (version, tuple(names)):
            return text
        if self._enriched:
            version, found = self._enrichment.sentences(names)
        else:
            found = [(self._enrichment.plain(name),) for name in names]
        flat = [sentence for own in found for sentence in own]
        vectors = self._sentences.embed(flat).reshape(len(names), len(found[0]), -1)
        text = vectors.mean(1)
        text = text / np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-12)
        self._known = version, tuple(names), text
        return text


def _encode(clip: Clip, prompts: Sequence[Prompt]) -> Tensor:
    return clip.encode([prompt.sentence for prompt in prompts])


def build_enrichment(config: EnrichmentConfig, *, device: str) -> Enrichment:
    """Return what a configuration says about attributes.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if it is damaged, or a model is asked that has no name.
    """
    author, written = read_attributes(Path(config.file).expanduser()) if config.file else ("", {})
    if not config.ask:
        return Enrichment(written, author=author, opening=config.opening)
    chat = build_writer(config.chat, device=device, each=config.each)
    return Enrichment(
        written,
        chat=chat,
        store=AttributeStore(chat.name, each=config.each),
        retries=config.retries,
        each=config.each,
        complain=logger.warning,
        author=author,
        opening=config.opening,
    )
