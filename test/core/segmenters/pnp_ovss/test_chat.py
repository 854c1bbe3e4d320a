"""A chat model that sees is asked and answers: tiny random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ovseg_ros.models.image_chat import load_image_chat
from ovseg_ros.segmenters.pnp_ovss.filters import ChatFilter


def test_a_model_is_asked_and_understood(llava: Path, images: np.ndarray):
    chat = load_image_chat(str(llava), max_tokens=3, device="cpu", dtype="float32")
    words = chat.processor.tokenizer.get_vocab()
    others = [index for word, index in words.items() if word != "duck"]
    chat.model.generation_config.suppress_tokens = others  # it says nothing else, whatever it sees
    assert chat.ask(images[0], "which of the following can be seen ?").split() == ["duck"] * 3
    assert ChatFilter(chat.ask).keep(images, ["mug", "duck", "table"]) == [[1], [1]]
