"""SimZSS, LiT or CLIP on image-caption pairs, as published (arXiv 2406.16085).

A text tower with random first weights learns to meet DINOv2: whole captions meet class tokens
(CLIP's loss), and, for SimZSS, concepts meet patches. The defaults are the paper's for COCO
captions on 16 GPUs: 10 epochs of 400 000 pairs, 16 384 pairs per step. With several GPUs:

    torchrun --nproc-per-node=8 -m ovseg_ros.cli train simzss_pairs --data 'coco/{...}.tar'
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ovseg_ros.config import Config, option
from ovseg_ros.models.tokenizer import ClipTokenizer
from ovseg_ros.segmenters.simzss.convert import infer_vit
from ovseg_ros.segmenters.simzss.model import Architecture, SimZSS, save_simzss
from ovseg_ros.segmenters.simzss.step import OBJECTIVES, Reader, Trained, objective_losses
from ovseg_ros.training.card import write_card
from ovseg_ros.training.concepts import ChunkBank, count_concepts, read_concepts
from ovseg_ros.training.distributed import rank, world
from ovseg_ros.training.loop import LoopConfig, optimise
from ovseg_ros.training.pairs import Pairs, Views, load_views, open_pairs
from ovseg_ros.training.tower import load_tower


@dataclass(frozen=True, kw_only=True)
class PairsRecipe(Config):
    """Options of the recipe."""

    data: str = option(
        "",
        "tar shards by a pattern or their folder; a folder of pictures with captions; or what "
        "other recipes take (docs/own_images.md)",
        kind="place",
    )
    captions: str = option(
        "", "captions file in COCO's format, for a folder of pictures", kind="place"
    )
    out: str = option("out/simzss_pairs", "directory of the result", kind="place")
    objective: str = option(
        "simzss", "simzss; lit: without the concept loss; clip: lit, but the tower learns too",
        choices=OBJECTIVES,
    )  # fmt: skip
    tower: str = option(
        "vit_base_patch14_reg4_dinov2.lvd142m",
        "pretrained vision tower: a name of timm, or a directory of `ovseg train pyramid`",
        kind="weights",
    )
    denoiser: str = option(
        "", "file of a denoiser of its patches (DVT), which the ViT-B has", kind="place"
    )
    bank: str = option(
        "", "concept list, one name per line; empty: counted in the captions", kind="place"
    )
    bank_size: int = option(5000, "counted concepts at most", low=1)
    bank_minimum: int = option(10, "how often a counted concept is named", low=1)
    bank_captions: int = option(100_000, "captions that are counted", low=1)
    width: int = option(512, "width of the text tower (B: 512, S: 384, L: 768)", low=64)
    layers: int = option(12, "blocks of the text tower", low=1)
    size: int = option(224, "side of the views in pixels", low=14)
    scale: tuple[float, ...] = option((0.9, 1.0), "range of a crop's share of the picture")
    concept_weight: float = option(0.05, "weight of the concept loss", low=0.0)
    query_temperature: float = option(0.1, "temperature of the softmax over patches", low=1e-3)
    targets: str = option(
        "named",
        "what a concept is to be classified as: named (the poster), or nearest (the authors' code)",
        choices=("named", "nearest"),
    )
    as_released: bool = option(
        False, "concept loss of the authors' code, not of the poster (docs/as_released.md)"
    )
    lr_per_256: float = option(
        3e-5, "learning rate per 256 pairs of a step over all processes; 0: loop.lr", low=0.0
    )
    workers: int = option(
        6, "processes that read pictures, per training process", low=0, kind="run"
    )
    loop: LoopConfig = LoopConfig(
        steps=244, batch=1024, warmup=0.1, weight_decay=0.2, beta2=0.98, clip=0.0, save_every=50
    )

    def __post_init__(self) -> None:
        """Validate the range of crops."""
        super().__post_init__()
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale: expected two shares in (0, 1], rising, got {self.scale}")


def train(config: PairsRecipe) -> None:
    """Train and write the model, its concepts, card and curves to ``config.out``."""
    device = config.loop.join()
    out = Path(config.out)
    pairs = open_pairs(config.data, config.captions)
    concepts = concept_list(config, pairs)
    model, tokenizer = build(config)
    model.to(device)
    trained = Trained(model, config.objective)
    reader = Reader(tokenizer, [ChunkBank(concepts)])
    low, high = config.scale
    views = Views(pairs, size=config.size, scale=(low, high), seed=config.loop.seed)
    if config.lr_per_256:
        lr = config.lr_per_256 * config.loop.batch * world() / 256
        config = replace(config, loop=replace(config.loop, lr=lr))
    loader: list[Iterator[tuple[Tensor, list[str]]]] = []

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        if not loader:  # here the first step is known: a run may go on from a checkpoint
            loader.append(
                load_views(
                    views,
                    first=number,
                    steps=config.loop.steps,
                    batch=config.loop.batch,
                    rank=rank(),
                    world=world(),
                    workers=config.workers,
                )
            )
        images, captions = next(loader[0])  # (B, 3, H, W)
        ids, found = reader(captions)
        with config.loop.autocast():
            with torch.set_grad_enabled(config.objective == "clip"):
                first, grid = model.encode_image(images.to(device, non_blocking=True))
            return objective_losses(
                model,
                first,
                grid.flatten(1, 2),
                ids,
                found,
                weights={"concept": config.concept_weight} if config.objective == "simzss" else {},
                sizes=[len(concepts)],
                query_temperature=config.query_temperature,
                targets=config.targets,
                as_released=config.as_released,
            )

    seconds = optimise(trained, step, config.loop, out, recipe=config)
    if rank() == 0:
        save_simzss(model.cpu(), tokenizer, out)
        (out / "concepts.txt").write_text("\n".join(concepts) + "\n")
        write_card(
            out,
            recipe="simzss_pairs",
            config=config,
            seconds=seconds,
            data=f"{len(pairs)} pictures with captions",
            processes=world(),
            concepts=len(concepts),
        )


def build(config: PairsRecipe) -> tuple[SimZSS, ClipTokenizer]:
    """Return the model, its vision tower pretrained and its text tower random, and the tokenizer.

    Raises:
        FileNotFoundError: if the tower or the denoiser is not there.
        ValueError: if the tower's or the denoiser's weights do not fit.
    """
    tokenizer = ClipTokenizer()
    visual, weights = pretrained_tower(config.tower)
    denoiser = read_denoiser(Path(config.denoiser)) if config.denoiser else {}
    model = SimZSS(
        Architecture(
            visual=visual,
            text={
                "context_length": tokenizer.context_length,
                "vocab_size": tokenizer.vocab_size,
                "width": config.width,
                "heads": config.width // 64,
                "layers": config.layers,
            },
            denoiser=round(denoiser["pos_embed"].shape[1] ** 0.5) if denoiser else 0,
            image_hw=(config.size, config.size),
        )
    )
    model.visual.trunk.load_state_dict(weights)
    if denoiser:
        wanted = {key for key in model.visual.state_dict() if not key.startswith("vit.")}
        if wanted != set(denoiser):
            raise ValueError(f"denoiser: expected exactly {sorted(wanted)}, got {sorted(denoiser)}")
        model.visual.load_state_dict(denoiser, strict=False)
    return model, tokenizer


def pretrained_tower(name: str) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Return timm's arguments and the weights of a tower, by name or by directory.

    Raises:
        ValueError: if timm has no pretrained model of that name.
        ConnectionError: if it cannot be had.
    """
    if Path(name).is_dir():
        return load_tower(Path(name))
    import timm

    if name not in timm.list_pretrained():
        raise ValueError(f"tower: expected a directory or a pretrained ViT of timm, got {name!r}")
    try:
        vit = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises its transport's errors as they are
        raise ConnectionError(f"tower: {name} cannot be had ({error})") from None
    weights = vit.state_dict()
    return infer_vit(weights), weights


def read_denoiser(path: Path) -> dict[str, Tensor]:
    """Return the weights of a denoiser, as its authors publish them under ``denoiser``."""
    if not path.is_file():
        raise FileNotFoundError(f"denoiser: {path} is not there")
    state = torch.load(path, map_location="cpu", weights_only=True)
    weights: dict[str, Tensor] = {
        key: value
        for key, value in state.get("denoiser", state).items()
        if not key.startswith("vit.")
    }
    return weights


def concept_list(config: PairsRecipe, pairs: Pairs) -> list[str]:
    """Return the concepts: those of a file, or the most frequent nouns of the captions.

    Raises:
        ValueError: if the captions name none often enough.
    """
    if config.bank:
        return read_concepts(Path(config.bank))
    stride = max(1, len(pairs) // config.bank_captions)
    captions = (text for index in range(0, len(pairs), stride) for text in pairs.captions(index))
    concepts = count_concepts(captions, minimum=config.bank_minimum, limit=config.bank_size)
    if not concepts:
        raise ValueError(
            f"bank: no noun is named {config.bank_minimum} times in the captions; lower "
            "bank_minimum or name a file"
        )
    return concepts
