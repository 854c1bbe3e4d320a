"""A small CLIP on the robot cell: FISA's classifier before its adaptation.

It learns as CLIP does, from images and captions alone: squares of many sizes, cut out of the frozen
pyramid's maps, against captions of what they show. Nothing tells it where in a square a word is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ovseg_ros.config import Config, option
from ovseg_ros.models.conv_tower import STRIDE
from ovseg_ros.models.tokenizer import Tokenizer, train_tokenizer
from ovseg_ros.segmenters.fisa.clip import build_small, save_small
from ovseg_ros.segmenters.fisa.pyramid import LEVEL, PyramidPatches
from ovseg_ros.segmenters.fisa.towers import OpenClipTower
from ovseg_ros.segmenters.simzss.losses import caption_loss
from ovseg_ros.training.card import write_card
from ovseg_ros.training.data import data_option
from ovseg_ros.training.distributed import rank, world
from ovseg_ros.training.frames import Frames, load_frames
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.tower import load_tower, tower_card, tower_option


@dataclass(frozen=True, kw_only=True)
class ClipRecipe(Config):
    """Options of the recipe."""

    data: str = data_option()
    tower: str = tower_option()
    out: str = option("out/fisa_clip", "directory of the result", kind="place")
    height: int = option(360, "height in pixels that frames are scaled to", low=64)
    frames: int = option(0, "frames that are used; 0: all", low=0)
    patch: int = option(2, "side of a patch in places of the pyramid's map", low=1, high=4)
    squares: tuple[int, ...] = option((3, 4, 6, 9), "sides of the squares in patches", low=1)
    views: int = option(6, "squares of each side that are cut out of a frame", low=1)
    focus: float = option(0.8, "share of the squares that look at an instance", low=0.0, high=1.0)
    visible: float = option(
        0.03, "share of a square from which captions name a thing", low=0.0, high=1.0
    )
    width: int = option(192, "width of both towers", low=64)
    layers: int = option(4, "blocks of the vision tower", low=1)
    text_layers: int = option(3, "blocks of the text tower", low=1)
    vocab_size: int = option(1024, "size of the tokenizer", low=300)
    context_length: int = option(40, "tokens of a caption at most", low=8)
    loop: LoopConfig = LoopConfig(
        steps=800, batch=96, lr=1e-3, muon_lr=0.02, weight_decay=0.1, save_every=50
    )


@dataclass(frozen=True)
class Square:
    """A square of a frame's map: its first row and column in the map, and its captions."""

    frame: int
    row: int
    column: int
    captions: list[str]


def train(config: ClipRecipe) -> None:
    """Train and write the model, its card and its curves to ``config.out``."""
    torch.manual_seed(config.loop.seed)
    device = config.loop.join()
    frames = load_frames(config.data, "train", config.height)
    visual, weights = load_tower(Path(config.tower))
    tokenizer = train_tokenizer(
        [caption for captions in frames.captions for caption in captions],
        vocab_size=config.vocab_size,
        context_length=config.context_length,
    )
    shapes = {"model_cfg": _shapes(config, tokenizer), "pyramid": visual}
    model = build_small(shapes).to(device)
    patches = model.visual.conv1  # type: ignore[union-attr]
    assert isinstance(patches, PyramidPatches)
    patches.pyramid.load_tower(weights)
    maps = encode_frames(frames, patches, config, device)
    squares = cut_squares(frames, config, len(maps))
    mine = slice(rank() * config.loop.batch, (rank() + 1) * config.loop.batch)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        side = config.squares[int(torch.randint(len(config.squares), (1,), generator=generator))]
        pool = squares[side]
        count = world() * config.loop.batch
        chosen = [pool[i] for i in torch.randint(len(pool), (count,), generator=generator)[mine]]
        captions = [
            s.captions[int(torch.randint(len(s.captions), (1,), generator=generator))]
            for s in chosen
        ]
        edge = side * config.patch
        seen = torch.stack(
            [maps[s.frame, :, s.row : s.row + edge, s.column : s.column + edge] for s in chosen]
        )
        flip = torch.rand(len(seen), generator=generator) < 0.5
        seen = torch.where(flip[:, None, None, None], seen.flip(3), seen).to(device)
        with config.loop.autocast():
            images = encode_maps(model, seen.float())
            text = model.encode_text(tokenizer(captions).to(device))  # type: ignore[operator]
        scale = model.logit_scale
        assert isinstance(scale, nn.Parameter)
        return {"loss": caption_loss(images.float(), text.float(), scale)}

    out = Path(config.out)
    seconds = optimise(_Trained(model), step, config.loop, out, recipe=config)
    if rank() == 0:
        save_small(model.cpu(), shapes, tokenizer, out)
        write_card(
            out,
            recipe="fisa_clip",
            config=config,
            seconds=seconds,
            data=f"{frames.summary()}, captions of squares of {len(maps)} of them",
            tower=tower_card(Path(config.tower)),
        )


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


def _shapes(config: ClipRecipe, tokenizer: Tokenizer) -> dict[str, object]:
    patch = STRIDE * config.patch
    return {
        "embed_dim": config.width,
        "vision_cfg": {
            "image_size": patch * max(config.squares),
            "patch_size": patch,
            "width": config.width,
            "layers": config.layers,
            "head_width": 48 if config.width % 48 == 0 else 32,
        },
        "text_cfg": {
            "context_length": config.context_length,
            "vocab_size": tokenizer.vocab_size,
            "width": config.width,
            "heads": config.width // 48 if config.width % 48 == 0 else config.width // 32,
            "layers": config.text_layers,
        },
    }


@torch.inference_mode()
def encode_frames(
    frames: Frames, patches: PyramidPatches, config: ClipRecipe, device: torch.device
) -> Tensor:
    """Return the pyramid's maps of whole frames, (N, D, h, w) bfloat16."""
    height, width = (side // 32 * 32 for side in frames.size_hw)
    count = min(config.frames or len(frames), len(frames))
    generator, found = torch.Generator(), []
    for index in tqdm(torch.arange(count).split(8), desc="encode frames"):
        views = frames.crop(index, frames.size_hw, generator, zoom=(1.0, 1.0))
        images = 255 * views.images[..., :height, :width].to(device)
        with config.loop.autocast():
            found.append(patches.pyramid(images)[LEVEL].bfloat16().cpu())
        patches.pyramid.forget()
    return torch.cat(found).clone()


def cut_squares(frames: Frames, config: ClipRecipe, count: int) -> dict[int, list[Square]]:
    """Return squares of the first ``count`` frames with their captions, by side in patches."""
    generator = torch.Generator().manual_seed(config.loop.seed)
    rows, columns = (side // 32 * 4 for side in frames.size_hw)
    found: dict[int, list[Square]] = {side: [] for side in config.squares}
    for frame in tqdm(range(count), desc="caption squares"):
        index = torch.tensor([frame])
        batch = frames.crop(index, frames.size_hw, generator, zoom=(1.0, 1.0))
        shown = batch.instances[0, ::STRIDE, ::STRIDE]
        places = [(shown == instance.id).nonzero() for instance in frames.visible[frame]]
        places = [pixels for pixels in places if len(pixels)]
        for side in config.squares:
            edge = min(side * config.patch, rows, columns)
            for _ in range(config.views):
                y, x, look, pick, place = torch.rand(5, generator=generator).tolist()
                y, x = y * rows, x * columns
                if places and look < config.focus:
                    pixels = places[int(pick * len(places))]
                    y, x = pixels[int(place * len(pixels))].tolist()
                row = min(max(0, round(y - edge / 2)), rows - edge)
                column = min(max(0, round(x - edge / 2)), columns - edge)
                down, across = (
                    slice(STRIDE * start, STRIDE * (start + edge)) for start in (row, column)
                )
                captions = frames.describe_part(batch, 0, down, across, config.visible)
                if captions:
                    found[side].append(Square(frame, row, column, captions))
    return found


def encode_maps(model: nn.Module, maps: Tensor) -> Tensor:
    """Return image vectors (B, D) of the pyramid's maps (B, C, h, w)."""
    tower = OpenClipTower(model.visual)
    patches = model.visual.conv1.read(maps)  # type: ignore[union-attr,operator]
    tokens = model.visual.transformer(tower.embed(patches))  # type: ignore[union-attr,operator]
    return F.normalize(tower.finish(tokens[:, 0]), dim=-1)
