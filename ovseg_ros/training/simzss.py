"""SimZSS, LiT or CLIP on the robot cell: the text tower learns to meet a vision tower (seed 003).

SimZSS and LiT keep the vision tower frozen, so its features are computed once
(:class:`FeatureBank`) and the text tower is trained on them: windows of the frames, with captions
of what is in sight. CLIP trains the vision tower too and sees new windows in every step. For
image-caption pairs of your own see ``simzss_pairs.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.simzss.model import Architecture, SimZSS, save_simzss
from ovseg_ros.segmenters.simzss.tokenizer import Tokenizer, train_tokenizer
from ovseg_ros.training.card import write_card
from ovseg_ros.training.concepts import ConceptBank
from ovseg_ros.training.distributed import rank, world
from ovseg_ros.training.frames import Frames, load_frames
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.simzss_step import OBJECTIVES, Reader, Trained, objective_losses
from ovseg_ros.training.tower import load_tower


@dataclass(frozen=True, kw_only=True)
class SimZSSRecipe(Config):
    """Options of the recipe."""

    data: str = option("", "directory of the rendered robot cell")
    tower: str = option("out/pyramid", "directory of the frozen vision tower")
    out: str = option("out/simzss", "directory of the result")
    objective: str = option(
        "simzss", "simzss; lit: without concept losses; clip: lit, but the tower learns too",
        choices=OBJECTIVES,
    )  # fmt: skip
    height: int = option(360, "height in pixels that frames are scaled to", low=64)
    window: int = option(192, "side of the windows in pixels", low=32)
    views: int = option(3, "windows of every frame", low=1)
    width: int = option(192, "width of the text tower", low=64)
    layers: int = option(3, "blocks of the text tower", low=1)
    vocab_size: int = option(1024, "size of the tokenizer", low=300)
    context_length: int = option(48, "tokens of a caption at most", low=8)
    concept_weight: float = option(1.0, "weight of the concept loss (published: 0.05)", low=0.0)
    attribute_weight: float = option(
        0.25, "weight of the same loss for coloured concepts such as 'red mug'", low=0.0
    )
    query_temperature: float = option(
        0.03,
        "temperature of the softmax over patches (published: 0.1, for DINOv2's features)",
        low=1e-3,
        high=10.0,
    )
    loop: LoopConfig = LoopConfig(steps=450, batch=64, lr=1.5e-3, weight_decay=0.2)

    def weights(self) -> dict[str, float]:
        """Return the weight of every concept loss by its name; none but for SimZSS."""
        if self.objective != "simzss":
            return {}
        return {"concept": self.concept_weight, "attribute": self.attribute_weight}


@dataclass(frozen=True)
class FeatureBank:
    """Features of the frozen tower and the captions that go with them.

    Attributes:
        images: Class tokens, (N, D) float32.
        patches: Patch tokens, (N, P, D) bfloat16.
        captions: For each of the N views its captions.
    """

    images: Tensor
    patches: Tensor
    captions: list[list[str]]


def train(config: SimZSSRecipe) -> None:
    """Train the text tower and write the model, its card and its curves to ``config.out``."""
    device = config.loop.join()
    torch.manual_seed(config.loop.seed)
    frames = load_frames(Path(config.data), "train", config.height)
    model, tokenizer = build(config, frames)
    model.to(device)
    reader = build_reader(frames, tokenizer)
    trained = Trained(model, config.objective)
    bank = None if config.objective == "clip" else encode_views(model, frames, config)
    mine = slice(rank() * config.loop.batch, (rank() + 1) * config.loop.batch)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        count = world() * config.loop.batch  # all processes draw all pairs, and take their part
        if bank is not None:
            index = torch.randint(len(bank.images), (count,), generator=generator)
            captions = [_draw(bank.captions[i], generator) for i in index][mine]
            images, patches = bank.images[index[mine]], bank.patches[index[mine]]
        else:
            images, patches, every = encode_windows(
                model, frames, config, frames.draw(count, generator)[mine], generator
            )
            captions = [_draw(captions, generator) for captions in every]
        return losses(model, reader, config, images, patches, captions)

    out = Path(config.out)
    seconds = optimise(trained, step, config.loop, out, recipe=config)
    if rank() == 0:
        save_simzss(model.cpu(), tokenizer, out)
        write_card(out, recipe="simzss", config=config, seconds=seconds, data=frames.summary())


def build(config: SimZSSRecipe, frames: Frames) -> tuple[SimZSS, Tokenizer]:
    """Return the model, its vision tower trained and its text tower random, and a tokenizer."""
    visual, weights = load_tower(Path(config.tower))
    tokenizer = train_tokenizer(
        [caption for captions in frames.captions for caption in captions],
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
        )
    )
    model.visual.trunk.load_state_dict(weights)
    return model, tokenizer


def build_reader(frames: Frames, tokenizer: Tokenizer) -> Reader:
    """Return a reader of captions that knows nouns and coloured nouns."""
    nouns = ConceptBank(frames.categories)
    painted = ConceptBank([f"{c} {name}" for c in frames.colours for name in frames.categories])
    return Reader(tokenizer, [nouns, painted])


@torch.no_grad()
def encode_views(model: SimZSS, frames: Frames, config: SimZSSRecipe) -> FeatureBank:
    """Encode the windows of every frame once."""
    generator = torch.Generator().manual_seed(config.loop.seed)
    images, patches = [], []
    captions: list[list[str]] = []
    order = torch.arange(len(frames))
    for view in range(config.views):
        for index in tqdm(order.split(32), desc=f"encode view {view + 1}/{config.views}"):
            first, grid, said = encode_windows(model, frames, config, index, generator)
            images.append(first.float())
            patches.append(grid.bfloat16())
            captions += said
    return FeatureBank(torch.cat(images), torch.cat(patches), captions)


def encode_windows(
    model: SimZSS,
    frames: Frames,
    config: SimZSSRecipe,
    index: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, list[list[str]]]:
    """Cut a window of every frame of ``index`` (B,) and encode it.

    Returns:
        Class tokens (B, D), patch tokens (B, P, D), and for each window its captions.
    """
    batch = frames.window(index, (config.window, config.window), generator)
    pixels = frames.normalise(batch.images.to(model.mean.device))
    with config.loop.autocast():
        first, grid = model.encode_image(pixels)
    return first, grid.flatten(1, 2), frames.describe(batch)


def losses(
    model: SimZSS,
    reader: Reader,
    config: SimZSSRecipe,
    images: Tensor,
    patches: Tensor,
    captions: list[str],
) -> dict[str, Tensor]:
    """Return the losses of a batch of class tokens (B, D), patches (B, P, D) and captions."""
    ids, found = reader(captions)
    return objective_losses(
        model,
        images,
        patches,
        ids,
        found,
        weights=config.weights(),
        sizes=[len(bank.names) for bank in reader.banks],
        query_temperature=config.query_temperature,
    )


def for_objective(config: SimZSSRecipe, objective: str, out: Path) -> SimZSSRecipe:
    """Return the recipe of another objective with the same steps on the same tower."""
    return replace(config, objective=objective, out=str(out))


def _draw(items: list[str], generator: torch.Generator) -> str:
    return items[int(torch.randint(len(items), (1,), generator=generator))]
