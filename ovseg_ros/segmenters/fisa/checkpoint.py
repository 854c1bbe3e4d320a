"""Weights of an adaptation: what was trained, and which models it was trained with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ovseg_ros.config import from_mapping
from ovseg_ros.models.files import halves, read_object, read_tensors, write_tensors
from ovseg_ros.models.maps import fuse_towers
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.segmenters.fisa.clip import Clip, load_clip, renewed
from ovseg_ros.segmenters.fisa.config import Adaptation
from ovseg_ros.segmenters.fisa.generator import load_generator
from ovseg_ros.segmenters.fisa.model import Classifier, Fisa
from ovseg_ros.segmenters.fisa.pyramid import share
from ovseg_ros.whole_files import write_json

BASELINE = Adaptation(seve=False, query="none", adapter=0)
"""Nothing is added: a frozen generator and a frozen CLIP with mask attention."""


def build_fisa(generator: str, clip: str, adaptation: Adaptation) -> tuple[Fisa, Clip]:
    """Load generator and CLIP, and add an untrained adaptation.

    Raises:
        FileNotFoundError: if weights are missing.
        ValueError: if they are damaged.
    """
    masks, names = load_generator(generator), load_clip(clip)
    if "generator" not in adaptation.tuned and "clip" not in adaptation.tuned:
        share(masks, names.model)
    fuse_towers(masks)
    fuse_towers(names.model)
    model = Fisa(masks, Classifier(names.model, adaptation, names.width))
    return model.eval(), names


def load_fisa(weights: str, generator: str, clip: str) -> tuple[Fisa, Clip]:
    """Load generator, CLIP and an adaptation that :func:`save_fisa` wrote.

    Args:
        weights: The adaptation's folder; empty: the baseline.
        generator: The mask generator.
        clip: The mask classifier.

    Raises:
        FileNotFoundError: if weights are missing.
        ValueError: if they are damaged, or belong to models of other shapes.
    """
    if not weights:
        return build_fisa(generator, clip, BASELINE)
    folder = Path(resolve_weights(weights))
    config = read_object(folder / "config.json")
    if "adaptation" not in config:
        raise ValueError(f"weights: {folder / 'config.json'}: expected those of `ovseg train fisa`")
    try:
        adaptation = from_mapping(Adaptation, config["adaptation"])
    except ValueError as error:
        raise ValueError(f"weights: {folder / 'config.json'}: {error}") from None
    tensors = read_tensors(folder / "model.safetensors")
    model, names = build_fisa(generator, clip, adaptation)
    wanted = model.trained()
    wrong = sorted(
        {*wanted} ^ {*tensors}
        | {k for k in wanted.keys() & tensors.keys() if wanted[k].shape != tensors[k].shape}
    )
    if wrong:
        made_with = f"{config.get('generator')} and {config.get('clip')}"
        raise ValueError(
            f"weights: {folder} was trained with {made_with}, and does not fit {generator} and "
            f"{clip}: {len(wrong)} tensors, such as {', '.join(wrong[:3])}"
        )
    for name, parameter in wanted.items():
        parameter.data.copy_(tensors[name])
    if "text" in adaptation.tuned:
        names = renewed(names)
    return model, names


def save_fisa(model: Fisa, out: Path, *, generator: str, clip: str) -> None:
    """Write ``config.json`` and what was trained, in float16."""
    adaptation = asdict(model.classifier.config)
    write_json(
        out / "config.json", {"adaptation": adaptation, "generator": generator, "clip": clip}
    )
    write_tensors(out / "model.safetensors", halves(model.trained()))
