"""Chat models that see: one question about one image, any of transformers' image-text-to-text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from PIL import Image

from ovseg_ros.models.pretrained import load_pretrained


class ImageChat:
    """A chat model with its processor; its answers are greedy."""

    def __init__(self, model: Any, processor: Any, max_tokens: int) -> None:
        """Wrap a loaded model.

        Args:
            model: What ``AutoModelForImageTextToText`` loads, in eval mode on its device.
            processor: The processor that belongs to it, with a chat template.
            max_tokens: Longest answer in tokens.
        """
        self.model = model
        self.processor = processor
        self._max_tokens = max_tokens

    @torch.inference_mode()
    def ask(self, image: np.ndarray, question: str) -> str:
        """Return the model's answer to a question about an image, RGB (H, W, 3) uint8.

        Models that can think first are asked not to; thoughts are no part of the answer.
        """
        turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
        prompt = self.processor.apply_chat_template(
            [turn],
            add_generation_prompt=True,
            enable_thinking=False,  # templates that know no thinking ignore it
        )
        picture = Image.fromarray(np.ascontiguousarray(image))
        inputs = self.processor(images=[picture], text=[prompt], return_tensors="pt")
        inputs = inputs.to(self.model.device, self.model.dtype)  # integers stay integers
        tokens = self.model.generate(
            **inputs,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=self._max_tokens,
        )
        answer = tokens[0, inputs["input_ids"].shape[1] :]
        said = str(self.processor.tokenizer.decode(answer, skip_special_tokens=True))
        return re.sub(r"(?s)^.*</think>", "", said).strip()


def load_image_chat(weights: str, *, max_tokens: int, device: str, dtype: str) -> ImageChat:
    """Load a chat model by folder or public name.

    Raises:
        FileNotFoundError: if the weights cannot be had.
        ValueError: if the model has no chat template.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor, model = load_pretrained(
        weights,
        "an image-text-to-text model",
        AutoProcessor,
        AutoModelForImageTextToText,
        device=device,
        dtype=dtype,
    )
    if not getattr(processor, "chat_template", None):
        raise ValueError(f"weights: expected a model with a chat template, {weights!r} has none")
    return ImageChat(model, processor, max_tokens)
