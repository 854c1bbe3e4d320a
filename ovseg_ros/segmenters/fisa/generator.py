"""Mask generators: transformers' Mask2Former and EoMT, of which only the masks are used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.models.files import read_object, read_tensors, write_tensors
from ovseg_ros.models.maps import load_own_state, own_state
from ovseg_ros.models.pretrained import load_pretrained
from ovseg_ros.models.weights import resolve_folder
from ovseg_ros.segmenters.fisa.pyramid import PyramidMaps
from ovseg_ros.whole_files import write_json

STRIDE = 32
"""Sides of what a generator sees are multiples of this."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_KINDS = ("mask2former", "eomt")
_FILE = "pyramid.json"


class MaskGenerator(nn.Module):
    """Images to mask logits and objectness; what the model calls its masks is never used.

    Attributes:
        model: A Mask2Former or EoMT of transformers.
        mean: Channel means in 0..255; what lies outside of an image is filled with it.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: Any,
        mean: tuple[float, ...] = _MEAN,
        std: tuple[float, ...] = _STD,
    ) -> None:
        """Wrap a model.

        Args:
            model: A Mask2Former or EoMT of transformers.
            mean: Channel means in 0..1 that it was trained with.
            std: Channel standard deviations.
        """
        super().__init__()
        self.model = model
        self.square: int = model.config.image_size if model.config.model_type == "eomt" else 0
        self.raw = any(isinstance(part, PyramidMaps) for part in model.modules())
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the mask logits of :meth:`propose`."""
        return self.propose(images)[0]

    def propose(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask logits (B, M, h, w) of images (B, 3, H, W) in 0..255, and objectness (B, M).

        H and W are multiples of 32, and the masks have stride 4 (EoMT: as its square gives).
        Objectness, in 0..1, is one minus the probability that the model gives to "no object".
        """
        pixels = images
        if not self.raw:
            pixels = ((images - self.mean) / self.std).to(next(self.parameters()).dtype)  # type: ignore[operator]
        masks, classes = self._in_square(pixels) if self.square else self._decode(pixels)
        return masks, 1 - classes.float().softmax(-1)[..., -1]

    def _decode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return Mask2Former's mask logits and class logits."""
        module = self.model.model.pixel_level_module
        maps = module.encoder(pixels).feature_maps
        # Deformable attention is not finite in half precision: its authors run it in float32 too.
        with torch.autocast(pixels.device.type, enabled=False):
            found = module.decoder([features.float() for features in maps])
            decoded = self.model.model.transformer_module(
                multi_scale_features=found.multi_scale_features,
                mask_features=found.mask_features,
                output_hidden_states=True,
            )
        queries = decoded.intermediate_hidden_states[-1].transpose(0, 1)  # (B, M, D)
        return decoded.masks_queries_logits[-1], self.model.class_predictor(queries)

    def lower(self, kind: torch.dtype) -> MaskGenerator:
        """Let the backbone, or all of an EoMT, run in other numbers; return itself."""
        if self.square:
            self.model.to(kind)
        else:
            self.model.model.pixel_level_module.encoder.to(kind)
        return self

    def _in_square(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Fit images into the square that EoMT was trained with, and cut the masks out of it."""
        height, width = pixels.shape[2:]
        scale = self.square / max(height, width)
        inner = max(1, round(height * scale)), max(1, round(width * scale))
        small = F.interpolate(pixels, size=inner, mode="bilinear", antialias=True)
        small = F.pad(small, (0, self.square - inner[1], 0, self.square - inner[0]))
        found = self.model(small)
        masks: Tensor = found.masks_queries_logits
        rows, columns = (max(1, round(side * masks.shape[2] / self.square)) for side in inner)
        return masks[..., :rows, :columns], found.class_queries_logits


def load_generator(name: str) -> MaskGenerator:
    """Load a mask generator: a folder or public name of transformers, or a small one of ours.

    Raises:
        FileNotFoundError: if the weights are not there, or are something else.
        ValueError: if they are damaged.
    """
    folder = Path(resolve_folder(name))
    config = read_object(folder / "config.json", option="generator")
    if (folder / _FILE).is_file():
        shape = read_object(folder / _FILE, option="generator")
        generator = MaskGenerator(build_small(config, shape["pyramid"]))
        path = folder / "model.safetensors"
        load_own_state(generator.model, read_tensors(path, option="generator"), path)
        return generator.eval()
    if config.get("model_type") not in _KINDS:
        raise FileNotFoundError(
            f"generator: expected a model of type {' or '.join(_KINDS)} in {folder}, "
            f"got {config.get('model_type')!r}"
        )
    from transformers import EomtForUniversalSegmentation, Mask2FormerForUniversalSegmentation

    kind: Any = (
        EomtForUniversalSegmentation
        if config["model_type"] == "eomt"
        else Mask2FormerForUniversalSegmentation
    )
    _, model = load_pretrained(
        name, "a mask generator", None, kind, device="cpu", dtype="float32", option="generator"
    )
    return MaskGenerator(model, *_statistics(folder)).eval()


def _statistics(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    path = folder / "preprocessor_config.json"
    found = read_object(path, option="generator") if path.is_file() else {}
    return tuple(found.get("image_mean", _MEAN)), tuple(found.get("image_std", _STD))


class _Maps(nn.Module):
    """A pyramid in the place of a backbone of transformers."""

    def __init__(self, pyramid: PyramidMaps) -> None:
        super().__init__()
        self.pyramid, self.channels = pyramid, pyramid.channels

    def forward(self, images: Tensor) -> Any:
        from transformers.modeling_outputs import BackboneOutput

        return BackboneOutput(feature_maps=tuple(self.pyramid(images)))


def build_small(config: dict[str, Any], pyramid: dict[str, Any]) -> Any:
    """Return transformers' Mask2Former on the robot cell's pyramid, with random weights.

    The pyramid's stride 8 map is that of its patches; all the rest is the published architecture.

    Args:
        config: Arguments of ``Mask2FormerConfig``, the backbone aside.
        pyramid: Arguments of :class:`~ovseg_ros.models.pyramid.PyramidTower`.
    """
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig
    from transformers.models.mask2former.modeling_mask2former import Mask2FormerPixelDecoder

    rest = {key: value for key, value in config.items() if key != "backbone_config"}
    stages = [f"stage{k}" for k in range(1, 5)]
    # Made and thrown away: transformers builds no Mask2Former without one.
    least = SwinConfig(  # type: ignore[call-arg]
        image_size=32, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, out_features=stages
    )
    settings = Mask2FormerConfig(**{**rest, "backbone_config": least})
    model = Mask2FormerForUniversalSegmentation(settings)
    encoder = _Maps(PyramidMaps(pyramid))
    module = model.model.pixel_level_module
    module.encoder = encoder
    module.decoder = Mask2FormerPixelDecoder(settings, feature_channels=encoder.channels)
    module.decoder.apply(model._init_weights)
    return model


def save_small(model: Any, pyramid: dict[str, Any], folder: Path) -> None:
    """Write what :func:`build_small` made: ``config.json``, ``pyramid.json`` and the weights."""
    settings = json.loads(model.config.to_json_string())
    settings.pop("backbone_config", None)
    write_json(folder / "config.json", settings)
    write_json(folder / _FILE, {"pyramid": pyramid})
    write_tensors(folder / "model.safetensors", own_state(model))
