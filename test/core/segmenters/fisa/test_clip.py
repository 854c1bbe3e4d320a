"""Text of a mask classifier: open_clip's vectors, and nothing behind the last end mark is read."""

from __future__ import annotations

from typing import Any

import torch
from open_clip import SimpleTokenizer

from ovseg_ros.segmenters.fisa.clip import load_clip, make_clip

TEXTS = ["mug", "a robot arm", "a duck on a mug"]


def lengths_read(model: Any) -> list[int]:
    found: list[int] = []
    model.transformer.register_forward_pre_hook(lambda _, given: found.append(given[0].shape[1]))
    return found


@torch.no_grad()
def test_the_vectors_are_open_clips(tiny_clip: Any):
    model = tiny_clip()
    clip = make_clip(model, SimpleTokenizer(context_length=8), 24, mean=(0.5,) * 3, std=(0.5,) * 3)
    expected = model.encode_text(clip.tokenizer(TEXTS))
    read = lengths_read(model)
    torch.testing.assert_close(clip.encode(TEXTS), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(clip.encode(TEXTS[:1]), expected[:1], rtol=1e-5, atol=1e-6)
    assert read == [7, 3]  # five words and two marks; one word


@torch.no_grad()
def test_the_small_one_reads_no_further_either(folders: dict[str, str]):
    clip = load_clip(folders["clip"])
    expected = clip.model.encode_text(clip.tokenizer(TEXTS[:2]))  # type: ignore[operator]
    read = lengths_read(clip.model)
    torch.testing.assert_close(clip.encode(TEXTS[:2]), expected, rtol=1e-5, atol=1e-6)
    assert read[0] < clip.tokenizer(TEXTS).shape[1]
