"""Shapes of an X-Decoder: the two published ones, and what small weights say about themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

IMAGENET_MEAN = (123.675, 116.28, 103.53)
"""Channel means of RGB in 0..255 that images are normalised with."""

IMAGENET_STD = (58.395, 57.12, 57.375)
"""Channel standard deviations of RGB in 0..255."""

STRIDE = 32
"""Images are zero-padded to a multiple of this many pixels."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Shapes of backbone, pixel decoder, decoder and text tower.

    Attributes:
        dim: Channels of the backbone's first stage; they double with every stage.
        depths: Blocks of the four stages.
        focal_levels: Depthwise convolutions of a focal modulation; kernel = window + 2 * level.
        focal_window: Kernel of the first of them.
        depthwise: Focal-T's blocks: a depthwise 3x3 before the modulation and before the MLP.
        stem_padding: Zero padding of the 7x7 stem.
        queries: Decoder queries; the last one is the class token.
        width: Channels of pixel decoder, decoder and masks.
        heads: Attention heads of both.
        feedforward: Hidden width of their MLPs.
        encoder_layers: Transformer layers on the coarsest map.
        decoder_layers: Decoder layers.
        groups: Groups of the pixel decoder's GroupNorm.
        text_width: Width of the text tower, and of the space where queries meet text.
        text_layers: Blocks of the text tower.
        text_heads: Attention heads of the text tower.
        context_length: Tokens of a prompt.
        vocab_size: Ids of the tokenizer.
        pyramid: Arguments of :class:`~ovseg_ros.models.maps.TowerMaps`, the backbone in place of
            FocalNet; empty for FocalNet.
    """

    dim: int = 192
    depths: tuple[int, ...] = (2, 2, 18, 2)
    focal_levels: int = 4
    focal_window: int = 3
    depthwise: bool = False
    stem_padding: int = 2
    queries: int = 201
    width: int = 512
    heads: int = 8
    feedforward: int = 2048
    encoder_layers: int = 6
    decoder_layers: int = 9
    groups: int = 32
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    context_length: int = 77
    vocab_size: int = 49408
    pyramid: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate."""
        if len(self.depths) != 4:
            raise ValueError(f"depths: expected four stages, got {len(self.depths)}")
        if self.queries < 2:
            raise ValueError(f"queries: expected an object and the class token, got {self.queries}")
        if self.width % 4:
            raise ValueError(f"width: expected a multiple of 4 (sines), got {self.width}")
        for name, width, parts in (
            ("heads", self.width, self.heads),
            ("groups", self.width, self.groups),
            ("text_heads", self.text_width, self.text_heads),
        ):
            if width % parts:
                raise ValueError(f"{name}: expected a divisor of {width}, got {parts}")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Architecture:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: naming entries that are unknown.
        """
        unknown = sorted(set(values) - {entry.name for entry in fields(cls)})
        if unknown:
            raise ValueError(f"config.json: expected no entry {', '.join(unknown)}")
        found: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**found)

    def to_json(self) -> dict[str, Any]:
        """Return all shapes as plain values."""
        return asdict(self)


FOCAL_L = Architecture()
"""Published X-Decoder with Focal-L (341.6M parameters)."""

FOCAL_T = Architecture(
    dim=96, depths=(2, 2, 6, 2), focal_levels=3, depthwise=True, stem_padding=3, queries=101
)
"""Published X-Decoder with Focal-T (164.5M parameters)."""
