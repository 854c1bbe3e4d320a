"""BLIP as BBoost uses it: patch features of any resolution and captions of parts of an image."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.cache_utils import Cache, DynamicLayer

from ovseg_ros.discovery.config import CaptionerConfig
from ovseg_ros.discovery.released import DriftingPositions
from ovseg_ros.models.pretrained import load_pretrained, set_layer_norm_epsilon
from ovseg_ros.models.pyramid import Tower, load_pyramid
from ovseg_ros.models.tower import check_tower
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.types import check_images


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """One image in BLIP's eyes; index 0 of both is CLS, then the patches row by row.

    Attributes:
        inputs: What enters the first layer, with positions, (1 + h * w, D) in the model's dtype.
        features: What leaves the final LayerNorm, same shape and dtype.
        grid: Rows and columns of patches (h, w).
        positions: The positions that ``inputs`` contain, same shape and dtype.
    """

    inputs: Tensor
    features: Tensor
    grid: tuple[int, int]
    positions: Tensor

    @property
    def patches(self) -> Tensor:
        """Features without CLS, (h * w, D)."""
        return self.features[1:]


class Captioner:
    """A BLIP captioning model in eval mode, with its tokenizer and image normalisation."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        config: CaptionerConfig,
        tower: Tower | None = None,
    ) -> None:
        """Wrap a loaded model.

        Args:
            model: A ``transformers.BlipForConditionalGeneration``, already on its device.
            processor: The ``transformers.BlipProcessor`` that belongs to it.
            config: How to decode.
            tower: What the model looks through instead of at pixels, on its device.
        """
        self.model = model.eval()
        self._tower = tower
        honour_memory_masks(model)
        self.tokenizer = processor.tokenizer
        self.config = config
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self.patch_size: int = model.config.vision_config.patch_size
        images = processor.image_processor
        self._mean = torch.tensor(images.image_mean, device=self.device)[:, None, None]
        self._std = torch.tensor(images.image_std, device=self.device)[:, None, None]

    def check_size(self, size: int) -> None:
        """Refuse a side of images that patches do not fill.

        Raises:
            ValueError: saying which sides do.
        """
        if size < self.patch_size or size % self.patch_size:
            raise ValueError(f"size: expected a multiple of {self.patch_size}, got {size}")

    @torch.inference_mode()
    def encode(
        self, image: np.ndarray, size: int, *, released: DriftingPositions | None = None
    ) -> Encoding:
        """Encode an image resized to a square, for BBoost at two sizes.

        Position embeddings are resized bicubically from the checkpoint's own table every time.

        Args:
            image: RGB, (H, W, 3) uint8.
            size: Side of the square in pixels, a multiple of the patch size.
            released: The table of BBoost's release; pixels are not normalised then, either.

        Raises:
            ValueError: if the image is not such an image or the size does not fit.
        """
        check_images(np.asarray(image)[None])
        self.check_size(size)
        pixels = torch.tensor(np.ascontiguousarray(image), device=self.device)
        pixels = pixels.permute(2, 0, 1).float() / 255  # (3, H, W)
        pixels = F.interpolate(
            pixels[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
        if released is None:
            pixels = (pixels - self._mean) / self._std
        pixels = pixels.to(self.dtype)
        if self._tower is not None:
            pixels = self._tower.draw(pixels)
        side, embed = size // self.patch_size, self.model.vision_model.embeddings
        patches = embed.patch_embedding(pixels.to(embed.patch_embedding.weight.dtype))
        tokens = torch.cat((embed.class_embedding, patches.flatten(2).transpose(1, 2)), dim=1)
        if released is None:
            positions = embed.interpolate_pos_encoding(tokens, size, size)
        else:
            positions = released.resize(side)
        inputs = tokens + positions.to(tokens.dtype)
        return Encoding(
            inputs=inputs[0],
            features=self._transform(inputs)[0],
            grid=(side, side),
            positions=positions[0],
        )

    @torch.inference_mode()
    def encode_parts(
        self, encoding: Encoding, parts: Sequence[Tensor], *, own_positions: bool = True
    ) -> list[Tensor]:
        """Encode CLS and some patches of an image alone ("local").

        BLIP's vision tower takes no attention mask, so parts share a batch where they are equally
        large and go one by one otherwise; together they cost less than the whole image does.

        Args:
            encoding: The image.
            parts: Patch indices, each (n,) int64.
            own_positions: Patches keep the positions they have in the image; else they stand at its
                first n places, as in BBoost's release.

        Returns:
            For each part its outputs, CLS first, (1 + n, D).
        """
        found: dict[int, Tensor] = {}
        tokens = encoding.inputs if own_positions else encoding.inputs - encoding.positions
        for length in sorted({len(part) for part in parts}):
            members = [i for i, part in enumerate(parts) if len(part) == length]
            rows = torch.stack([parts[i] for i in members]).long() + 1  # (B, n), index 0 is CLS
            rows = F.pad(rows, (1, 0))
            inputs = tokens[rows]
            if not own_positions:
                inputs = inputs + encoding.positions[: length + 1]
            found.update(zip(members, self._transform(inputs), strict=True))  # (B, 1 + n, D)
        return [found[i] for i in range(len(parts))]

    @torch.inference_mode()
    def caption(self, memories: Sequence[Tensor], *, seed: int = 0) -> list[list[str]]:
        """Read every memory ``config.passes`` times, all in one batched generation.

        Args:
            memories: What the text decoder attends to, each (n, D) with n >= 1; sizes may differ.
            seed: Seed of the sampling; the global random state stays untouched.

        Returns:
            For each memory its captions, without the prompt.
        """
        if not memories:
            return []
        config, text = self.config, self.model.config.text_config
        lengths = torch.tensor([len(memory) for memory in memories], device=self.device)
        attended = torch.arange(int(lengths.max()), device=self.device) < lengths[:, None]  # (M, n)
        words = self.tokenizer(config.prompt, add_special_tokens=False).input_ids
        prompt = torch.tensor([[text.bos_token_id, *words]], device=self.device)
        prompt = prompt.expand(len(memories), -1)  # (M, P)
        repeats = config.passes if config.sample else 1
        sampling: dict[str, Any] = {"do_sample": False}
        if config.sample:
            sampling = {
                "do_sample": True,
                "top_p": config.top_p,
                "top_k": config.top_k,
                "temperature": config.temperature,
                "num_return_sequences": repeats,
            }
        forked = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(forked), shared_memories(self.model, repeats):
            torch.manual_seed(seed)
            tokens = self.model.text_decoder.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                encoder_hidden_states=torch.stack(
                    [memory[:1] for memory in memories]
                ),  # what is cached is not read again
                encoder_attention_mask=attended.long(),
                past_key_values=cache_memories(self.model, memories),
                max_length=max(config.max_length, prompt.shape[1] + 1),
                min_length=config.min_length,
                repetition_penalty=config.repetition_penalty,
                eos_token_id=text.sep_token_id,
                pad_token_id=text.pad_token_id,
                **sampling,
            )
        lines = self.tokenizer.batch_decode(tokens[:, prompt.shape[1] :], skip_special_tokens=True)
        captions = [" ".join(line.split()) for line in lines]
        each = [captions[i : i + repeats] for i in range(0, len(captions), repeats)]
        return each if config.sample else [same * config.passes for same in each]

    def _transform(self, inputs: Tensor) -> Tensor:
        """Run the layers and the final LayerNorm over embedded tokens (B, n, D)."""
        vision = self.model.vision_model
        return vision.post_layernorm(vision.encoder(inputs_embeds=inputs).last_hidden_state)


def cache_memories(model: Any, memories: Sequence[Tensor]) -> EncoderDecoderCache:
    """Compute the keys and values of memories before ``generate`` does.

    It would compute those of the padding too, which are the greater part where clusters differ in
    size.

    Args:
        model: A ``transformers.BlipForConditionalGeneration``.
        memories: Each (n, D).

    Returns:
        A cache without text; its keys and values are (M, heads, longest n, D / heads), zero behind
        the end of a memory.
    """
    packed, lengths = torch.cat(list(memories)), [len(memory) for memory in memories]

    def spread(states: Tensor, heads: int) -> Tensor:
        """Spread (sum of n, D) over the memories."""
        split = states.view(len(packed), heads, -1).transpose(0, 1).split(lengths, dim=1)
        padded = states.new_zeros(len(lengths), heads, max(lengths), states.shape[1] // heads)
        for row, part in zip(padded, split, strict=True):
            row[:, : part.shape[1]] = part
        return padded

    layers: list[Any] = []
    for layer in model.text_decoder.bert.encoder.layer:
        attention, held = layer.crossattention.self, DynamicLayer()
        keys, values = (
            spread(project(packed), attention.num_attention_heads)
            for project in (attention.key, attention.value)
        )
        held.lazy_initialization(keys, values)
        held.keys, held.values = keys, values  # as they are: ``update`` would copy them
        layers.append(held)
    return EncoderDecoderCache(DynamicCache(), Cache(layers=layers))


@contextlib.contextmanager
def shared_memories(model: Any, repeats: int) -> Iterator[None]:
    """Let the captions of one memory share its keys and values while they are generated.

    ``generate`` copies a memory for each of its ``num_return_sequences``. Cross-attention treats
    every query for itself, so that the copies' queries may as well stand one after the other before
    one memory: the numbers are the same, at a fraction of the work and of the storage.

    Args:
        model: A ``transformers.BlipForConditionalGeneration``.
        repeats: How many consecutive rows of a batch share a memory.
    """

    def gather(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        queries = args[0] if args else kwargs.pop("hidden_states")  # (M * repeats, T, D)
        kwargs = {**kwargs, "encoder_hidden_states": kwargs["encoder_hidden_states"][::repeats]}
        mask = kwargs.get("encoder_attention_mask")  # (M * repeats, 1, 1 or T, n), queries alike
        if mask is not None:
            kwargs["encoder_attention_mask"] = mask[::repeats, :, :1]
        return (queries.reshape(len(queries) // repeats, -1, queries.shape[-1]), *args[1:]), kwargs

    def scatter(_: Any, __: Any, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        context, *rest = outputs  # (M, repeats * T, D)
        shape = (len(context) * repeats, -1, context.shape[-1])
        return (context.reshape(shape), *rest)

    hooks: list[Any] = []
    if repeats > 1:
        for layer in model.text_decoder.bert.encoder.layer:
            attention = layer.crossattention.self
            hooks.append(attention.register_forward_pre_hook(gather, with_kwargs=True))
            hooks.append(attention.register_forward_hook(scatter))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def honour_memory_masks(model: Any) -> None:
    """Make BLIP's cross-attention see the ``encoder_attention_mask`` it is given.

    transformers 5 loses it: ``BlipTextAttention`` hands it on as ``attention_mask``, where
    ``BlipTextSelfAttention`` ignores it, so that padding is attended to. Every padded memory needs
    this, in training as well. A version without that flaw, and a second call, change nothing.

    Args:
        model: A ``transformers.BlipForConditionalGeneration``.
    """
    for layer in model.text_decoder.bert.encoder.layer:
        layer.crossattention.self.register_forward_pre_hook(_restore_mask, with_kwargs=True)


def _restore_mask(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    lost = kwargs.get("encoder_hidden_states") is not None
    if lost and kwargs.get("encoder_attention_mask") is None:
        kwargs = {**kwargs, "encoder_attention_mask": kwargs.get("attention_mask")}
    return args, kwargs


def load_captioner(config: CaptionerConfig, *, device: str, dtype: str) -> Captioner:
    """Load a BLIP by folder or public name.

    Args:
        config: Which weights, and how to decode.
        device: auto, cpu, cuda or cuda:N.
        dtype: auto, float32, bfloat16 or float16.

    Raises:
        FileNotFoundError: if the weights cannot be had; never random weights instead.
    """
    from transformers import BlipForConditionalGeneration, BlipProcessor

    processor, model = load_pretrained(
        config.weights,
        "a BLIP captioner",
        BlipProcessor,
        BlipForConditionalGeneration,
        device=device,
        dtype=dtype,
    )
    set_layer_norm_epsilon(model.vision_model, config.vision_epsilon)
    tower = None
    if config.tower:
        check_tower(Path(resolve_weights(config.weights)), config.tower)
        tower = load_pyramid(Path(resolve_weights(config.tower))).to(model.device, model.dtype)
    return Captioner(model, processor, config, tower)
