"""What was trained of an LMSeg, and the towers it was trained with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ovseg_ros.config import from_mapping
from ovseg_ros.models.files import halves, load_state, read_object, read_tensors, write_tensors
from ovseg_ros.models.sam import Neck, load_neck
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.segmenters.fisa.clip import Clip, load_clip
from ovseg_ros.segmenters.fisa.towers import show_tower
from ovseg_ros.segmenters.lmseg.config import Shape
from ovseg_ros.segmenters.lmseg.model import Lmseg
from ovseg_ros.whole_files import write_json


@dataclass(frozen=True)
class Parts:
    """An LMSeg and its frozen towers.

    Attributes:
        model: What is trained.
        clip: The CLIP.
        neck: segment-anything's image encoder; None where its features take no part.
    """

    model: Lmseg
    clip: Clip
    neck: Neck | None


def build_lmseg(
    clip: str, sam: str, shape: Shape, *, device: str = "cpu", seed: int | None = None
) -> Parts:
    """Load the towers and add untrained parts.

    Args:
        clip: A CLIP of open_clip, or a small one.
        sam: segment-anything; not loaded where ``shape.features`` is ``clip``.
        shape: Sizes and switches.
        device: Where segment-anything runs.
        seed: Of the untrained parts, whatever else was built before; None: as torch goes on.

    Raises:
        FileNotFoundError: if weights are missing.
        ValueError: if they are damaged.
    """
    towers = load_clip(clip)
    neck = None if shape.features == "clip" else load_neck(sam, device=device)
    width = show_tower(towers.model.visual).width  # type: ignore[arg-type]
    if seed is not None:
        torch.manual_seed(seed)
    channels = neck.channels if neck is not None else 8
    return Parts(Lmseg(shape, space=towers.width, clip=width, sam=channels), towers, neck)


def save_lmseg(parts: Parts, out: Path, *, clip: str, sam: str) -> None:
    """Write ``config.json`` and the weights in float16."""
    write_json(out / "config.json", {"shape": asdict(parts.model.shape), "clip": clip, "sam": sam})
    write_tensors(out / "model.safetensors", halves(parts.model.state_dict()))


def load_lmseg(weights: str, *, clip: str = "", sam: str = "", device: str = "cpu") -> Parts:
    """Load an LMSeg.

    Args:
        weights: Folder of :func:`save_lmseg`, ``robot_cell/NAME`` or ``trained/NAME``.
        clip: Another place of its CLIP; empty: where it was.
        sam: Another place of its segment-anything.
        device: Where segment-anything runs.

    Raises:
        FileNotFoundError: if weights are missing.
        ValueError: if they are damaged or do not fit the towers.
    """
    folder = Path(resolve_weights(weights))
    config = read_object(folder / "config.json")
    if "shape" not in config:
        raise ValueError(
            f"weights: {folder / 'config.json'}: expected those of `ovseg train lmseg`"
        )
    try:
        shape = from_mapping(Shape, config["shape"])
    except ValueError as error:
        raise ValueError(f"weights: {folder / 'config.json'}: {error}") from None
    parts = build_lmseg(clip or config["clip"], sam or config["sam"], shape, device=device)
    path = folder / "model.safetensors"
    load_state(parts.model, read_tensors(path), path)
    return parts
