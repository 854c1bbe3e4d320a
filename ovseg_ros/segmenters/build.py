"""Segmenters by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.base import Segmenter
from ovseg_ros.segmenters.pnp_ovss.segmenter import PnpOvssConfig
from ovseg_ros.segmenters.simzss.segmenter import SimZSSConfig
from ovseg_ros.segmenters.xdecoder.segmenter import XDecoderConfig


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig(Config):
    """Which segmenter runs, and the options of each."""

    name: str = option("simzss", "which segmenter runs", choices=("simzss", "pnp_ovss", "xdecoder"))
    simzss: SimZSSConfig = SimZSSConfig()
    pnp_ovss: PnpOvssConfig = PnpOvssConfig()
    xdecoder: XDecoderConfig = XDecoderConfig()


def build_segmenter(
    config: SegmenterConfig, *, device: str = "auto", dtype: str = "auto"
) -> Segmenter:
    """Build the segmenter that ``config.name`` names; see its class for errors."""
    from ovseg_ros.segmenters.pnp_ovss.segmenter import PnpOvssSegmenter
    from ovseg_ros.segmenters.simzss.segmenter import SimZSSSegmenter
    from ovseg_ros.segmenters.xdecoder.segmenter import XDecoderSegmenter

    builders: dict[str, Callable[[], Segmenter]] = {
        "simzss": lambda: SimZSSSegmenter(config.simzss, device=device, dtype=dtype),
        "pnp_ovss": lambda: PnpOvssSegmenter(config.pnp_ovss, device=device, dtype=dtype),
        "xdecoder": lambda: XDecoderSegmenter(config.xdecoder, device=device, dtype=dtype),
    }
    return builders[config.name]()
