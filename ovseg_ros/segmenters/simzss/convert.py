"""The authors' checkpoints (DINOv2 with a text tower) as weights of this package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ovseg_ros.folders import data_folder
from ovseg_ros.models.checkpoints import read_checkpoint
from ovseg_ros.models.tokenizer import ClipTokenizer
from ovseg_ros.segmenters.simzss.model import Architecture, SimZSS, save_simzss

HEAD = 64
"""Width of an attention head in every published tower."""

NAMES = {384: "simzss_s", 768: "simzss", 1024: "simzss_l"}
"""Name of the weights, and of the preset that runs them, by width of the visual tower."""

TRAINING_ONLY = (
    "classification_weights_ema",
    "beta_ema",
    "logit_scale_local",
    "text.attn_mask",
)
"""What checkpoints hold beside the two towers; inference does not need it."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a conversion did.

    Attributes:
        directory: Where the weights are.
        architecture: Shapes of the towers.
        used: Number of tensors taken over.
        ignored: Keys that were left out, all of them known to be needless.
    """

    directory: Path
    architecture: Architecture
    used: int
    ignored: tuple[str, ...]


def convert(state: Mapping[str, Tensor], directory: Path) -> Report:
    """Write the weights of a checkpoint as :func:`load_simzss` reads them.

    Args:
        state: The authors' tensors, by key, as ``read_checkpoint`` returns them.
        directory: Where to write.

    Raises:
        ValueError: naming all keys that are missing, unknown or of a wrong shape.
    """
    architecture = infer_architecture(state)
    ignored = {key for key in TRAINING_ONLY if key in state}
    if not architecture.denoiser and "visual.pos_embed" in state:
        ignored.add("visual.pos_embed")  # models without denoiser carry its unused positions
    kept = {key: value for key, value in state.items() if key not in ignored}
    with torch.device("meta"):  # shapes only: the weights come from the checkpoint
        model = SimZSS(architecture)
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in kept.items()}
    problems = [
        *(f"missing {key}" for key in wanted if key not in found),
        *(f"unknown {key}" for key in found if key not in wanted),
        *(
            f"{key} is {found[key]}, expected {shape}"
            for key, shape in wanted.items()
            if found.get(key, shape) != shape
        ),
    ]
    if problems:
        raise ValueError(f"checkpoint: {len(problems)} keys do not fit: {'; '.join(problems)}")
    model.load_state_dict(kept, assign=True)
    tokenizer = ClipTokenizer(architecture.text["context_length"])
    if tokenizer.vocab_size != architecture.text["vocab_size"]:
        raise ValueError(
            f"checkpoint: expected CLIP's {tokenizer.vocab_size} words in text.token_embedding, "
            f"got {architecture.text['vocab_size']}"
        )
    save_simzss(model, tokenizer, directory, dtype=torch.float32)
    return Report(
        directory=directory,
        architecture=architecture,
        used=len(kept),
        ignored=tuple(sorted(ignored)),
    )


def infer_architecture(state: Mapping[str, Tensor]) -> Architecture:
    """Read the shapes of both towers off a checkpoint.

    Raises:
        ValueError: if a tensor that tells a shape is missing.
    """
    text = "text."
    visual = infer_vit(state, "visual.vit.model.")
    vocabulary, width = _shape(state, f"{text}token_embedding.weight")
    denoiser = any(key.startswith("visual.denoiser.") for key in state)
    return Architecture(
        visual=visual,
        text={
            "context_length": _shape(state, f"{text}positional_embedding")[0],
            "vocab_size": vocabulary,
            "width": width,
            "heads": width // HEAD,
            "layers": _blocks(state, f"{text}transformer.resblocks."),
        },
        denoiser=math.isqrt(_shape(state, "visual.pos_embed")[1]) if denoiser else 0,
        image_hw=(16 * visual["patch_size"],) * 2,  # 224 for patches of 14
    )


def infer_vit(state: Mapping[str, Tensor], prefix: str = "") -> dict[str, Any]:
    """Read the arguments of timm's ``VisionTransformer`` off its weights.

    Raises:
        ValueError: if a tensor that tells a shape is missing.
    """
    patch = _shape(state, f"{prefix}patch_embed.proj.weight")  # (D, 3, p, p)
    table = _shape(state, f"{prefix}pos_embed")[1]
    alone = math.isqrt(table) ** 2 == table  # the class token has no position of its own
    side = math.isqrt(table if alone else table - 1)
    visual: dict[str, Any] = {
        "img_size": side * patch[2],
        "patch_size": patch[2],
        "embed_dim": patch[0],
        "depth": _blocks(state, f"{prefix}blocks."),
        "num_heads": patch[0] // HEAD,
        "no_embed_class": alone,
    }
    if f"{prefix}blocks.0.ls1.gamma" in state:
        visual["init_values"] = 1.0  # layer scale; the values are in the checkpoint
    if f"{prefix}reg_token" in state:
        visual["reg_tokens"] = _shape(state, f"{prefix}reg_token")[1]
    return visual


def _shape(state: Mapping[str, Tensor], key: str) -> tuple[int, ...]:
    if key not in state:
        raise ValueError(f"checkpoint: expected SimZSS as its authors publish it, {key} is missing")
    return tuple(state[key].shape)


def _blocks(state: Mapping[str, Tensor], prefix: str) -> int:
    numbers = {int(key[len(prefix) :].split(".")[0]) for key in state if key.startswith(prefix)}
    return max(numbers, default=-1) + 1


def convert_file(checkpoint: Path, out: Path | None, trust: bool) -> list[str]:
    """Convert an authors' file for ``ovseg convert``; return what was done as lines of text.

    Args:
        checkpoint: The file.
        out: Folder of the result; by default where the preset of the tower's width looks for it.
        trust: Read a file with more than tensors in it, which may run code.

    Raises:
        ValueError: if the file is no SimZSS, or no preset runs a tower of its width.
    """
    state = read_checkpoint(checkpoint, option="checkpoint", trust=trust)
    width = infer_architecture(state).visual["embed_dim"]
    if out is None and width not in NAMES:
        raise ValueError(f"--out: no preset runs a tower of width {width}, so name a folder")
    report = convert(state, out or data_folder("weights") / NAMES[width])
    visual = report.architecture.visual
    return [
        f"{report.used} tensors of {checkpoint.name} are in {report.directory}, in float32",
        f"visual: width {width}, {visual['depth']} blocks, patches of {visual['patch_size']}, "
        f"{visual.get('reg_tokens', 0)} registers, "
        f"{'with' if report.architecture.denoiser else 'no'} denoiser",
        f"ignored: {', '.join(report.ignored) or 'nothing'}",
    ]
