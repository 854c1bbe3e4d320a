"""A small CLIP on the robot cell: FISA's classifier before its adaptation.

It learns as CLIP does, from captions: squares of many sizes against captions of what they show.
Nothing tells it where in a square a word is. The squares are not cut out: as FISA's mask tokens do,
a token for each of them rides along with the whole frame and looks at its patches, so that one pass
of the frame reads many captions, and what is learned is what inference will ask for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ovseg_ros.config import Config, option
from ovseg_ros.evaluation.datasets import evenly
from ovseg_ros.models.conv_tower import STRIDE
from ovseg_ros.models.tokenizer import Tokenizer, train_tokenizer
from ovseg_ros.robot_cell.captions import noun_phrase
from ovseg_ros.robot_cell.instances import Instance
from ovseg_ros.segmenters.fisa.checkpoint import BASELINE
from ovseg_ros.segmenters.fisa.clip import build_small, save_small
from ovseg_ros.segmenters.fisa.model import Classifier
from ovseg_ros.segmenters.fisa.pyramid import LEVEL, PyramidPatches
from ovseg_ros.segmenters.fisa.validation import (
    canvas_hw,
    name_accuracy,
    pad_frames,
)
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option, has_split
from ovseg_ros.training.distributed import gathered, rank, share
from ovseg_ros.training.frames import Batch, Frames, load_frames
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.tower import load_tower, tower_card, tower_option


@dataclass(frozen=True, kw_only=True)
class ClipRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    tower: str = tower_option()
    out: str = option("out/fisa_clip", "directory of the result", kind="place")
    height: int = option(360, "height in pixels that frames are scaled to", low=64)
    frames: int = option(
        1200, "frames that are used, spread over the split; their maps are kept; 0: all", low=0
    )
    patch: int = option(2, "side of a patch in places of the pyramid's map", low=1, high=4)
    squares: tuple[int, ...] = option((2, 3, 4, 6, 9), "sides of the squares in patches", low=1)
    views: int = option(6, "squares of each side that are captioned in a frame", low=1)
    tokens: int = option(24, "squares of a frame that a step reads", low=1)
    focus: float = option(0.8, "share of the squares that look at an instance", low=0.0, high=1.0)
    visible: float = option(
        0.05, "share of a square from which captions name a thing", low=0.0, high=1.0
    )
    short: float = option(
        0.5, "share of the captions that say only what covers most of a square", low=0.0, high=1.0
    )
    synonyms: float = option(
        0.3, "share of those that call it by a synonym, if there is one", low=0.0, high=1.0
    )
    width: int = option(192, "width of both towers", low=64)
    layers: int = option(4, "blocks of the vision tower", low=1)
    text_layers: int = option(3, "blocks of the text tower", low=1)
    vocab_size: int = option(1024, "size of the tokenizer", low=300)
    context_length: int = option(28, "tokens of a caption at most", low=8)
    loop: LoopConfig = LoopConfig(
        steps=600, batch=8, lr=1e-3, muon_lr=0.02, weight_decay=0.1, save_every=50
    )


@dataclass(frozen=True)
class Square:
    """A square of a frame.

    Attributes:
        row: Its first row of patches.
        column: Its first column.
        side: Its side in patches.
        captions: What it shows, in sentences.
        most: What covers most of it, if that has a name.
    """

    row: int
    column: int
    side: int
    captions: list[str]
    most: Instance | None


def train(config: ClipRecipe) -> None:
    """Train and write the model, its card and its curves to ``config.out``."""
    device = config.loop.join()
    frames = load_frames(config.data, "train", config.height)
    visual, weights = load_tower(Path(config.tower))
    names = [*frames.categories, *(word for own in frames.synonyms.values() for word in own)]
    tokenizer = train_tokenizer(
        [*(caption for captions in frames.captions for caption in captions), *names],
        vocab_size=config.vocab_size,
        context_length=config.context_length,
    )
    used = evenly(len(frames), config.frames)
    canvas = canvas_hw(frames)
    shapes = {"model_cfg": _shapes(config, tokenizer, canvas), "pyramid": visual}
    model = build_small(shapes).to(device)
    patches = model.visual.conv1  # type: ignore[union-attr]
    assert isinstance(patches, PyramidPatches)
    patches.pyramid.load_tower(weights)
    maps = encode_frames(frames, used, patches, config, device)
    squares = caption_squares(frames, used, config)
    reader = Classifier(model, BASELINE, config.width)
    count, mine = share(config.loop.batch)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        drawn = torch.randint(len(maps), (count,), generator=generator)
        flip = torch.rand(count, generator=generator) < 0.5
        chosen = [
            [squares[frame][i] for i in torch.randint(len(squares[frame]), (config.tokens,),
                                                      generator=generator).tolist()]
            for frame in drawn.tolist()
        ]  # fmt: skip
        said = [
            caption(square, config, frames.synonyms, generator) for own in chosen for square in own
        ]
        texts = list(dict.fromkeys(said))
        place = {text: number for number, text in enumerate(texts)}
        which = torch.tensor([place[text] for text in said])  # of all processes' squares
        seen = maps[drawn[mine]]
        seen = torch.where(flip[mine, None, None, None], seen.flip(3), seen).to(device)
        grid = (seen.shape[2] // config.patch, seen.shape[3] // config.patch)
        inside = torch.stack([_masks(own, grid) for own in chosen[mine]])
        inside = torch.where(flip[mine, None, None, None], inside.flip(3), inside).to(device)
        with config.loop.autocast():
            vectors, _ = reader.describe(patches.read(seen.float()), inside, maps.new_zeros(0))
            text = model.encode_text(tokenizer(texts).to(device))  # type: ignore[operator]
        scale = model.logit_scale
        assert isinstance(scale, nn.Parameter)
        return {"loss": pair_loss(vectors.flatten(0, 1), text.float(), which.to(device), scale)}

    out = Path(config.out)
    seconds = optimise(_Trained(model), step, config.loop, out, recipe=config)
    if rank() == 0:
        save_small(model.cpu(), shapes, tokenizer, out)
        alone = {}
        if has_split(config.data, "val"):
            with torch.inference_mode():
                text = F.normalize(model.encode_text(tokenizer(frames.categories)), dim=-1)  # type: ignore[operator]
            unseen = load_frames(config.data, "val", config.height)
            alone = {"val": name_accuracy(reader.eval(), text, unseen, patches.pyramid.mean)}
        write_card(
            out,
            recipe="fisa_clip",
            config=config,
            seconds=seconds,
            data=f"{frames.summary()}, captions of squares of {len(maps)} of them",
            tower=tower_card(Path(config.tower)),
            **alone,
        )


def pair_loss(images: Tensor, texts: Tensor, which: Tensor, logit_scale: Tensor) -> Tensor:
    """Return CLIP's symmetric InfoNCE where several images may have one text (arXiv 2204.03610).

    Equal captions are one text: a square of another mug is no negative of "a mug".

    Args:
        images: Unit vectors of this process's squares, (B, D).
        texts: Vectors of the different captions of all processes, (T, D), equal everywhere.
        which: Text of every square of all processes, (world * B,) int64.
        logit_scale: Logarithm of the inverse temperature; clamped to [0, ln 100].
    """
    scale = logit_scale.clamp(0, math.log(100)).exp()
    texts = F.normalize(texts, dim=-1)
    own = which[share(len(images))[1]]
    by_image = F.cross_entropy(scale * images @ texts.T, own)
    shares = F.one_hot(which, len(texts)).T.float()  # (T, world * B)
    shares = shares / shares.sum(1, keepdim=True)
    by_text = F.cross_entropy(scale * texts @ gathered(images).T, shares)
    return (by_image + by_text) / 2


def caption(
    square: Square,
    config: ClipRecipe,
    synonyms: Mapping[str, Sequence[str]],
    generator: torch.Generator,
) -> str:
    """Draw one of a square's captions, or the name of what covers most of it."""
    short, named, other, pick = torch.rand(4, generator=generator).tolist()
    most = square.most
    if most is None or short >= config.short:
        return square.captions[int(pick * len(square.captions))]
    if named < 0.5:
        return noun_phrase(most)
    others = synonyms.get(most.category, ())
    if others and other < config.synonyms:
        return others[int(pick * len(others))]
    return most.category


def _masks(squares: Sequence[Square], grid: tuple[int, int]) -> Tensor:
    """Return logits of squares on the grid of patches, (M, h, w)."""
    masks = torch.full((len(squares), *grid), -1.0)
    for mask, own in zip(masks, squares, strict=True):
        mask[own.row : own.row + own.side, own.column : own.column + own.side] = 1.0
    return masks


class _Trained(nn.Module):
    """What is trained: checkpoints need not repeat the frozen pyramid."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        visual = model.visual
        self.project = visual.conv1.project  # type: ignore[union-attr]
        self.blocks = visual.transformer  # type: ignore[union-attr]
        rest = {
            name: parameter
            for name, parameter in model.named_parameters()
            if not name.startswith(("visual.conv1.", "visual.transformer."))
        }
        self.rest = nn.ParameterDict({key.replace(".", "/"): v for key, v in rest.items()})


def _shapes(config: ClipRecipe, tokenizer: Tokenizer, canvas: tuple[int, int]) -> dict[str, object]:
    heads = config.width // 48 if config.width % 48 == 0 else config.width // 32
    return {
        "embed_dim": config.width,
        "vision_cfg": {
            "image_size": list(canvas),
            "patch_size": STRIDE * config.patch,
            "width": config.width,
            "layers": config.layers,
            "head_width": config.width // heads,
        },
        "text_cfg": {
            "context_length": config.context_length,
            "vocab_size": tokenizer.vocab_size,
            "width": config.width,
            "heads": heads,
            "layers": config.text_layers,
        },
    }


@torch.inference_mode()
def encode_frames(
    frames: Frames,
    used: Sequence[int],
    patches: PyramidPatches,
    config: ClipRecipe,
    device: torch.device,
) -> Tensor:
    """Return the pyramid's maps of whole frames, padded as in inference, (N, D, h, w) bfloat16."""
    height, width = frames.size_hw
    canvas = canvas_hw(frames)
    generator, found = torch.Generator(), []
    mean = patches.pyramid.mean.to(device)
    for index in tqdm(torch.tensor(used).split(8), desc="encode frames", disable=rank() > 0):
        views = frames.crop(index, (height, width), generator, zoom=(1.0, 1.0))
        images = pad_frames(views.images.to(device), mean, canvas)
        with config.loop.autocast():
            found.append(patches.pyramid(images)[LEVEL].bfloat16().cpu())
        patches.pyramid.forget()
    return torch.cat(found).clone()


def caption_squares(frames: Frames, used: Sequence[int], config: ClipRecipe) -> list[list[Square]]:
    """Return squares of frames with their captions."""
    generator = torch.Generator().manual_seed(config.loop.seed)
    height, width = frames.size_hw
    pixels = STRIDE * config.patch
    rows, columns = -(-height // pixels), -(-width // pixels)
    found: list[list[Square]] = []
    for frame in tqdm(used, desc="caption squares", disable=rank() > 0):
        batch = frames.crop(torch.tensor([frame]), (height, width), generator, zoom=(1.0, 1.0))
        shown = batch.instances[0, ::STRIDE, ::STRIDE]
        places = [(shown == instance.id).nonzero() for instance in frames.visible[frame]]
        places = [place for place in places if len(place)]
        own: list[Square] = []
        for side in config.squares:
            for _ in range(config.views):
                y, x, look, pick, place = torch.rand(5, generator=generator).tolist()
                y, x = y * rows, x * columns
                if places and look < config.focus:
                    chosen = places[int(pick * len(places))]
                    y, x = (chosen[int(place * len(chosen))] / config.patch).tolist()
                row = min(max(0, round(y - side / 2)), max(0, rows - side))
                column = min(max(0, round(x - side / 2)), max(0, columns - side))
                down, across = (
                    slice(pixels * start, pixels * (start + side)) for start in (row, column)
                )
                said = frames.describe_part(batch, 0, down, across, config.visible)
                if said:
                    own.append(Square(row, column, side, said, _most(frames, batch, down, across)))
        found.append(own or [Square(0, 0, max(rows, columns), ["something"], None)])
    return found


def _most(frames: Frames, batch: Batch, rows: slice, columns: slice) -> Instance | None:
    """Return the instance that covers most of a part of a view, or None if it has no name."""
    counts = torch.bincount(batch.instances[0, rows, columns].flatten(), minlength=256)
    number = int(counts.argmax())
    return next((i for i in frames.visible[int(batch.index[0])] if i.id == number), None)
