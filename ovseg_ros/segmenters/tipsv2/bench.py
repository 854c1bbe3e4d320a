"""What a frame costs with TIPSv2, and what its text tower takes when new words come."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ovseg_ros.bench.jobs import Job, Result
from ovseg_ros.bench.timing import Timing, measure, result_of
from ovseg_ros.segmenters.tipsv2.config import Tipsv2Config
from ovseg_ros.segmenters.tipsv2.segmenter import Tipsv2Segmenter
from ovseg_ros.types import Vocabulary

SIZES: dict[str, dict[str, Any]] = {
    "base": {},
    "large": {
        "vision_config": {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
        },
        "text_config": {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_attention_heads": 16,
        },
    },
}
"""What distinguishes TIPSv2 B/14 and L/14 from the defaults of transformers' ``Tipsv2Config``."""


def bench(job: Job) -> Result:
    """``ovseg bench tipsv2``: whole image, windows, new words.

    Raises:
        ValueError: if the size of a model with random weights is unknown.
    """
    options = job.config.segmenter.tipsv2
    if not job.untrained:
        return result_of(timings(options, job), job)
    with tempfile.TemporaryDirectory() as folder:
        save_untrained(job.untrained, Path(folder))
        return result_of(timings(replace(options, weights=folder), job), job)


def timings(options: Tipsv2Config, job: Job) -> list[Timing]:
    """Time the ways to see an image, and the reading of ten new words."""
    rows = []
    names = [f"object {number}" for number in range(max(job.counts))]
    for title, window in (("whole image", 0), ("windows", 448)):
        segmenter = Tipsv2Segmenter(
            replace(options, window=window), device=job.config.device, dtype=job.config.dtype
        )
        for count in job.counts:
            words = Vocabulary.of(*names[:count])
            rows.append(
                measure(
                    f"{title}, {count} names",
                    segmenter.device,
                    lambda words=words: segmenter.segment(job.image[None], words),  # type: ignore[misc] # noqa: B023
                    runs=job.runs,
                    warmup=job.warmup,
                )
            )
    fresh = itertools.count()
    rows.append(
        measure(
            "ten new words",
            segmenter.device,
            lambda: segmenter.embed([f"new {next(fresh)}" for _ in range(10)]),
            runs=job.runs,
            warmup=job.warmup,
        )
    )
    return rows


def save_untrained(size: str, folder: Path) -> None:
    """Write a full-size model with random weights and letters for tokens.

    Raises:
        ValueError: if the size is unknown.
    """
    if size not in SIZES:
        raise ValueError(f"untrained: expected one of {', '.join(SIZES)}, got {size!r}")
    from transformers import Tipsv2Config as Shapes
    from transformers import Tipsv2Model, Tipsv2Tokenizer

    torch.manual_seed(0)
    Tipsv2Model(Shapes(**SIZES[size])).save_pretrained(folder)
    pieces = ["<pad>", "<unk>", "\u2581", *map(chr, range(33, 127))]
    Tipsv2Tokenizer(vocab={piece: i for i, piece in enumerate(pieces)}).save_pretrained(folder)
