"""What discovery costs, and what one batched generation saves against a call per cluster."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.bench.timing import Timing, measure, result_of
from ovseg_ros.discovery.bboost import BBoost
from ovseg_ros.discovery.build import build_discoverer
from ovseg_ros.discovery.captioner import Captioner
from ovseg_ros.discovery.config import CaptionerConfig
from ovseg_ros.models.device import resolve_device, resolve_dtype
from ovseg_ros.pipeline import PipelineConfig

SIZES: dict[str, dict[str, dict[str, int]]] = {
    "base": {},
    "large": {
        "vision_config": {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
        },
        "text_config": {"encoder_hidden_size": 1024},
    },
}
"""What distinguishes the published BLIPs from the defaults of transformers' ``BlipConfig``."""


def time_discovery(
    config: PipelineConfig, image: np.ndarray, *, runs: int, warmup: int, untrained: str = ""
) -> list[Timing]:
    """Time the discovery of a configuration; nothing to time if it has none.

    For BBoost, captioning is timed by itself as well: all clusters and passes in one generation,
    as it is done, against a call per cluster, and per cluster and pass.

    Args:
        config: The configuration.
        image: RGB, (H, W, 3) uint8.
        runs: Measured runs.
        warmup: Runs before.
        untrained: Time BBoost with a full-size BLIP ("base" or "large") that has random weights.
    """
    discovery = config.discovery
    if untrained:
        captioner = untrained_captioner(
            untrained, discovery.captioner, device=config.device, dtype=config.dtype
        )
        discoverer: Any = BBoost(captioner, discovery.nouns, discovery.bboost)
    else:
        discoverer = build_discoverer(discovery, device=config.device, dtype=config.dtype)
    if discoverer is None:
        return []
    often = {"runs": runs, "warmup": warmup}
    rows = [
        measure(
            f"discovery ({discoverer.name})",
            discoverer.device,
            lambda: discoverer.discover(image, seed=0),
            **often,
        )
    ]
    if isinstance(discoverer, BBoost):
        rows += time_captioning(discoverer, image, **often)
    return rows


def time_captioning(bboost: BBoost, image: np.ndarray, *, runs: int, warmup: int) -> list[Timing]:
    """Time the captions of one image's clusters, batched and call by call, on the same memories."""
    captioner, sizes = bboost.captioner, bboost.config.sizes
    with torch.inference_mode():
        clusters = bboost.cluster([captioner.encode(image, size) for size in sizes], seed=0)
        whole = captioner.encode(image, bboost.config.caption_size)
        memories = bboost.memories(whole, clusters)
    single = copy.copy(captioner)
    single.config = replace(captioner.config, passes=1)
    passes = captioner.config.passes
    ways: dict[str, Callable[[], object]] = {
        "one call": lambda: captioner.caption(memories),
        f"{len(memories)} calls": lambda: [captioner.caption([memory]) for memory in memories],
        f"{len(memories)} x {passes} calls": lambda: [
            single.caption([memory], seed=seed) for memory in memories for seed in range(passes)
        ],
    }
    return [
        measure(f"captions, {way}", bboost.device, run, runs=runs, warmup=warmup)
        for way, run in ways.items()
    ]


def untrained_captioner(
    size: str, config: CaptionerConfig, *, device: str, dtype: str
) -> Captioner:
    """Build a full-size BLIP from its configuration, with random weights, to time it.

    Its captions are noise and as long as they may be: the slowest case, for every way of calling.

    Raises:
        ValueError: if there is no such size.
    """
    from transformers import (  # type: ignore[attr-defined]
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    if size not in SIZES:
        raise ValueError(f"untrained: expected one of {', '.join(SIZES)}, got {size!r}")
    place = resolve_device(device)
    parts: dict[str, Any] = SIZES[size]
    blip: Any = BlipConfig(**parts)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of"]
    words += [f"word{n}" for n in range(blip.text_config.vocab_size - len(words) - 1)] + ["[DEC]"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.txt"
        file.write_text("\n".join(words) + "\n")
        tokenizer = BertTokenizerFast(str(file))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model: Any = BlipForConditionalGeneration(blip)
    model = model.to(place, resolve_dtype(dtype, place))
    return Captioner(model, BlipProcessor(BlipImageProcessor(), tokenizer), config)


def discovery_timings(job: Job) -> list[Timing]:
    """Time one discovery and its parts; a fifth of the runs, since it is slow."""
    return time_discovery(
        job.config,
        job.image,
        runs=max(1, job.runs // 5),
        warmup=min(job.warmup, 1),
        untrained=job.untrained,
    )


def bench_discovery(job: Job) -> Result:
    """``ovseg bench discovery``."""
    return result_of(discovery_timings(job), job)
