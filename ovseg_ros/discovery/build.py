"""Discoverers by name."""

from __future__ import annotations

from ovseg_ros.discovery.base import Discoverer
from ovseg_ros.discovery.config import DiscoveryConfig


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
    if config.name == "tags":
        from ovseg_ros.discovery.tags import load_tags

        return load_tags(config.tags, device=device)
    known = _build(config, device=device, dtype=dtype)
    if config.unfamiliar == "same":
        return known
    from ovseg_ros.discovery.familiar import Familiar
    from ovseg_ros.discovery.tags import load_tags

    return Familiar(known, load_tags(config.tags, device=device), config.tags.limit)


def _build(config: DiscoveryConfig, *, device: str, dtype: str) -> Discoverer:
    if config.name == "vlm":
        from ovseg_ros.discovery.vlm import load_vlm

        return load_vlm(config.vlm, config.nouns, device=device, dtype=dtype)
    from ovseg_ros.discovery.captioner import load_captioner

    captioner = load_captioner(config.captioner, device=device, dtype=dtype)
    if config.name == "caption":
        from ovseg_ros.discovery.caption import WholeImageCaption

        return WholeImageCaption(captioner, config.nouns, config.caption)
    if config.name == "sam_blip":
        from ovseg_ros.discovery.masks import ColorMasks, load_sam
        from ovseg_ros.discovery.sam_blip import SamBlip

        options = config.sam_blip
        sam = options.masks == "sam"
        generator = load_sam(options.sam, device=device) if sam else ColorMasks(options.color)
        return SamBlip(generator, captioner, config.nouns, options)
    from ovseg_ros.discovery.bboost import BBoost

    return BBoost(captioner, config.nouns, config.bboost)
