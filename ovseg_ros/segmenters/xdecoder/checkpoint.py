"""Weights of X-Decoder: the authors' files, and the folders that our recipe writes.

An authors' file is one flat state dict. Its keys are renamed to ours; every parameter must be there
and have its shape, otherwise nothing is loaded. Keys that nobody knows are named in a warning.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ovseg_ros.models.checkpoints import read_checkpoint
from ovseg_ros.models.files import architecture, read_object, read_tensors, write_tensors
from ovseg_ros.models.maps import fuse_towers, own_state, with_towers
from ovseg_ros.models.tokenizer import ClipTokenizer, Tokenizer, load_tokenizer
from ovseg_ros.segmenters.xdecoder.architecture import Architecture
from ovseg_ros.segmenters.xdecoder.model import XDecoder
from ovseg_ros.whole_files import write_json

logger = logging.getLogger(__name__)

HEADS = 8
"""Attention heads of every published model; weights do not tell."""

_IGNORED = re.compile(
    r"criterion\.|backbone_proj$|(sem_seg_head\.predictor\.)?"
    r"(caping_embed$|pos_embed_caping\.|self_attn_mask$)"
)
"""Training's and captioning's own, which segmentation does not need."""

_HEAD, _PREDICTOR = r"^sem_seg_head\.pixel_decoder\.", r"^sem_seg_head\.predictor\."
_RENAMES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (_HEAD + r"transformer\.encoder\.layers\.", "pixel_decoder.encoder."),
        (_HEAD + r"adapter_([1-3])\.", lambda m: f"pixel_decoder.adapters.{int(m[1]) - 1}."),
        (_HEAD + r"layer_([1-4])\.", lambda m: f"pixel_decoder.layers.{int(m[1]) - 1}."),
        (_HEAD, "pixel_decoder."),
        (_PREDICTOR + r"lang_encoder\.lang_encoder\.", "text."),
        (_PREDICTOR + r"lang_encoder\.lang_proj$", "text.projection.weight"),
        (_PREDICTOR + r"lang_encoder\.logit_scale$", "logit_scale"),
        (
            _PREDICTOR + r"transformer_(self|cross)_attention_layers\.(\d+)\.",
            r"decoder.layers.\2.\1_attention.",
        ),
        (r"_attention\.(self_attn|multihead_attn)\.", "_attention.attention."),
        (_PREDICTOR + r"transformer_ffn_layers\.(\d+)\.", r"decoder.layers.\1.ffn."),
        (_PREDICTOR + r"class_embed$", "decoder.class_embed.weight"),
        (_PREDICTOR, "decoder."),
    )
)
_TRANSPOSED = ("decoder.class_embed.weight", "text.projection.weight")
"""The authors multiply by these from the right."""


@dataclass(frozen=True, kw_only=True)
class KeyReport:
    """What became of the keys of an authors' file.

    Attributes:
        loaded: Our keys that were found.
        transposed: Those of them that were transposed.
        ignored: Keys of the file that segmentation does not need.
        missing: Our keys that the file lacks.
        unexpected: Keys of the file that nobody knows, as they are written there.
        misshapen: Our keys with expected and found shape.
    """

    loaded: tuple[str, ...]
    transposed: tuple[str, ...]
    ignored: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __str__(self) -> str:
        """Return one line per kind of key that occurs."""
        lines = [f"{len(self.loaded)} tensors loaded, {len(self.transposed)} of them transposed"]
        for name in ("ignored", "missing", "unexpected", "misshapen"):
            keys = getattr(self, name)
            if keys:
                lines.append(f"{name}: {', '.join(keys[:8])}{', ...' if len(keys) > 8 else ''}")
        return "\n".join(lines)

    def check(self, name: str) -> None:
        """Raise if something is missing or misshapen; warn of what nobody knows.

        Raises:
            ValueError: with the whole report.
        """
        if self.missing or self.misshapen:
            raise ValueError(f"weights: {name} is no X-Decoder of ours; {self}")
        if self.unexpected:
            logger.warning("weights: %s: left out %s", name, ", ".join(self.unexpected))


class Converted(NamedTuple):
    """An authors' state dict under our keys.

    Attributes:
        state: Tensors by our key.
        ignored: Keys of the file that segmentation does not need.
        origin: The file's key of each of ours.
    """

    state: dict[str, Tensor]
    ignored: list[str]
    origin: dict[str, str]


def convert(official: Mapping[str, Tensor]) -> Converted:
    """Return an authors' state dict under our keys."""
    found = Converted({}, [], {})
    for name, value in official.items():
        if _IGNORED.match(name):
            found.ignored.append(name)
            continue
        key = name
        for pattern, ours in _RENAMES:
            key = pattern.sub(ours, key)
        found.origin[key] = name
        turn = key in _TRANSPOSED and value.ndim == 2
        found.state[key] = value.T.contiguous() if turn else value
    return found


def read_architecture(state: Mapping[str, Tensor]) -> Architecture:
    """Return the shapes of a published model from its converted state dict.

    Raises:
        ValueError: naming the first key that it needs and lacks.
    """

    def shape(key: str) -> torch.Size:
        if key not in state:
            raise ValueError(f"weights: expected an X-Decoder with {key}, it is not there")
        return state[key].shape

    def count(prefix: str) -> int:
        return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})

    width = shape("pixel_decoder.mask_features.weight")[0]
    text_width = shape("text.positional_embedding")[1]
    depthwise = "backbone.layers.0.blocks.0.dw1.weight" in state
    return Architecture(
        dim=shape("backbone.patch_embed.proj.weight")[0],
        depths=tuple(count(f"backbone.layers.{stage}.blocks.") for stage in range(4)),
        focal_levels=count("backbone.layers.0.blocks.0.modulation.focal_layers."),
        focal_window=shape("backbone.layers.0.blocks.0.modulation.focal_layers.0.0.weight")[-1],
        depthwise=depthwise,
        stem_padding=3 if depthwise else 2,
        queries=shape("decoder.query_feat.weight")[0],
        width=width,
        heads=HEADS,
        feedforward=shape("decoder.layers.0.ffn.linear1.weight")[0],
        encoder_layers=count("pixel_decoder.encoder."),
        decoder_layers=count("decoder.layers."),
        text_width=text_width,
        text_layers=count("text.resblocks."),
        text_heads=HEADS,
        context_length=shape("text.positional_embedding")[0],
        vocab_size=shape("text.token_embedding.weight")[0],
    )


def fit(model: XDecoder, found: Converted) -> KeyReport:
    """Return how a converted state dict fits a model; changes nothing."""
    state = found.state
    own = model.state_dict()
    both = own.keys() & state.keys()
    return KeyReport(
        loaded=tuple(sorted(both)),
        transposed=tuple(sorted(both & set(_TRANSPOSED))),
        ignored=tuple(sorted(found.ignored)),
        missing=tuple(sorted(own.keys() - state.keys())),
        unexpected=tuple(sorted(found.origin[key] for key in state.keys() - own.keys())),
        misshapen=tuple(
            f"{key} (expected {tuple(own[key].shape)}, got {tuple(state[key].shape)})"
            for key in sorted(both)
            if own[key].shape != state[key].shape
        ),
    )


def load_official(path: Path) -> tuple[XDecoder, KeyReport]:
    """Load an authors' file (``.pt``, or the same keys as ``.safetensors``).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no state dict, or lacks parts of an X-Decoder; with the report.
    """
    found = convert(read_checkpoint(path))
    with torch.device("meta"):  # parameters come from the file; random ones would cost seconds
        model = XDecoder(read_architecture(found.state))
    report = fit(model, found)
    report.check(str(path))
    kept = {key: found.state[key].float() for key in report.loaded}
    model.load_state_dict(kept, assign=True)
    return model.requires_grad_(False).eval(), report


def save_xdecoder(model: XDecoder, tokenizer: Tokenizer, directory: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` (float16) and the tokenizer to a directory."""
    write_json(directory / "config.json", model.config.to_json())
    write_tensors(directory / "model.safetensors", own_state(model))
    tokenizer.save(directory)


def load_xdecoder(path: Path) -> tuple[XDecoder, Tokenizer]:
    """Load a directory written by :func:`save_xdecoder`, or an authors' file.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: naming the keys if the weights do not fit.
    """
    if not path.is_dir():
        return load_official(path)[0], ClipTokenizer()
    raw = read_object(path / "config.json")
    state = read_tensors(path / "model.safetensors")
    with architecture(path / "config.json", "an X-Decoder"):
        model = XDecoder(Architecture.from_json(raw))
    state = with_towers(model, state)
    report = fit(model, Converted(state, [], {key: key for key in state}))
    report.check(str(path))
    model.load_state_dict({key: state[key] for key in report.loaded})
    shape = model.config
    tokenizer = load_tokenizer(path, ids=shape.vocab_size, length=shape.context_length)
    model.requires_grad_(False).eval()
    fuse_towers(model)
    return model, tokenizer
