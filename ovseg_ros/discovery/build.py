"""Discoverers by name."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.discovery.base import Discoverer
from ovseg_ros.discovery.bboost import BBoost, BBoostConfig
from ovseg_ros.discovery.caption import CaptionConfig, WholeImageCaption
from ovseg_ros.discovery.captioner import CaptionerConfig, load_captioner
from ovseg_ros.discovery.keyframes import KeyFrameConfig
from ovseg_ros.discovery.masks import ColorMasks, load_sam
from ovseg_ros.discovery.nouns import NounConfig
from ovseg_ros.discovery.sam_blip import SamBlip, SamBlipConfig
from ovseg_ros.discovery.vlm import VlmConfig, load_vlm


@dataclass(frozen=True, kw_only=True)
class DiscoveryConfig(Config):
    """Which discoverer, and the options of all of them; captioner and nouns are shared."""

    name: str = option(
        "bboost",
        "bboost (parts of the image), caption (the whole image), sam_blip (crops around masks), "
        "vlm (a chat model lists them) or none (operator's words only)",
        choices=("bboost", "caption", "sam_blip", "vlm", "none"),
    )
    captioner: CaptionerConfig = CaptionerConfig()
    nouns: NounConfig = NounConfig()
    bboost: BBoostConfig = BBoostConfig()
    caption: CaptionConfig = CaptionConfig()
    keyframes: KeyFrameConfig = KeyFrameConfig()
    sam_blip: SamBlipConfig = SamBlipConfig()
    vlm: VlmConfig = VlmConfig()


def build_discoverer(config: DiscoveryConfig, *, device: str, dtype: str) -> Discoverer | None:
    """Load the discoverer a configuration names; None for ``none``.

    Args:
        config: The configuration.
        device: auto, cpu, cuda or cuda:N.
        dtype: auto, float32, bfloat16 or float16 for the models; clustering is always float32.

    Raises:
        FileNotFoundError: if weights are missing.
    """
    if config.name == "none":
        return None
    if config.name == "vlm":
        return load_vlm(config.vlm, config.nouns, device=device, dtype=dtype)
    captioner = load_captioner(config.captioner, device=device, dtype=dtype)
    if config.name == "caption":
        return WholeImageCaption(captioner, config.nouns, config.caption)
    if config.name == "sam_blip":
        options = config.sam_blip
        sam = options.masks == "sam"
        generator = load_sam(options.sam, device=device) if sam else ColorMasks(options.color)
        return SamBlip(generator, captioner, config.nouns, options)
    return BBoost(captioner, config.nouns, config.bboost)
