"""Image-text matchers as PnP-OVSS needs them: BLIP and BridgeTower, by their public interfaces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ovseg_ros.models.device import resolve_device, resolve_dtype
from ovseg_ros.models.files import read_object
from ovseg_ros.models.pretrained import load_pretrained, set_layer_norm_epsilon
from ovseg_ros.models.pyramid import Tower, load_pyramid
from ovseg_ros.models.tower import check_tower
from ovseg_ros.models.weights import resolve_folder, resolve_weights
from ovseg_ros.segmenters.dense import resize_bytes
from ovseg_ros.segmenters.pnp_ovss.prompts import Prompt, pad, write_prompts


class Matcher(ABC):
    """A frozen image-text matcher.

    Attributes:
        device: Where it runs.
        tokenizer: Its fast tokenizer.
        first_token: Id that takes the place of a text's first token, or None.
        text_limit: Most tokens of a text.
        layers: Number of blocks with cross-attention from text to image.
        heads: Number of heads in each.
        size: Side of its square images in pixels.
        grid: Patches along a side.
    """

    first_token: int | None = None
    text_limit: int

    def __init__(self, model: Any, processor: Any, size: int, tower: Tower | None = None) -> None:
        """Wrap a loaded model.

        Args:
            model: The model of transformers, on its device.
            processor: What belongs to it.
            size: Side of the square images in pixels.
            tower: What the model looks through instead of at pixels, on its device.

        Raises:
            ValueError: if the size is not a multiple of the patch size.
        """
        self.model = model.eval().requires_grad_(False)
        self.device: torch.device = model.device
        self._tower = tower
        self.tokenizer = processor.tokenizer
        patch = int(model.config.vision_config.patch_size)
        if size < patch or size % patch:
            raise ValueError(f"image_size: expected a multiple of {patch}, got {size}")
        self.size, self.grid, self.patch = size, size // patch, patch
        images = processor.image_processor
        self._mean = torch.tensor(images.image_mean, device=self.device)[:, None, None]
        self._std = torch.tensor(images.image_std, device=self.device)[:, None, None]
        self._attentions = self.cross_attentions()
        self.layers = len(self._attentions)
        self.heads = int(self._attentions[0].num_attention_heads)

    @abstractmethod
    def cross_attentions(self) -> list[Any]:
        """Return the modules in which text attends to patches, in order."""

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """Return what texts are matched with, (B, ...), for pixels (B, 3, S, S)."""

    @abstractmethod
    def logits(self, images: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits of "does not fit" and "fits", (N, 2).

        Args:
            images: What :meth:`encode` returned, a row for each text.
            ids: Token ids, (N, L) int64.
            mask: 1 where there is a token, (N, L) int64.
        """

    @torch.no_grad()
    def prepare(self, images: np.ndarray) -> Tensor:
        """Resize images to the square bicubically and normalise; look through the tower if any.

        Args:
            images: RGB, (B, H, W, 3) uint8.

        Returns:
            The model's inputs, (B, 3, S, S) float32; zero says nothing (it is the mean colour of
            the model's training, or a patch without features).
        """
        pixels = (square(images, self.size, self.device) - self._mean) / self._std
        return pixels if self._tower is None else self._tower.draw(pixels)

    def write(self, names: Sequence[str], opening: str) -> list[Prompt]:
        """Write the texts about names that this model reads; see :func:`write_prompts`."""
        return write_prompts(
            self.tokenizer, names, opening=opening, limit=self.text_limit, first=self.first_token
        )

    def attend(
        self, images: Tensor, rows: Sequence[int], prompts: Sequence[Prompt], layer: int
    ) -> tuple[Tensor, Tensor]:
        """Return attention from tokens to patches, and how each weight raises the match.

        Args:
            images: What :meth:`encode` returned, (B, ...).
            rows: The image of each prompt.
            prompts: N prompts.
            layer: Which block, counted from 1.

        Returns:
            Attention and gradient, both (N, heads, L, grid * grid) float32; the rows of padding
            mean nothing.
        """
        ids, mask = self._batch(prompts)
        with torch.enable_grad(), watched(self._attentions[layer - 1]) as maps:
            fits = self.logits(images[list(rows)], ids, mask)[:, 1]  # (N,)
            (gradient,) = torch.autograd.grad(fits.sum(), maps)
        (attention,) = maps
        # Patches come after CLS.
        return attention.detach()[..., 1:].float(), gradient[..., 1:].float()

    @torch.no_grad()
    def fit(self, images: Tensor, rows: Sequence[int], prompts: Sequence[Prompt]) -> Tensor:
        """Return the probability that each prompt fits its image, (N,) float32."""
        ids, mask = self._batch(prompts)
        return self.logits(images[list(rows)], ids, mask).float().softmax(-1)[:, 1]

    def _batch(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        ids, mask = pad(prompts, int(self.tokenizer.pad_token_id))
        return ids.to(self.device), mask.to(self.device)


class BlipMatcher(Matcher):
    """``BlipForImageTextRetrieval``: a text encoder with cross-attention in every block."""

    def __init__(self, model: Any, processor: Any, size: int, tower: Tower | None = None) -> None:
        """See :class:`Matcher`."""
        super().__init__(model, processor, size, tower)
        text = model.config.text_config
        known = self.tokenizer.get_vocab()
        # Public tokenizers do not list [ENC]; it is the last row of the embedding (30523).
        self.first_token = known.get("[ENC]", text.vocab_size - 1)
        self.text_limit = int(text.max_position_embeddings)

    def cross_attentions(self) -> list[Any]:
        """Return the cross-attention of every block of the text encoder."""
        return [layer.crossattention.self for layer in self.model.text_encoder.encoder.layer]

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Return CLS and patches in float32, (B, 1 + P, D)."""
        vision = self.model.vision_model
        # Without interpolation transformers cuts the table of positions instead of resizing it.
        states = vision(pixels.to(vision.dtype), interpolate_pos_encoding=True).last_hidden_state
        return states.float()

    def logits(self, images: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """See :meth:`Matcher.logits`."""
        states = self.model.text_encoder(
            input_ids=ids, attention_mask=mask, encoder_hidden_states=images
        ).last_hidden_state
        return self.model.itm_head(states[:, 0])


class BridgeTowerMatcher(Matcher):
    """``BridgeTowerForImageAndTextRetrieval``: two towers with bridges in their upper blocks."""

    def __init__(self, model: Any, processor: Any, size: int, tower: Tower | None = None) -> None:
        """See :class:`Matcher`."""
        super().__init__(model, processor, size, tower)
        text = model.config.text_config
        # RoBERTa's positions begin behind the padding's.
        self.text_limit = int(text.max_position_embeddings) - int(text.pad_token_id) - 1

    def cross_attentions(self) -> list[Any]:
        """Return the text side's cross-attention of every bridged block."""
        layers = self.model.bridgetower.cross_modal_text_layers
        return [layer.crossattention.self for layer in layers]

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the pixels: text and image meet inside the towers."""
        return pixels

    def logits(self, images: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """See :meth:`Matcher.logits`."""
        return self.model(
            input_ids=ids, attention_mask=mask, pixel_values=images, interpolate_pos_encoding=True
        ).logits


def load_matcher(
    weights: str,
    *,
    size: int,
    device: str,
    dtype: str,
    tower: str = "",
    vision_epsilon: float = 0.0,
) -> Matcher:
    """Load a matcher by folder or public name; its configuration says which kind it is.

    Text and what meets it compute in float32, because gradients of attention vanish in half
    precision; BLIP's vision tower computes in ``dtype``.

    Args:
        weights: Folder, ``robot_cell/NAME`` or public name.
        size: Side of the square images in pixels.
        device: auto, cpu, cuda or cuda:N.
        dtype: auto, float32, bfloat16 or float16.
        tower: Folder or ``robot_cell/NAME`` of the SimZSS whose pyramid the model looks through.
        vision_epsilon: Of the LayerNorms of BLIP's vision tower; 0: as its configuration says.

    Raises:
        FileNotFoundError: if the weights cannot be had; never random weights instead.
        ValueError: if they are of another kind of model.
    """
    from transformers import (
        BlipForImageTextRetrieval,
        BlipProcessor,
        BridgeTowerForImageAndTextRetrieval,
        BridgeTowerProcessor,
    )

    kinds: dict[str, tuple[Any, Any, type[Matcher]]] = {
        "blip": (BlipForImageTextRetrieval, BlipProcessor, BlipMatcher),
        "bridgetower": (
            BridgeTowerForImageAndTextRetrieval, BridgeTowerProcessor, BridgeTowerMatcher,
        ),
    }  # fmt: skip
    try:
        kind = model_kind(resolve_folder(weights), kinds)
    except OSError as error:
        raise FileNotFoundError(
            f"weights: expected an image-text matcher, could not load {weights!r}: {error}"
        ) from error
    model_type, processor_type, matcher_type = kinds[kind]
    processor, model = load_pretrained(
        weights,
        "an image-text matcher",
        processor_type,
        model_type,
        device=device,
        dtype="float32",
        attn_implementation="eager",
    )
    place = resolve_device(device)
    if kind == "blip":
        model.vision_model.to(resolve_dtype(dtype, place))
        set_layer_norm_epsilon(model.vision_model, vision_epsilon)
    if tower:
        check_tower(Path(resolve_weights(weights)), tower)
    pyramid = load_pyramid(Path(resolve_weights(tower))).to(place) if tower else None
    return matcher_type(model, processor, size, pyramid)


def model_kind(source: str, kinds: Collection[str]) -> str:
    """Return transformers' name for the kind of model in a folder or public repository.

    Raises:
        FileNotFoundError: if there is no configuration.
        ValueError: if the kind is none of ``kinds``.
    """
    kind = read_object(Path(source) / "config.json").get("model_type")
    if kind not in kinds:
        raise ValueError(f"weights: expected one of {', '.join(kinds)}, got {kind} in {source}")
    return str(kind)


def square(images: np.ndarray, size: int, device: torch.device) -> Tensor:
    """Resize RGB images (B, H, W, 3) uint8 bicubically; return (B, 3, size, size) in 0..1.

    To bytes, as in the authors' code: without, grey values differ by up to 10 of 255 at edges.
    """
    owned = np.require(images, requirements=["C", "W"])
    pixels = torch.from_numpy(owned).to(device).permute(0, 3, 1, 2)
    return resize_bytes(pixels, (size, size), mode="bicubic") / 255


@contextmanager
def watched(attention: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that gets a cross-attention's probabilities, (N, heads, L, P), when it runs.

    The module must return ``(context, probabilities)`` and take the text's hidden states as its
    first argument, as those of transformers do with eager attention. The graph of gradients begins
    there, so that neither the image encoder nor earlier blocks keep activations; parameters need no
    gradients.
    """
    maps: list[Tensor] = []

    def open_graph(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0].detach().requires_grad_(), *inputs[1:])

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        maps.append(output[1])

    with attention.register_forward_pre_hook(open_graph), attention.register_forward_hook(keep):
        yield maps
