"""BLIP: positions, parts of images, and one batch that equals many."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.discovery.captioner import Captioner, cache_memories, load_captioner, shared_memories
from ovseg_ros.discovery.config import CaptionerConfig


def _with(captioner: Captioner, **options: object) -> Captioner:
    """Return the same model with another way of decoding."""
    twin = object.__new__(Captioner)
    vars(twin).update(vars(captioner), config=replace(captioner.config, **options))
    return twin


def test_positions_come_from_the_original_table(captioner: Captioner) -> None:
    # Patches of a grey image differ by their position alone.
    grey = np.full((50, 50, 3), 90, dtype=np.uint8)
    table = captioner.model.vision_model.embeddings.position_embedding.detach()
    for size in (96, 128, 64, 96):  # coming back must not drift
        found = captioner.encode(grey, size).inputs
        side = size // 16
        maps = table[:, 1:].view(1, 4, 4, -1).permute(0, 3, 1, 2)
        maps = F.interpolate(maps, size=(side, side), mode="bicubic", align_corners=False)
        expected = maps[0].permute(1, 2, 0).flatten(0, 1)  # (side ** 2, D)
        torch.testing.assert_close(
            found[1:] - found[1], expected - expected[0], rtol=1e-4, atol=1e-5
        )
        cls = captioner.model.vision_model.embeddings.class_embedding[0] + table[0, :1]
        torch.testing.assert_close(found[:1], cls.detach())


def test_features_are_blips_own(captioner: Captioner, image: np.ndarray) -> None:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    pixels = F.interpolate(pixels, size=(96, 96), mode="bilinear", antialias=True)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    with torch.no_grad():
        expected = captioner.model.vision_model(
            pixel_values=(pixels - mean) / std, interpolate_pos_encoding=True
        ).last_hidden_state[0]
    encoding = captioner.encode(image, 96)
    assert encoding.grid == (6, 6)
    assert encoding.patches.shape == (36, 48)
    torch.testing.assert_close(encoding.features, expected)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 200, 3), (300, 7, 3)])
def test_any_image_size(captioner: Captioner, shape: tuple[int, int, int]) -> None:
    assert torch.isfinite(captioner.encode(np.zeros(shape, np.uint8), 64).features).all()


def test_flipped_and_read_only_images(captioner: Captioner, image: np.ndarray) -> None:
    image.setflags(write=False)
    plain = captioner.encode(np.ascontiguousarray(image[:, ::-1]), 64)
    torch.testing.assert_close(captioner.encode(image[:, ::-1], 64).features, plain.features)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_wrong_images(captioner: Captioner, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected RGB"):
        captioner.encode(image, 64)


@pytest.mark.parametrize("size", [0, 8, 100])
def test_wrong_sizes(captioner: Captioner, image: np.ndarray, size: int) -> None:
    with pytest.raises(ValueError, match="size: expected a multiple of 16"):
        captioner.encode(image, size)


def test_parts_equal_one_part_at_a_time(captioner: Captioner, image: np.ndarray) -> None:
    encoding = captioner.encode(image, 64)
    parts = [torch.tensor(p) for p in ([0, 1, 2], [5], [7, 9, 15], [], list(range(16)))]
    together = captioner.encode_parts(encoding, parts)
    for part, found in zip(parts, together, strict=True):
        assert found.shape == (1 + len(part), 48)
        torch.testing.assert_close(found, captioner.encode_parts(encoding, [part])[0])
    torch.testing.assert_close(together[-1], encoding.features)  # all patches: the whole image


def test_batched_captions_equal_one_by_one(captioner: Captioner, image: np.ndarray) -> None:
    greedy = _with(captioner, sample=False)
    features = captioner.encode(image, 128).features
    memories = [features[:40], features[40:], features[3:4], features]
    together = greedy.caption(memories)
    assert together == [greedy.caption([memory])[0] for memory in memories]
    assert len({captions[0] for captions in together}) > 1
    assert all(len(captions) == 2 and captions[0] == captions[1] for captions in together)


def test_padding_of_memories_is_invisible(captioner: Captioner, image: np.ndarray) -> None:
    # transformers 5 drops the mask on its way; see honour_memory_masks.
    memory = captioner.encode(image, 64).features[None].clone()
    ids = torch.tensor([[captioner.model.config.text_config.bos_token_id, 5, 6]])
    padded = F.pad(memory, (0, 0, 0, 9), value=3.0)
    mask = F.pad(torch.ones(1, memory.shape[1], dtype=torch.long), (0, 9))
    with torch.no_grad():
        plain = captioner.model.text_decoder(ids, encoder_hidden_states=memory).logits
        masked = captioner.model.text_decoder(
            ids, encoder_hidden_states=padded, encoder_attention_mask=mask
        ).logits
    torch.testing.assert_close(masked, plain)


def test_captions_are_blips_own(captioner: Captioner, image: np.ndarray) -> None:
    greedy = _with(captioner, sample=False, repetition_penalty=1.0, min_length=0)
    pixels = torch.from_numpy(image[:60, :60].copy()).permute(2, 0, 1)[None].float() / 255
    pixels = F.interpolate(pixels, size=(64, 64), mode="bilinear", antialias=True)
    pixels = (pixels - captioner._mean) / captioner._std
    prompt = captioner.tokenizer("a picture of", return_tensors="pt").input_ids
    tokens = captioner.model.generate(pixels, input_ids=prompt, max_length=12, do_sample=False)
    expected = captioner.tokenizer.decode(tokens[0], skip_special_tokens=True)
    features = captioner.encode(image[:60, :60], 64).features
    assert f"a picture of {greedy.caption([features])[0][0]}".strip() == expected


def test_passes_that_share_a_memory_read_what_copies_would(
    captioner: Captioner, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = captioner.encode(image, 128).features
    memories = [features[:20], features[20:], features[5:9]]
    seen: list[tuple[int, ...]] = []
    key = captioner.model.text_decoder.bert.encoder.layer[0].crossattention.self.key
    with key.register_forward_hook(lambda _, args, __: seen.append(tuple(args[0].shape[:2]))):
        shared = _with(captioner, passes=4).caption(memories, seed=3)
    assert seen == [(69, 48)]  # once per patch: not per pass or token, and not for padding
    monkeypatch.setattr(
        "ovseg_ros.discovery.captioner.shared_memories", lambda *_: contextlib.nullcontext()
    )
    monkeypatch.setattr(
        "ovseg_ros.discovery.captioner.cache_memories",
        lambda model, memories: cache_memories(model, [m for m in memories for _ in range(4)]),
    )
    assert _with(captioner, passes=4).caption(memories, seed=3) == shared


def test_cached_memories_change_no_number(captioner: Captioner, image: np.ndarray) -> None:
    memory = captioner.encode(image, 64).features
    memories = [memory[:5], memory]
    ids = torch.tensor([[7, 5, 6], [7, 8, 9]])
    padded = torch.nn.utils.rnn.pad_sequence(memories, batch_first=True)
    mask = torch.ones(2, len(memory), dtype=torch.long)
    mask[0, 5:] = 0
    decoder, seen = captioner.model.text_decoder, {"encoder_attention_mask": mask}
    with torch.no_grad():
        plain = decoder(ids, encoder_hidden_states=padded, **seen).logits
        cached = decoder(
            ids,
            encoder_hidden_states=torch.full((2, 1, 48), torch.nan),  # nobody reads it
            past_key_values=cache_memories(captioner.model, memories),
            **seen,
        ).logits
    torch.testing.assert_close(cached, plain)


def test_sharing_memories_changes_no_number(captioner: Captioner, image: np.ndarray) -> None:
    memory = captioner.encode(image, 64).features
    ids = torch.tensor([[7, 5, 6], [7, 8, 9], [7, 6, 6], [7, 9, 8]])
    both = torch.stack([memory, memory.flip(0)]).repeat_interleave(2, 0)
    mask = torch.ones(4, both.shape[1], dtype=torch.long)
    mask[2:, 9:] = 0
    decoder = captioner.model.text_decoder
    inputs = {"encoder_hidden_states": both, "encoder_attention_mask": mask}
    with torch.no_grad():
        plain = decoder(ids, **inputs).logits
        with shared_memories(captioner.model, 2):
            shared = decoder(ids, **inputs).logits
        again = decoder(ids, **inputs).logits
    torch.testing.assert_close(shared, plain)
    torch.testing.assert_close(again, plain, rtol=0, atol=0)


def test_seeded_and_without_side_effects(captioner: Captioner, image: np.ndarray) -> None:
    features = captioner.encode(image, 128).features
    memories = [features[:20], features[20:]]
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = captioner.caption(memories, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    assert captioner.caption(memories, seed=1) == first
    assert captioner.caption(memories, seed=2) != first
    assert [len(captions) for captions in first] == [2, 2]


def test_nothing_to_caption(captioner: Captioner) -> None:
    assert captioner.caption([]) == []


def test_half_precision(blip_folder: Path, image: np.ndarray) -> None:
    config = CaptionerConfig(weights=str(blip_folder), passes=1, max_length=8)
    captioner = load_captioner(config, device="cpu", dtype="bfloat16")
    encoding = captioner.encode(image, 96)
    assert encoding.features.dtype == torch.bfloat16
    assert len(captioner.caption([encoding.features[:9], encoding.features])) == 2


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="weights: expected a BLIP captioner"):
        load_captioner(CaptionerConfig(weights=str(tmp_path)), device="cpu", dtype="float32")
