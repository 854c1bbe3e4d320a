"""FISA's training: a frozen generator proposes, CLIP's adaptation learns to name (SIMO).

The same recipe trains the small FISA on the robot cell and the published one on COCO panoptic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ovseg_ros.config import Config, option
from ovseg_ros.evaluation.datasets import Dataset
from ovseg_ros.segmenters.fisa.checkpoint import build_fisa, save_fisa
from ovseg_ros.segmenters.fisa.clip import Clip
from ovseg_ros.segmenters.fisa.config import Adaptation
from ovseg_ros.segmenters.fisa.losses import fisa_losses
from ovseg_ros.segmenters.fisa.model import Fisa
from ovseg_ros.segmenters.fisa.samples import PanopticViews, View
from ovseg_ros.segmenters.fisa.segmenter import OTHER
from ovseg_ros.segmenters.fisa.towers import show_tower
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option, draw_names, open_regions
from ovseg_ros.training.distributed import rank, share
from ovseg_ros.training.loop import LoopConfig, optimise


@dataclass(frozen=True, kw_only=True)
class FisaRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    out: str = option("out/fisa", "directory of the result", kind="place")
    generator: str = option("robot_cell/fisa_masks", "frozen mask generator", kind="weights")
    clip: str = option("robot_cell/fisa_clip", "CLIP that is adapted", kind="weights")
    adaptation: Adaptation = Adaptation()
    crop: tuple[int, ...] = option(
        (384, 480), "height and width of the views, multiples of 32 (published: 1024)", low=32
    )
    scale: tuple[float, ...] = option(
        (0.7, 1.5),
        "range of the jitter, 1 where the image just fits (published: 0.1 to 2)",
        low=0.05,
    )
    clip_side: int = option(0, "side of CLIP's square (published: 896); 0: the view", low=0)
    synonyms: float = option(
        0.3, "share of the names that a step calls by a synonym (published: 0)", low=0.0, high=1.0
    )
    points: int = option(3136, "points at which masks are compared (published: 12544)", low=16)
    views: int = option(
        400,
        "views that are drawn, proposed and kept before training, which saves the frozen parts' "
        "time; 0: new ones in every step (published)",
        low=0,
    )
    loop: LoopConfig = LoopConfig(
        steps=500, batch=4, lr=1e-3, warmup=0.05, weight_decay=0.05, clip=0.01
    )

    def __post_init__(self) -> None:
        """Validate sizes, and that kept views are those of frozen parts."""
        super().__post_init__()
        if len(self.crop) != 2 or any(side % 32 for side in self.crop):
            raise ValueError(f"crop: expected two multiples of 32, got {self.crop}")
        if len(self.scale) != 2 or self.scale[0] > self.scale[1]:
            raise ValueError(f"scale: expected the least and the largest, got {self.scale}")
        if self.views and "generator" in self.adaptation.tuned:
            raise ValueError("views: expected 0, a generator that learns proposes other masks")


@dataclass(frozen=True, kw_only=True)
class FisaCocoRecipe(FisaRecipe):
    """Options of the published recipe."""

    data: str = data_option("coco_panoptic")
    generator: str = option(
        "facebook/mask2former-swin-base-coco-panoptic", "frozen mask generator", kind="weights"
    )
    clip: str = option(
        "timm/vit_large_patch14_clip_336.openai", "CLIP that is adapted", kind="weights"
    )
    crop: tuple[int, ...] = option((1024, 1024), "height and width of the views", low=32)
    scale: tuple[float, ...] = option((0.1, 2.0), "range of the jitter", low=0.05)
    clip_side: int = option(896, "side of CLIP's square", low=0)
    synonyms: float = option(0.0, "share of the names called by a synonym", low=0.0, high=1.0)
    points: int = option(12544, "points at which masks are compared", low=16)
    views: int = option(0, "views that are drawn before training; 0: new ones in every step", low=0)
    loop: LoopConfig = LoopConfig(
        steps=25_000, batch=16, lr=1e-4, warmup=0.0, weight_decay=0.05, beta2=0.999, clip=0.01
    )


@dataclass(frozen=True)
class Proposed:
    """A view with what the frozen parts say of it.

    Attributes:
        view: The view.
        patches: CLIP's patches, (C, h, w) float16.
        masks: Mask logits of the proposals, (Q, h, w) float16.
    """

    view: View
    patches: Tensor
    masks: Tensor


def train(config: FisaRecipe) -> None:
    """Train the adaptation and write it, its card and its curves to ``config.out``."""
    adapt(config)


def adapt(config: FisaRecipe, kept: list[Proposed] | None = None) -> list[Proposed]:
    """Train as :func:`train` does, and return the views that were kept.

    Args:
        config: The recipe.
        kept: Views of a recipe that differs in its adaptation only, whose frozen parts are the
            same; drawn anew by default.
    """
    device = config.loop.join()
    data = open_regions(config.data, "train")
    model, clip = build_fisa(config.generator, config.clip, config.adaptation)
    model = model.to(device)
    trainer = Trainer(model, clip, data, config)
    trained = Trained(model)
    out = Path(config.out)
    seconds = 0.0
    if kept:
        trainer.kept = kept
    if any(True for _ in trained.parameters()):  # of the baseline nothing is trained
        if not kept:
            trainer.keep()
        seconds = optimise(
            trained, trainer.step, config.loop, out, recipe=config, rates=trained.rates
        )
    if rank() == 0:
        save_fisa(model.cpu(), out, generator=config.generator, clip=config.clip)
        write_card(
            out,
            recipe="fisa_coco" if isinstance(config, FisaCocoRecipe) else "fisa",
            config=config,
            seconds=seconds,
            data=f"{data.name}, {len(data)} images, panoptic ground truth",
            trained=sum(p.numel() for p in trained.parameters()),
        )
    return trainer.kept


def train_coco(config: FisaCocoRecipe) -> None:
    """Train as published."""
    train(config)


class Trained(nn.Module):
    """What is trained: checkpoints need not repeat frozen towers.

    Attributes:
        rates: Learning rates relative to the recipe's: a tenth for a pretrained generator.
    """

    def __init__(self, model: Fisa) -> None:
        """Take what the adaptation says."""
        super().__init__()
        own = {name.replace(".", "/"): p for name, p in model.trained().items()}
        self.own = nn.ParameterDict(own)
        self.rates = {"own.generator/": 0.1}


class Trainer:
    """Computes the losses of a step."""

    def __init__(self, model: Fisa, clip: Clip, data: Dataset, config: FisaRecipe) -> None:
        """Prepare to train; :meth:`keep` draws the views that are kept.

        Args:
            model: The model, on its device.
            clip: Its CLIP.
            data: The data set.
            config: The recipe.
        """
        self.model, self.clip, self.data, self.config = model, clip, data, config
        self.device = next(model.parameters()).device
        low, high = config.scale
        crop = config.crop[0], config.crop[1]
        self.views = PanopticViews(data, crop, (low, high))
        self.kept: list[Proposed] = []

    def keep(self) -> list[Proposed]:
        """Draw and propose the views that are kept, if any are, and return them."""
        generator = torch.Generator().manual_seed(self.config.loop.seed)
        for _ in tqdm(range(self.config.views), desc="propose", disable=rank() > 0):
            self.kept += self.propose([self.views.draw(generator)])
        return self.kept

    def step(self, number: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the losses of one step; every process takes its part of the batch."""
        config = self.config
        count, mine = share(config.loop.batch)
        if self.kept:
            picks = torch.randint(len(self.kept), (count,), generator=generator)[mine]
            batch = [self.kept[i] for i in picks.tolist()]
        else:
            seeds = torch.randint(2**31, (count,), generator=generator)[mine].tolist()
            views = [self.views.draw(torch.Generator().manual_seed(seed)) for seed in seeds]
            batch = self.propose(views)
        text = self.text(self.names(generator))
        patches = torch.stack([own.patches for own in batch]).to(self.device).float()
        masks = torch.stack([own.masks for own in batch]).to(self.device).float()
        with config.loop.autocast():
            vectors, adapted = self.model.classifier.describe(patches, masks, text[:-1])
        return fisa_losses(
            self.model.classifier.match(vectors, text),
            adapted,
            [own.view.masks().to(self.device) for own in batch],
            [own.view.labels.to(self.device) for own in batch],
            points=config.points,
        )

    def propose(self, views: list[View]) -> list[Proposed]:
        """Let the generator propose masks, and CLIP make patches."""
        images = torch.stack([view.image for view in views]).to(self.device).float()
        learns = "generator" in self.config.adaptation.tuned
        side, seen = self.config.clip_side, images
        with torch.set_grad_enabled(learns), self.config.loop.autocast():
            masks = self.model.generator(images)
            if side:
                seen = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
            tower = show_tower(self.clip.model.visual)  # type: ignore[arg-type]
            patches = tower.patches(self.clip.normalise(seen)).detach()
        if not learns:
            patches, masks = patches.half(), masks.half()
        return [Proposed(*own) for own in zip(views, patches, masks, strict=True)]

    def names(self, generator: torch.Generator) -> list[str]:
        """Return what a step calls the classes: now and then by a synonym."""
        classes = self.data.classes
        synonyms = [self.data.synonyms.get(name, ()) for name in classes]
        return draw_names(classes, synonyms, self.config.synonyms, generator)

    def text(self, names: list[str]) -> Tensor:
        """Return unit text of the names and, last, of "other", (K + 1, D) float32."""
        learns = "text" in self.config.adaptation.tuned
        with torch.set_grad_enabled(learns):
            return F.normalize(self.clip.encode([*names, OTHER]).float(), dim=-1)


def with_adaptation(config: FisaRecipe, adaptation: Adaptation, out: Path) -> FisaRecipe:
    """Return the recipe of another adaptation, all else alike.

    No views are kept for a generator that learns, see :attr:`FisaRecipe.views`.
    """
    views = 0 if "generator" in adaptation.tuned else config.views
    return replace(config, adaptation=adaptation, views=views, out=str(out))
