"""Similarity of whole images and names: CLIP, or the contrastive heads of a BLIP matcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.device import resolve_device
from ovseg_ros.pyramid import PyramidTower, load_pyramid
from ovseg_ros.segmenters.pnp_ovss.kinds import model_kind
from ovseg_ros.weights import resolve_weights

TEMPERATURE = 0.01
"""Divides cosine similarities before the softmax, as CLIP learnt it."""


class Scorer(ABC):
    """Embeds images and names in one space.

    Attributes:
        device: Where it runs.
        size: Side of its square images in pixels.
        opening: What stands before a name.
    """

    opening: str

    def __init__(self, model: Any, processor: Any, tower: PyramidTower | None = None) -> None:
        """Wrap a loaded model of transformers, what belongs to it, and what it looks through."""
        self._tower = tower
        self.model = model.eval().requires_grad_(False)
        self.device: torch.device = model.device
        self.tokenizer, images = processor.tokenizer, processor.image_processor
        self.size = int(model.config.vision_config.image_size)
        self._mean = torch.tensor(images.image_mean, device=self.device)[:, None, None]
        self._std = torch.tensor(images.image_std, device=self.device)[:, None, None]

    @abstractmethod
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Return image features (B, D) of normalised pixels (B, 3, S, S)."""

    @abstractmethod
    def encode_tokens(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return text features (N, D) of token ids and attention mask (N, L)."""

    def prepare(self, images: np.ndarray) -> Tensor:
        """Resize RGB images (B, H, W, 3) uint8 to the square; return (B, 3, S, S) in 0..1."""
        owned = np.require(images, requirements=["C", "W"])
        pixels = torch.from_numpy(owned).to(self.device).permute(0, 3, 1, 2).float() / 255
        size = (self.size, self.size)
        return F.interpolate(pixels, size=size, mode="bicubic", antialias=True).clamp(0, 1)

    @torch.no_grad()
    def images(self, pixels: Tensor) -> Tensor:
        """Return unit vectors (B, D) of images (B, 3, S, S) in 0..1."""
        pixels = (pixels - self._mean) / self._std
        if self._tower is not None:
            pixels = self._tower.draw(pixels)
        return F.normalize(self.encode_pixels(pixels).float(), dim=-1)

    @torch.no_grad()
    def names(self, names: Sequence[str]) -> Tensor:
        """Return unit vectors of names, (K, D)."""
        texts = [f"{self.opening} {name}" for name in names]
        found = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        ids, mask = found.input_ids.to(self.device), found.attention_mask.to(self.device)
        return F.normalize(self.encode_tokens(ids, mask).float(), dim=-1)


class ClipScorer(Scorer):
    """CLIP (``CLIPModel``)."""

    opening = "a photo of a"

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """See :class:`Scorer`."""
        return _features(self.model.get_image_features(pixel_values=pixels))

    def encode_tokens(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See :class:`Scorer`."""
        return _features(self.model.get_text_features(input_ids=ids, attention_mask=mask))


class BlipScorer(Scorer):
    """The contrastive heads of ``BlipForImageTextRetrieval``: no cross-attention takes part."""

    opening = "a picture of"

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """See :class:`Scorer`."""
        vision = self.model.vision_model
        states = vision(pixels.to(vision.dtype), interpolate_pos_encoding=True).last_hidden_state
        return self.model.vision_proj(states[:, 0].float())

    def encode_tokens(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See :class:`Scorer`."""
        states = self.model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.model.text_proj(states[:, 0])


def load_scorer(weights: str, *, device: str, tower: str = "") -> Scorer:
    """Load a scorer by folder or public name; its configuration says which kind it is.

    Args:
        weights: Folder, ``robot_cell/NAME`` or public name of a CLIP or a BLIP matcher.
        device: auto, cpu, cuda or cuda:N.
        tower: Folder or ``robot_cell/NAME`` of the SimZSS whose pyramid a BLIP looks through.

    Raises:
        FileNotFoundError: if the weights cannot be had.
        ValueError: if they are of another kind of model.
    """
    from transformers import (
        BlipForImageTextRetrieval,
        BlipProcessor,
        CLIPModel,
        CLIPProcessor,
    )

    kinds: dict[str, tuple[Any, Any, type[Scorer]]] = {
        "clip": (CLIPModel, CLIPProcessor, ClipScorer),
        "blip": (BlipForImageTextRetrieval, BlipProcessor, BlipScorer),
    }
    source, place = resolve_weights(weights), resolve_device(device)
    try:
        kind = model_kind(source, kinds)
        model_type, processor_type, scorer_type = kinds[kind]
        processor = processor_type.from_pretrained(source)
        model = model_type.from_pretrained(source, dtype=torch.float32).to(place)
    except OSError as error:
        raise FileNotFoundError(
            f"weights: expected a CLIP or BLIP, could not load {weights!r}: {error}"
        ) from error
    through = tower if kind == "blip" else ""
    pyramid = load_pyramid(Path(resolve_weights(through))).to(place) if through else None
    return scorer_type(model, processor, pyramid)


def _features(output: Any) -> Tensor:
    """Return projected features: transformers 5 wraps them, 4 did not."""
    return output if isinstance(output, Tensor) else output.pooler_output
