"""Similarity of whole images and names: CLIP, a BLIP's contrastive heads, or a SimZSS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.models.pretrained import load_pretrained
from ovseg_ros.models.weights import resolve_folder
from ovseg_ros.segmenters.pnp_ovss.matchers import model_kind, square
from ovseg_ros.segmenters.simzss.config import SimZSSConfig
from ovseg_ros.segmenters.simzss.model import is_simzss
from ovseg_ros.segmenters.simzss.segmenter import SimZSSSegmenter

TEMPERATURE = 0.01
"""Divides cosine similarities before the softmax, as CLIP learnt it."""


class Scorer(Protocol):
    """Embeds images and names in one space.

    Attributes:
        device: Where it runs.
        size: Side of its square images in pixels.
    """

    device: torch.device
    size: int

    def prepare(self, images: np.ndarray) -> Tensor:
        """Resize RGB images (B, H, W, 3) uint8 to the square; return (B, 3, S, S) in 0..1."""
        ...

    def images(self, pixels: Tensor) -> Tensor:
        """Return unit vectors (B, D) of images (B, 3, S, S) in 0..1."""
        ...

    def names(self, names: Sequence[str]) -> Tensor:
        """Return unit vectors of names, (K, D)."""
        ...


class ContrastiveScorer(ABC):
    """A :class:`Scorer` with two encoders of transformers.

    Attributes:
        opening: What stands before a name.
    """

    opening: str

    def __init__(self, model: Any, processor: Any) -> None:
        """Wrap a loaded model of transformers and what belongs to it."""
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
        """See :class:`Scorer`."""
        return square(images, self.size, self.device)

    @torch.no_grad()
    def images(self, pixels: Tensor) -> Tensor:
        """See :class:`Scorer`."""
        pixels = (pixels - self._mean) / self._std
        return F.normalize(self.encode_pixels(pixels).float(), dim=-1)

    @torch.no_grad()
    def names(self, names: Sequence[str]) -> Tensor:
        """See :class:`Scorer`."""
        texts = [f"{self.opening} {name}".strip() for name in names]
        found = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        ids, mask = found.input_ids.to(self.device), found.attention_mask.to(self.device)
        return F.normalize(self.encode_tokens(ids, mask).float(), dim=-1)


class ClipScorer(ContrastiveScorer):
    """CLIP (``CLIPModel``)."""

    opening = "a photo of a"

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """See :class:`ContrastiveScorer`."""
        return _features(self.model.get_image_features(pixel_values=pixels))

    def encode_tokens(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See :class:`ContrastiveScorer`."""
        return _features(self.model.get_text_features(input_ids=ids, attention_mask=mask))


class BlipScorer(ContrastiveScorer):
    """The contrastive heads of ``BlipForImageTextRetrieval``: no cross-attention takes part."""

    opening = "a picture of"

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """See :class:`ContrastiveScorer`."""
        vision = self.model.vision_model
        states = vision(pixels.to(vision.dtype), interpolate_pos_encoding=True).last_hidden_state
        return self.model.vision_proj(states[:, 0].float())

    def encode_tokens(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See :class:`ContrastiveScorer`."""
        states = self.model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.model.text_proj(states[:, 0])


class SimZSSScorer:
    """A SimZSS: what the patches of an image have in common with names, on average.

    Black pixels, which a search leaves outside of a mask, do not count: they would look like
    whatever is black among the names. A black image is the zero vector, to which all names are
    alike.
    """

    def __init__(self, weights: str, *, device: str, template: bool = True) -> None:
        """Load it; names are read off their own tokens, in a sentence or alone (``template``).

        Raises:
            FileNotFoundError: if weights are missing.
        """
        prompts = "photo" if template else "none"
        config = SimZSSConfig(weights=weights, templates=prompts, class_text="concept")
        self._segmenter = SimZSSSegmenter(config, device=device, dtype="float32")
        self.device = torch.device(self._segmenter.device)
        self.size = 320 // self._segmenter.patch * self._segmenter.patch

    def prepare(self, images: np.ndarray) -> Tensor:
        """See :class:`Scorer`."""
        return square(images, self.size, self.device)

    @torch.no_grad()
    def images(self, pixels: Tensor) -> Tensor:
        """See :class:`Scorer`."""
        lit = (pixels > 0).any(1, keepdim=True).float()
        weights = F.avg_pool2d(lit, self._segmenter.patch)[:, 0, ..., None]  # (B, h, w, 1)
        return F.normalize((weights * self._segmenter.patches(pixels)).sum((1, 2)), dim=-1)

    @torch.no_grad()
    def names(self, names: Sequence[str]) -> Tensor:
        """See :class:`Scorer`."""
        return torch.from_numpy(self._segmenter.text.embed(names)).to(self.device)


def load_scorer(weights: str, *, device: str, template: bool = True) -> Scorer:
    """Load a scorer by folder or public name; its configuration says which kind it is.

    Args:
        weights: Folder, ``robot_cell/NAME`` or public name of a CLIP, a BLIP matcher or a SimZSS.
        device: auto, cpu, cuda or cuda:N.
        template: Put the model's opening ("a photo of a") before names.

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

    kinds: dict[str, tuple[Any, Any, type[ContrastiveScorer]]] = {
        "clip": (CLIPModel, CLIPProcessor, ClipScorer),
        "blip": (BlipForImageTextRetrieval, BlipProcessor, BlipScorer),
    }
    try:
        source = resolve_folder(weights)
        if is_simzss(Path(source)):
            return SimZSSScorer(source, device=device, template=template)
        model_type, processor_type, scorer_type = kinds[model_kind(source, kinds)]
    except OSError as error:
        raise FileNotFoundError(
            f"weights: expected a CLIP or BLIP, could not load {weights!r}: {error}"
        ) from error
    processor, model = load_pretrained(
        weights, "a CLIP or BLIP", processor_type, model_type, device=device, dtype="float32"
    )
    found = scorer_type(model, processor)
    if not template:
        found.opening = ""
    return found


def _features(output: Any) -> Tensor:
    """Return projected features: transformers 5 wraps them, 4 did not."""
    return output if isinstance(output, Tensor) else output.pooler_output
