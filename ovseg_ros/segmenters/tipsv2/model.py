"""TIPSv2's towers in transformers: dense features by values, and sentences to vectors."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.models.class_text import Prompt
from ovseg_ros.models.pretrained import load_pretrained
from ovseg_ros.segmenters.dense import encode_in_chunks

MAX_TOKENS = 64
"""Longest sentence in tokens, as published."""


def load_tipsv2(weights: str) -> tuple[Any, Any]:
    """Return the tokenizer and the model (float32, on the CPU, in eval mode).

    Args:
        weights: Folder or public name.

    Raises:
        FileNotFoundError: if the weights cannot be had, or are no TIPSv2.
        ValueError: if the weights are NaN, or transformers is too old to know the model.
    """
    try:
        from transformers import Tipsv2Model, Tipsv2Tokenizer
    except ImportError:
        import transformers

        raise ValueError(
            "segmenter.name: tipsv2 needs a transformers that has Tipsv2Model (5.23 does), "
            f"got {transformers.__version__}"
        ) from None
    return load_pretrained(
        weights, "a TIPSv2", Tipsv2Tokenizer, Tipsv2Model, device="cpu", dtype="float32"
    )


def values(vision: Any, pixels: Tensor) -> Tensor:
    """Return dense features of images: the last block's values in place of its attention.

    A patch's own value says what is in it; what attention mixes says what is in the image
    (MaskCLIP, arXiv 2112.01071). All blocks but the last run as they are; in that one
    ``x + ls1(proj(v(norm1(x))))`` stands for the attention, then come its MLP and the final norm.

    Args:
        vision: transformers' ``Tipsv2VisionModel``.
        pixels: RGB in 0..1, not normalised further, (B, 3, H, W) of whole patches.

    Returns:
        Features of the patches, (B, H / patch, W / patch, D); class and register tokens dropped.
    """
    tokens = vision.embeddings(pixels)  # (B, 1 + R + h*w, D)
    *blocks, last = vision.encoder.layer
    for block in blocks:
        tokens = block(tokens)
    value = last.attention.o_proj(last.attention.v_proj(last.norm1(tokens)))
    tokens = tokens + last.layer_scale1(value)
    tokens = tokens + last.layer_scale2(last.mlp(last.norm2(tokens)))
    patches: Tensor = vision.layernorm(tokens)[:, 1 + vision.config.num_register_tokens :]
    patch = vision.config.patch_size
    return patches.unflatten(1, (pixels.shape[2] // patch, pixels.shape[3] // patch))


def whole_patches(pixels: Tensor, patch: int) -> Tensor:
    """Return images (B, 3, H, W) float enlarged to whole patches (bicubic), as the authors do."""
    size = tuple(math.ceil(side / patch) * patch for side in pixels.shape[2:])
    if size == tuple(pixels.shape[2:]):
        return pixels
    return F.interpolate(pixels, size=size, mode="bicubic", align_corners=False)


class TextTower:
    """Sentences to vectors; the weights lie on the CPU while there is nothing to read.

    New words are rare, and the tower is as large as some vision towers (L: 184 M parameters).
    """

    def __init__(
        self, text: nn.Module, tokenizer: Any, device: torch.device, *, keep: bool
    ) -> None:
        """Take a tower that lies on the CPU.

        Args:
            text: transformers' ``Tipsv2TextModel``.
            tokenizer: Its tokenizer.
            device: Where it reads.
            keep: Leave it there afterwards.
        """
        self._text, self._tokenizer, self._device, self._keep = text, tokenizer, device, keep
        self._lock = threading.Lock()  # words are prepared while frames are segmented
        self.digest = _digest(text, tokenizer)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self._text.parameters()).device

    def encode(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """Return the mean of every sentence's tokens after the final norm, (N, D) float32."""
        with self._lock:
            self._text.to(self._device)
            try:
                return encode_in_chunks(self._read)(prompts)
            finally:
                if not self._keep and self._device.type == "cuda":
                    self._text.cpu()
                    torch.cuda.empty_cache()  # for whoever else needs the memory

    def _read(self, prompts: Sequence[Prompt]) -> Tensor:
        tokens = self._tokenizer(
            [prompt.sentence.lower() for prompt in prompts],
            padding=True,
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        ).to(self._device)
        found: Tensor = self._text(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
        return found


def _digest(text: Any, tokenizer: Any) -> str:
    """Return a digest of everything the meaning of text depends on."""
    found = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    found.update(repr(sorted(text.config.to_diff_dict().items())).encode())
    for key, value in text.state_dict().items():
        found.update(f"{key}{tuple(value.shape)}".encode())
        found.update(value.contiguous().view(torch.uint8).numpy())
    return found.hexdigest()
