"""SimZSS, LiT or CLIP on the robot cell: a text tower meets a vision tower (arXiv 2406.16085).

SimZSS and LiT keep the vision tower frozen, so its features are computed once
(:class:`FeatureBank`) and the text tower is trained on them. CLIP trains the vision tower too and
sees new views in every step. For image-caption pairs of your own see ``pairs_recipe.py``.

A view is a small square of a frame with captions of what it shows. Our frames all show floor, wall,
table and arm together; captions of whole frames never tell these apart, and text trained on them
points anywhere among them (see ``crop``). Patches are encoded in the window around the square, as
they are in use; the class token comes from the square alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ovseg_ros.config import Config, option
from ovseg_ros.models.tokenizer import Tokenizer, train_tokenizer
from ovseg_ros.models.word_tower import WordTower
from ovseg_ros.segmenters.simzss.model import Architecture, SimZSS, save_simzss
from ovseg_ros.segmenters.simzss.step import OBJECTIVES, Reader, Trained, objective_losses
from ovseg_ros.training.card import write_card
from ovseg_ros.training.concepts import ConceptBank
from ovseg_ros.training.data import data_option
from ovseg_ros.training.distributed import rank, share
from ovseg_ros.training.frames import Frames, load_frames
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.tower import load_tower, tower_card, tower_option
from ovseg_ros.training.words import WordReader, real_words


@dataclass(frozen=True, kw_only=True)
class SimZSSRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    tower: str = tower_option()
    out: str = option("out/simzss", "directory of the result", kind="place")
    objective: str = option(
        "simzss", "simzss; lit: without concept losses; clip: lit, but the tower learns too",
        choices=OBJECTIVES,
    )  # fmt: skip
    height: int = option(360, "height in pixels that frames are scaled to", low=64)
    window: int = option(192, "side of the windows in pixels", low=32)
    views: int = option(2, "windows of every frame", low=1)
    crops: int = option(5, "crops of every window; the first is the whole window", low=1)
    crop: tuple[int, ...] = option(
        (3, 6), "shortest and longest side of the other crops in patches", low=1
    )
    patches: int = option(36, "patches of a view at most, drawn at random", low=1)
    token_size: int = option(96, "side in pixels that crops have for the class token", low=32)
    visible: float = option(
        0.015, "share of a crop from which captions name a thing", low=0.0, high=1.0
    )
    width: int = option(192, "width of the text tower", low=64)
    layers: int = option(3, "blocks of the text tower", low=1)
    words: int = option(
        160, "names of real things read in every step, image-free; only on a photo tower", low=0
    )
    word_weight: float = option(1.0, "weight of their loss", low=0.0)
    vocab_size: int = option(4096, "size of the tokenizer", low=300)
    context_length: int = option(48, "tokens of a caption at most", low=8)
    concept_weight: float = option(1.0, "weight of the concept loss (published: 0.05)", low=0.0)
    attribute_weight: float = option(
        0.25, "weight of the same loss for coloured concepts such as 'red mug'", low=0.0
    )
    query_temperature: float = option(
        0.1, "temperature of the softmax over patches, as published", low=1e-3, high=10.0
    )
    as_released: bool = option(
        False, "concept loss of the authors' code, not of the poster (docs/as_released.md)"
    )
    loop: LoopConfig = LoopConfig(steps=600, batch=128, lr=1.5e-3, muon_lr=0.02, weight_decay=0.2)

    def __post_init__(self) -> None:
        """Validate the range of crops."""
        super().__post_init__()
        if len(self.crop) != 2 or self.crop[0] > self.crop[1]:
            raise ValueError(f"crop: expected the shortest and the longest side, got {self.crop}")

    def weights(self) -> dict[str, float]:
        """Return the weight of every concept loss by its name; none but for SimZSS."""
        if self.objective != "simzss":
            return {}
        return {"concept": self.concept_weight, "attribute": self.attribute_weight}


@dataclass(frozen=True)
class FeatureBank:
    """Views: features of the tower, and the captions that go with them.

    Attributes:
        images: Class tokens, (N, D).
        patches: Patch tokens, (N, P, D).
        seen: Which patches there are, (N, P) bool.
        captions: For each of the N views its captions.
    """

    images: Tensor
    patches: Tensor
    seen: Tensor
    captions: list[list[str]]

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.captions)

    def pick(self, index: Tensor) -> FeatureBank:
        """Return some views by position (B,)."""
        chosen = [self.captions[i] for i in index]
        return FeatureBank(self.images[index], self.patches[index], self.seen[index], chosen)


def train(config: SimZSSRecipe) -> None:
    """Train the text tower and write the model, its card and its curves to ``config.out``."""
    device = config.loop.join()
    frames = load_frames(config.data, "train", config.height)
    model, tokenizer = build(config, frames)
    model.to(device)
    reader = build_reader(frames, tokenizer)
    trained = Trained(model, config.objective)
    words = read_words(config, model, tokenizer)
    bank = None if config.objective == "clip" else encode_views(model, frames, config)
    count, mine = share(config.loop.batch)  # all processes draw all views, and take their part

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        if bank is not None:
            views = bank.pick(torch.randint(len(bank), (count,), generator=generator)[mine])
        else:
            drawn = frames.draw(count, generator)[mine]
            views = captioned(encode_crops(model, frames, config, drawn, generator, crops=1))
        captions = [_draw(captions, generator) for captions in views.captions]
        found = losses(model, reader, config, views, captions)
        if words is not None:
            with config.loop.autocast():
                found["words"] = words.loss(model, config.words, generator)
            found["loss"] = found["loss"] + config.word_weight * found["words"]
        return found

    out = Path(config.out)
    seconds = optimise(trained, step, config.loop, out, recipe=config)
    if rank() == 0:
        save_simzss(model.cpu(), tokenizer, out)
        data, tower_facts = frames.summary(), tower_card(Path(config.tower))
        write_card(
            out, recipe="simzss", config=config, seconds=seconds, data=data, tower=tower_facts
        )


def build(config: SimZSSRecipe, frames: Frames) -> tuple[SimZSS, Tokenizer]:
    """Return the model, its vision tower trained and its text tower random, and a tokenizer."""
    visual, weights = load_tower(Path(config.tower))
    captions = [caption for captions in frames.captions for caption in captions]
    if config.words and "tower" in visual:
        captions = captions[:2000] + real_words(torch.eye(1000, 192)).texts()
    tokenizer = train_tokenizer(
        captions,
        vocab_size=config.vocab_size,
        context_length=config.context_length,
    )
    model = SimZSS(
        Architecture(
            visual=visual,
            text={
                "context_length": config.context_length,
                "vocab_size": tokenizer.vocab_size,
                "width": config.width,
                "heads": config.width // 64,
                "layers": config.layers,
            },
            image_hw=frames.size_hw,
            taught=frames.categories if "tower" in visual else (),
        )
    )
    if weights:
        model.visual.trunk.load_state_dict(weights)
    return model, tokenizer


def read_words(config: SimZSSRecipe, model: SimZSS, tokenizer: Tokenizer) -> WordReader | None:
    """Return a reader of real things' names, if the tower has seen them."""
    if not (config.words and isinstance(model.visual, WordTower)):
        return None
    return WordReader(real_words(model.visual.tower.prototypes()), tokenizer)


def build_reader(frames: Frames, tokenizer: Tokenizer) -> Reader:
    """Return a reader of captions that knows nouns and coloured nouns."""
    nouns = ConceptBank(frames.categories)
    if not frames.colours:
        return Reader(tokenizer, [nouns])
    painted = ConceptBank([f"{c} {name}" for c in frames.colours for name in frames.categories])
    return Reader(tokenizer, [nouns, painted])


@torch.no_grad()
def encode_views(model: SimZSS, frames: Frames, config: SimZSSRecipe) -> FeatureBank:
    """Encode the views of every frame once."""
    generator = torch.Generator().manual_seed(config.loop.seed)
    parts = []
    order = torch.arange(len(frames))
    for view in range(config.views):
        for index in tqdm(order.split(32), desc=f"encode view {view + 1}/{config.views}"):
            parts.append(encode_crops(model, frames, config, index, generator, crops=config.crops))
    bank = FeatureBank(
        torch.cat([part.images.float() for part in parts]),
        torch.cat([part.patches.bfloat16() for part in parts]),
        torch.cat([part.seen for part in parts]),
        [captions for part in parts for captions in part.captions],
    )
    return captioned(bank)


def captioned(views: FeatureBank) -> FeatureBank:
    """Return the views of which there is something to say: a missing wall has no name."""
    rows = [row for row, captions in enumerate(views.captions) if captions]
    return views.pick(torch.tensor(rows, dtype=torch.int64))


def encode_crops(
    model: SimZSS,
    frames: Frames,
    config: SimZSSRecipe,
    index: Tensor,
    generator: torch.Generator,
    *,
    crops: int,
) -> FeatureBank:
    """Cut a window of every frame of ``index`` (B,), and square crops out of it; encode them.

    Returns:
        ``crops`` views of every frame, (B * crops, ...). Of several the first is the whole window;
        a single one is that in one of ``config.crops`` cases.
    """
    device, patch = model.mean.device, model.visual.patch[0]
    batch = frames.window(index, (config.window, config.window), generator)
    pixels = frames.normalise(batch.images.to(device))
    with config.loop.autocast():
        _, grid = _encode(model, pixels)  # (B, h, w, D)
    side, (low, high) = grid.shape[1], config.crop
    cut, patches, captions = [], [], []
    for row in range(len(index)):
        for number in range(crops):
            whole = number == 0 if crops > 1 else _draw_int(0, config.crops - 1, generator) == 0
            edge = side if whole else min(side, _draw_int(low, high, generator))
            y, x = (_draw_int(0, side - edge, generator) for _ in range(2))
            inside = grid[row, y : y + edge, x : x + edge].flatten(0, 1)
            kept = torch.randperm(len(inside), generator=generator)[: config.patches]
            patches.append(inside[kept])
            rows, columns = (slice(patch * k, patch * (k + edge)) for k in (y, x))
            square = pixels[row : row + 1, :, rows, columns]
            size = (config.token_size, config.token_size)
            cut.append(F.interpolate(square, size=size, mode="bilinear", antialias=True))
            captions.append(frames.describe_part(batch, row, rows, columns, config.visible))
    with config.loop.autocast():
        images, _ = _encode(model, torch.cat(cut))
    counts = torch.tensor([len(found) for found in patches], device=device)
    seen = torch.arange(config.patches, device=device) < counts[:, None]
    padded = [F.pad(found, (0, 0, 0, config.patches - len(found))) for found in patches]
    return FeatureBank(images, torch.stack(padded), seen, captions)


def _encode(model: SimZSS, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tokens that captions of the cell are learned on."""
    first, patches = model.encode_image(pixels)
    if isinstance(model.visual, WordTower):
        return model.visual.cell_half(first), model.visual.cell_half(patches)
    return first, patches


def losses(
    model: SimZSS,
    reader: Reader,
    config: SimZSSRecipe,
    views: FeatureBank,
    captions: list[str],
) -> dict[str, Tensor]:
    """Return the losses of a batch of views with one caption each."""
    ids, found = reader(captions)
    with config.loop.autocast():
        return objective_losses(
            model,
            views.images,
            views.patches,
            ids,
            found,
            seen=views.seen,
            weights=config.weights(),
            sizes=[len(bank.names) for bank in reader.banks],
            query_temperature=config.query_temperature,
            as_released=config.as_released,
        )


def for_objective(config: SimZSSRecipe, objective: str, out: Path) -> SimZSSRecipe:
    """Return the recipe of another objective with the same steps on the same tower."""
    return replace(config, objective=objective, out=str(out))


def _draw(items: list[str], generator: torch.Generator) -> str:
    return items[int(torch.randint(len(items), (1,), generator=generator))]


def _draw_int(low: int, high: int, generator: torch.Generator) -> int:
    """Return a number from low to high, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=generator))
