"""LMSeg's training: fusion, aggregation and decoder learn, the towers are frozen.

``lmseg`` trains the small LMSeg on the robot cell, ``lmseg_coco`` one of the published size on
COCO-Stuff.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ovseg_ros.config import Config, option
from ovseg_ros.evaluation.datasets import VOID, Dataset
from ovseg_ros.evaluation.protocol import fingerprint
from ovseg_ros.segmenters.fisa.towers import show_tower
from ovseg_ros.segmenters.lmseg.checkpoint import Parts, build_lmseg, save_lmseg
from ovseg_ros.segmenters.lmseg.config import EnrichmentConfig, Shape
from ovseg_ros.segmenters.lmseg.features import Dense, dense_features
from ovseg_ros.segmenters.lmseg.losses import name_loss
from ovseg_ros.segmenters.lmseg.segmenter import (
    WITHOUT_ATTRIBUTES,
    SentenceText,
    build_enrichment,
)
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option, draw_names, open_regions
from ovseg_ros.training.distributed import first_alone, rank, share
from ovseg_ros.training.loop import LoopConfig, optimise

logger = logging.getLogger(__name__)

ABSENT = 0.375
"""Share of a step's names that are not in view, where there are as many."""


@dataclass(frozen=True, kw_only=True)
class LmsegRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    out: str = option("out/lmseg", "directory of the result", kind="place")
    clip: str = option("robot_cell/fisa_clip", "frozen CLIP", kind="weights")
    sam: str = option("robot_cell/sam", "frozen segment-anything", kind="weights")
    shape: Shape = Shape(
        width=32,
        guidance=32,
        decoder=(32, 16),
        decoder_guidance=(16, 8),
        readout="token",
        skip=True,
    )
    prompts: str = option("enriched", "class text", choices=("plain", "enriched"))
    enrichment: EnrichmentConfig = EnrichmentConfig(file="robot_cell", opening="a {}")
    crop: int = option(480, "side of the views in pixels", low=32)
    scale: tuple[float, ...] = option(
        (0.6, 1.0),
        "range of a view's sides as a share of the image's",
        low=0.05,
        high=1.0,
    )
    stretch: bool = option(
        True,
        "views have the image's shape and are stretched to a square, as the canvas is in use "
        "(published: squares, of the short side)",
    )
    names: int = option(16, "names of a step at most, in view and not; 0: all (published)", low=0)
    compare: float = option(
        0.5, "weight of a cross-entropy among a step's names (published: 0)", low=0.0
    )
    w_rate: float = option(
        10.0,
        "learning rate of the fusion's w relative to the others' (published: 1): a short run would "
        "leave it where it began",
        low=0.0,
    )
    synonyms: float = option(
        0.3, "share of the names that a step calls by a synonym (published: 0)", low=0.0, high=1.0
    )
    views: int = option(
        600,
        "views that are drawn and seen by the towers once, before training; 0: new ones in every "
        "step (published)",
        low=0,
    )
    loop: LoopConfig = LoopConfig(steps=1000, batch=1, lr=1e-3, weight_decay=1e-4, clip=1.0)

    def __post_init__(self) -> None:
        """Validate the range."""
        super().__post_init__()
        if len(self.scale) != 2 or self.scale[0] > self.scale[1]:
            raise ValueError(f"scale: expected two rising numbers, got {self.scale}")


@dataclass(frozen=True, kw_only=True)
class LmsegCocoRecipe(LmsegRecipe):
    """Options of the published size, as far as the paper and CAT-Seg state them."""

    data: str = data_option("coco_stuff")
    out: str = option("out/lmseg_coco", "directory of the result", kind="place")
    clip: str = option("timm/vit_base_patch16_clip_224.openai", "frozen CLIP", kind="weights")
    sam: str = option("facebook/sam-vit-base", "frozen segment-anything", kind="weights")
    shape: Shape = Shape()
    enrichment: EnrichmentConfig = EnrichmentConfig(ask=True)
    crop: int = option(384, "side of the views in pixels", low=32)
    names: int = option(0, "names of a step at most, in view and not; 0: all", low=0)
    compare: float = option(0.0, "weight of a cross-entropy among a step's names", low=0.0)
    stretch: bool = option(False, "views are stretched to a square; else they are squares")
    views: int = option(0, "views that are kept; 0: new ones in every step", low=0)
    w_rate: float = option(1.0, "learning rate of the fusion's w relative to the others'", low=0.0)
    synonyms: float = option(0.0, "share of the names called by a synonym", low=0.0, high=1.0)
    loop: LoopConfig = LoopConfig(steps=80_000, batch=4, lr=2e-4, weight_decay=1e-4, clip=0.01)


@dataclass(frozen=True)
class Seen:
    """A view as the towers see it: CLIP's features, the neck's, and labels (h, w) int64."""

    features: Tensor
    early: Tensor
    middle: Tensor
    neck: Tensor
    labels: Tensor


def train(config: LmsegRecipe, seen: Sequence[Seen] | None = None) -> None:
    """Train, and write weights, card and curves to ``config.out``.

    Args:
        config: The options.
        seen: Views that :func:`see_views` returned for the same towers and data.

    Raises:
        ConnectionError: if the chat model that is to write attributes cannot be reached.
    """
    device = config.loop.join()
    data = open_regions(config.data, "train")
    parts = build_lmseg(
        config.clip, config.sam, config.shape, device=str(device), seed=config.loop.seed
    )
    parts.model.to(device)
    parts.clip.model.to(device).requires_grad_(False)
    trainer = Trainer(parts, data, config, seen)
    out = Path(config.out)
    seconds = optimise(
        parts.model, trainer.step, config.loop, out, recipe=config, rates={"weight": config.w_rate}
    )
    if rank() == 0:
        save_lmseg(parts, out, clip=config.clip, sam=config.sam)
        write_card(
            out,
            recipe="lmseg_coco" if isinstance(config, LmsegCocoRecipe) else "lmseg",
            config=config,
            seconds=seconds,
            data=f"{data.name}, {len(data)} images, label masks",
            mix=round(float(parts.model.mix.detach()), 4),
            towers={"clip": fingerprint(config.clip), "sam": fingerprint(config.sam)},
            attributes=trainer.attributes,
        )


def train_coco(config: LmsegCocoRecipe) -> None:
    """Train at the published size on COCO-Stuff."""
    train(config)


def see_views(config: LmsegRecipe) -> Sequence[Seen]:
    """Return the ``config.views`` views of a run as the towers see them."""
    device = config.loop.join()
    data = open_regions(config.data, "train")
    parts = build_lmseg(config.clip, config.sam, config.shape, device=str(device))
    parts.clip.model.to(device).requires_grad_(False)
    parts.model.to(device)
    return Trainer(parts, data, replace(config, prompts="plain")).kept


class Trainer:
    """Computes the losses of a step.

    Attributes:
        attributes: Who wrote about how many of the names, in words.
    """

    def __init__(
        self,
        parts: Parts,
        data: Dataset,
        config: LmsegRecipe,
        seen: Sequence[Seen] | None = None,
    ) -> None:
        """Draw and see the views that are kept, if any are.

        Attributes are complete before the first step: what is learnt must not depend on how fast
        a language model writes.

        Raises:
            ConnectionError: if the chat model that is to write them cannot be reached.
        """
        self.parts, self.data, self.config = parts, data, config
        self.device = next(parts.model.parameters()).device
        self.tower = show_tower(parts.clip.model.visual)  # type: ignore[arg-type]
        with first_alone():  # it asks, the others read its answers
            self.attributes = self._read_attributes()
        self.kept: Sequence[Seen] = seen or []
        if config.views and not self.kept:
            generator = torch.Generator().manual_seed(config.loop.seed)
            bar = tqdm(range(config.views), desc="see", disable=rank() > 0)
            self.kept = [self.see(*self.draw(generator)) for _ in bar]

    def _read_attributes(self) -> str:
        config = self.config
        enrichment = build_enrichment(config.enrichment, device=str(self.device))
        enriched = config.prompts == "enriched"
        self.text = SentenceText(self.parts.clip, enrichment, enriched=enriched)
        if not enriched:
            return "none: one plain sentence"
        names = [self.name(k) for k in range(len(self.data.classes))]
        if config.synonyms:
            names += [s for name in self.data.classes for s in self.data.synonyms.get(name, ())]
        enrichment.complete(names)
        missing = enrichment.unknown(names)
        if len(missing) == len(set(names)):
            logger.warning("prompts: %s", WITHOUT_ATTRIBUTES)
            return "none were written: the sentences name the groups only"
        if missing:
            logger.warning(
                "prompts: nothing is written about %d of %d names: %s%s", len(missing),
                len(set(names)), ", ".join(missing[:20]), ", ..." if len(missing) > 20 else "",
            )  # fmt: skip
        known = len(set(names)) - len(missing)
        return f"of {known} of {len(set(names))} names, by {enrichment.writer}"

    def step(self, number: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the losses of one step; every process takes its part of the batch."""
        config = self.config
        count, mine = share(config.loop.batch)
        if self.kept:
            picks = torch.randint(len(self.kept), (count,), generator=generator)[mine]
            batch = [self.kept[i] for i in picks.tolist()]
        else:
            seeds = torch.randint(2**31, (count,), generator=generator)[mine].tolist()
            batch = [self.see(*self.draw(torch.Generator().manual_seed(s))) for s in seeds]
        stacked = {
            key: torch.stack([getattr(own, key) for own in batch]).to(self.device)
            for key in ("features", "early", "middle", "neck", "labels")
        }
        labels, chosen = self.choose(stacked["labels"], generator)
        text = self.text.embed(self.names(chosen, generator))
        dense = Dense(*(stacked[key].float() for key in ("features", "early", "middle")))
        with config.loop.autocast():
            logits = self.parts.model(
                dense, stacked["neck"].float(), torch.from_numpy(text).to(self.device)
            )
        loss = name_loss(logits, labels, compare=config.compare)
        return {"loss": loss, "w": self.parts.model.mix.detach()}

    def choose(self, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, list[int]]:
        """Choose the classes of a step, some of them in view and some not.

        In use most names are not in view, and only a step that holds such names teaches their
        maps to stay dark.

        Args:
            labels: Classes (B, h, w) int64, -1 where nobody knows.
            generator: Source of randomness.

        Returns:
            Labels (B, h, w) counted among the chosen classes, their number where another class
            is, -1 where nobody knows; and the chosen classes, ascending.
        """
        count = len(self.data.classes)
        most = min(self.config.names or count, count)
        order = torch.randperm(count, generator=generator).tolist()
        in_view = set(torch.unique(labels[labels >= 0]).tolist())
        shown = [k for k in order if k in in_view]
        absent = [k for k in order if k not in in_view]
        room = most - min(len(absent), round(ABSENT * most))
        chosen = sorted([*shown[:room], *absent, *shown[room:]][:most])
        table = torch.full((count + 1,), len(chosen), dtype=torch.int64)
        table[-1] = -1
        table[chosen] = torch.arange(len(chosen))
        return table.to(labels.device)[labels], chosen

    def names(self, chosen: list[int], generator: torch.Generator) -> list[str]:
        """Return what a step calls classes: now and then by a synonym."""
        names = [self.name(k) for k in chosen]
        synonyms = [self.data.synonyms.get(self.data.classes[k], ()) for k in chosen]
        return draw_names(names, synonyms, self.config.synonyms, generator)

    def name(self, k: int) -> str:
        """Return the word of a class."""
        return self.data.words[k] if len(self.data.words) > k else self.data.classes[k]

    def draw(self, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw a view: image (S, S, 3) uint8, labels (S, S) with 0 for void, 1..K."""
        index = int(torch.randint(len(self.data), (1,), generator=generator))
        sample = self.data[index]
        height, width = sample.labels.shape
        draws = torch.rand(7, generator=generator).tolist()
        low, high = self.config.scale
        share, short = low + draws[0] * (high - low), min(height, width)
        sides = [
            min(length, max(8, round(share * (length if self.config.stretch else short))))
            for length in (height, width)
        ]
        rows, columns = (
            slice(start := round(place * (length - side)), start + side)
            for place, length, side in zip(draws[1:3], (height, width), sides, strict=True)
        )
        image, labels = sample.image[rows, columns], sample.labels[rows, columns]
        if draws[3] < 0.5:
            image, labels = image[:, ::-1], labels[:, ::-1]
        size = (self.config.crop, self.config.crop)
        image = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
        labels = cv2.resize(
            np.ascontiguousarray(labels.astype(np.uint16)), size,
            interpolation=cv2.INTER_NEAREST_EXACT,
        )  # fmt: skip
        gain, shift = 0.7 + 0.6 * draws[4], 40 * (draws[5] - 0.5)
        jittered = np.clip((image.astype(np.float32) - 128) * gain + 128 + shift, 0, 255)
        return jittered.astype(np.uint8), labels

    @torch.no_grad()
    def see(self, image: np.ndarray, labels: np.ndarray) -> Seen:
        """Return a view as the towers see it; on the processor, in float16."""
        clip, neck = self.parts.clip, self.parts.neck
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float().to(self.device)
        dense = dense_features(
            self.tower, clip.normalise(pixels), readout=self.config.shape.readout
        )
        own = torch.zeros(8, 1, 1) if neck is None else neck.features(image)
        places = 4 * self.config.shape.grid
        small = cv2.resize(labels, (places, places), interpolation=cv2.INTER_NEAREST_EXACT).astype(
            np.int64
        )
        small[small == VOID] = 0
        return Seen(
            dense.features[0].half().cpu(),
            dense.early[0].half().cpu(),
            dense.middle[0].half().cpu(),
            own.half().cpu(),
            torch.from_numpy(small) - 1,
        )
