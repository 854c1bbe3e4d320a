"""The benchmark of discovery: the same captions, called in three ways."""

from __future__ import annotations

import numpy as np
import pytest

from ovseg_ros.discovery import bench as discovery_bench
from ovseg_ros.discovery.bboost import BBoost
from ovseg_ros.discovery.bench import time_captioning, untrained_captioner
from ovseg_ros.discovery.captioner import Captioner
from ovseg_ros.discovery.config import BBoostConfig, CaptionerConfig
from ovseg_ros.language.nouns import NounConfig

SMALL = BBoostConfig(sizes=(64, 96), positional_dims=16, caption_size=96, inits=2, k_max=4)


def test_the_same_memories_are_captioned_in_three_ways(
    captioner: Captioner, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    calls: list[tuple[int, int]] = []
    caption = Captioner.caption

    def count(self: Captioner, memories: list, *, seed: int = 0):
        calls.append((len(memories), self.config.passes))
        return caption(self, memories, seed=seed)

    monkeypatch.setattr(Captioner, "caption", count)
    bboost = BBoost(captioner, NounConfig(), SMALL)
    rows = time_captioning(bboost, image, runs=1, warmup=0)
    clusters = calls[0][0]
    assert [row.stage for row in rows] == [
        "captions, one call",
        f"captions, {clusters} calls",
        f"captions, {clusters} x 2 calls",
    ]
    once = [(clusters, 2)] * 2 + [(1, 2)] * clusters * 2 + [(1, 1)] * clusters * 2 * 2
    assert calls == once
    assert all(row.runs == 1 and row.median_ms > 0 for row in rows)


def test_an_untrained_blip_is_as_large_as_asked(monkeypatch: pytest.MonkeyPatch, image: np.ndarray):
    vision = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tiny = {"vision_config": vision, "text_config": {**text, "encoder_hidden_size": 32}}
    monkeypatch.setitem(discovery_bench.SIZES, "tiny", tiny)
    config = CaptionerConfig(passes=2, max_length=8)
    captioner = untrained_captioner("tiny", config, device="cpu", dtype="float32")
    assert captioner.model.config.vision_config.hidden_size == 32
    assert captioner.model.config.text_config.vocab_size == len(captioner.tokenizer) == 30_524
    ((first, second),) = captioner.caption([captioner.encode(image, 64).features])
    assert first.split()[0].startswith("word")
    assert first != second
    with pytest.raises(ValueError, match="untrained: expected one of base, large, tiny"):
        untrained_captioner("huge", config, device="cpu", dtype="float32")


def test_the_large_one_differs_from_the_base_one():
    from transformers import BlipConfig

    base, large = (BlipConfig(**discovery_bench.SIZES[size]) for size in ("base", "large"))
    assert (base.vision_config.hidden_size, base.vision_config.num_hidden_layers) == (768, 12)
    assert (large.vision_config.hidden_size, large.vision_config.num_hidden_layers) == (1024, 24)
    assert large.text_config.encoder_hidden_size == 1024
