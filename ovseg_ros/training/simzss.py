"""SimZSS on the robot cell: the text tower learns to meet a frozen vision tower (seed 003).

The vision tower is frozen, so its features are computed once (:class:`FeatureBank`) and the text
tower is trained on them: windows of the frames, with captions of what is in sight.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.simzss.model import Architecture, SimZSS, save_simzss
from ovseg_ros.segmenters.simzss.tokenizer import Tokenizer, train_tokenizer
from ovseg_ros.training.card import write_card
from ovseg_ros.training.concepts import ConceptBank, token_spans
from ovseg_ros.training.frames import Frames, load_frames
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.simzss_loss import Occurrences, caption_loss, concept_loss
from ovseg_ros.training.tower import load_tower


@dataclass(frozen=True, kw_only=True)
class SimZSSRecipe(Config):
    """Options of the recipe."""

    data: str = option("", "directory of the rendered robot cell")
    tower: str = option("out/pyramid", "directory of the frozen vision tower")
    out: str = option("out/simzss", "directory of the result")
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


@torch.inference_mode()
def encode_views(model: SimZSS, frames: Frames, config: SimZSSRecipe) -> FeatureBank:
    """Encode the windows of every frame once."""
    generator = torch.Generator().manual_seed(config.loop.seed)
    images, patches = [], []
    captions: list[list[str]] = []
    order = torch.arange(len(frames))
    for view in range(config.views):
        for index in tqdm(order.split(32), desc=f"encode view {view + 1}/{config.views}"):
            batch = frames.window(index, (config.window, config.window), generator)
            with torch.autocast("cpu", torch.bfloat16):
                first, grid = model.encode_image(frames.normalise(batch.images))
            images.append(first.float())
            patches.append(grid.flatten(1, 2).bfloat16())
            captions += frames.describe(batch)
    return FeatureBank(torch.cat(images), torch.cat(patches), captions)


def train(config: SimZSSRecipe) -> None:
    """Train the text tower and write the model, its card and its curves to ``config.out``."""
    torch.manual_seed(config.loop.seed)
    frames = load_frames(Path(config.data), "train", config.height)
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
    model.visual.requires_grad_(False).eval()
    bank = encode_views(model, frames, config)
    nouns = ConceptBank(frames.categories)
    painted = ConceptBank([f"{c} {name}" for c in frames.colours for name in frames.categories])

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = torch.randint(len(bank.images), (config.loop.batch,), generator=generator)
        captions = [
            _draw(bank.captions[i], generator)  # one of the view's captions
            for i in index
        ]
        pooled, tokens = model.encode_text(tokenizer(captions))
        patches = bank.patches[index].float()
        losses = {
            "caption": caption_loss(bank.images[index], pooled, model.logit_scale),
            "concept": concept_loss(
                patches,
                tokens,
                occurrences(captions, nouns, tokenizer),
                len(nouns.names),
                query_temperature=config.query_temperature,
            ),
            "attribute": concept_loss(
                patches,
                tokens,
                occurrences(captions, painted, tokenizer),
                len(painted.names),
                query_temperature=config.query_temperature,
            ),
        }
        total = (
            losses["caption"]
            + config.concept_weight * losses["concept"]
            + config.attribute_weight * losses["attribute"]
        )
        return {"loss": total, **losses}

    out = Path(config.out)
    trained = _Trained(model)
    seconds = optimise(trained, step, config.loop, out, recipe=config)
    save_simzss(model, tokenizer, out)
    write_card(out, recipe="simzss", config=config, seconds=seconds, data=frames.summary())


class _Trained(nn.Module):
    """The trained part of the model: checkpoints need not repeat the frozen tower."""

    def __init__(self, model: SimZSS) -> None:
        super().__init__()
        self.text, self.logit_scale = model.text, model.logit_scale


def occurrences(captions: list[str], bank: ConceptBank, tokenizer: Tokenizer) -> Occurrences:
    """Return every concept of the bank that the captions name."""
    image, label, span = [], [], []
    for row, caption in enumerate(captions):
        for concept, tokens in token_spans(bank.find(caption), tokenizer.offsets(caption)):
            image.append(row)
            label.append(concept)
            mask = torch.zeros(tokenizer.context_length)
            mask[tokens] = 1.0
            span.append(mask)
    empty = torch.zeros(0, tokenizer.context_length)
    return Occurrences(
        torch.tensor(image, dtype=torch.int64),
        torch.tensor(label, dtype=torch.int64),
        torch.stack(span) if span else empty,
    )


def _draw(items: list[str], generator: torch.Generator) -> str:
    return items[int(torch.randint(len(items), (1,), generator=generator))]
