"""Segmenters by name."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.base import Segmenter
from ovseg_ros.segmenters.simzss.segmenter import SimZSSConfig


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig(Config):
    """Which segmenter runs, and the options of each."""

    name: str = option("simzss", "which segmenter runs", choices=("simzss",))
    simzss: SimZSSConfig = SimZSSConfig()


def build_segmenter(
    config: SegmenterConfig, *, device: str = "auto", dtype: str = "auto"
) -> Segmenter:
    """Build the segmenter that ``config.name`` names; see its class for errors."""
    from ovseg_ros.segmenters.simzss.segmenter import SimZSSSegmenter

    builders = {
        "simzss": lambda: SimZSSSegmenter(config.simzss, device=device, dtype=dtype),
    }
    return builders[config.name]()
