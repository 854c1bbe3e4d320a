"""Options of LMSeg; nothing here needs a model's library."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.models.chat_config import ChatConfig


@dataclass(frozen=True, kw_only=True)
class EnrichmentConfig(Config):
    """Where the attributes of names come from."""

    file: str = option(
        "",
        "JSON file of attributes that a language model wrote before: its name under model, and "
        "under names for every name colour, shape and texture; robot_cell: the one of the package",
    )
    opening: str = option(
        "A photo of a {} in the scene",
        "beginning of a name's sentences, {} stands for the name; a small text tower never read of "
        "photos",
    )
    ask: bool = option(
        False, "ask the chat model, in the background, about names nobody wrote about"
    )
    retries: int = option(2, "further questions where a reply is no such JSON", low=0, high=10)
    each: bool = option(
        False,
        "ask about colour, shape and texture one by one: three questions a name, for the smallest "
        "models",
    )
    chat: ChatConfig = ChatConfig(weights="HuggingFaceTB/SmolLM2-1.7B-Instruct", max_tokens=160)

    def __post_init__(self) -> None:
        """Refuse sentences that leave the name out."""
        super().__post_init__()
        if self.opening.count("{}") != 1:
            raise ValueError(f"opening: expected one {{}} for the name, got {self.opening!r}")

    def used(self) -> tuple[str, ...]:
        """Without ``ask`` there is no chat model."""
        return super().used() if self.ask else ("file", "opening", "ask")


@dataclass(frozen=True, kw_only=True)
class Shape(Config):
    """Sizes of what is trained [choice: after CAT-Seg's published design, arXiv 2303.11797].

    The switches are the ablations of ``ovseg table lmseg``.
    """

    grid: int = option(24, "side of the feature map in places", low=4, high=96)
    width: int = option(128, "channels of a name's cost map", low=8)
    guidance: int = option(128, "channels of the image's and the text's guidance", low=1)
    layers: int = option(2, "aggregation layers", low=0, high=16)
    heads: int = option(4, "attention heads", low=1)
    window: int = option(12, "side of the spatial attention's windows in places", low=2)
    pool: int = option(2, "the class layer works on a map this many times smaller", low=1, high=8)
    decoder: tuple[int, ...] = option((64, 32), "channels of the decoder's two steps", low=1)
    decoder_guidance: tuple[int, ...] = option((32, 16), "channels of their guidance", low=1)
    features: str = option(
        "fused", "what meets the text", choices=("clip", "sam", "fused")
    )  # fmt: skip
    readout: str = option(
        "patch",
        "what CLIP says of a place: its patch's token (CAT-Seg), or token, a class token that "
        "looks at this patch alone, which is what a small CLIP learnt to compare with text",
        choices=("patch", "token"),
    )
    skip: bool = option(
        False,
        "the cost map itself is added to the logits with a learnt scale (CAT-Seg: no), so that a "
        "short training begins with what CLIP knows",
    )
    spatial: bool = option(True, "refine every name's map over places (Swin)")
    classes: bool = option(True, "refine every place over names (linear attention)")

    def __post_init__(self) -> None:
        """Validate the sizes against each other."""
        super().__post_init__()
        if self.width % self.heads:
            raise ValueError(f"heads: expected a divisor of width {self.width}, got {self.heads}")
        if self.width % 8:
            raise ValueError(f"width: expected a multiple of 8, got {self.width}")
        for name in ("decoder", "decoder_guidance"):
            if len(getattr(self, name)) != 2:
                raise ValueError(f"{name}: expected two numbers, got {getattr(self, name)}")
        if any(channels % 8 for channels in self.decoder):
            raise ValueError(f"decoder: expected multiples of 8, got {self.decoder}")


@dataclass(frozen=True, kw_only=True)
class LmsegConfig(Config):
    """Options of the LMSeg segmenter."""

    weights: str = option(
        "trained/lmseg",
        "directory of what `ovseg train lmseg` writes, or trained/NAME",
        kind="weights",
    )
    clip: str = option(
        "", "CLIP of open_clip; empty: the one the weights were trained with", kind="weights"
    )
    sam: str = option(
        "",
        "official segment-anything checkpoint, a SamModel of transformers, or a small one; empty: "
        "the one the weights were trained with",
        kind="weights",
    )
    prompts: str = option(
        "enriched",
        "class text: one plain sentence, or that and one for each attribute of a name",
        choices=("plain", "enriched"),
    )
    enrichment: EnrichmentConfig = EnrichmentConfig()
    canvas: int = option(
        640, "side of the square the image is stretched to; 0: one window only", low=0, high=4096
    )
    window: int = option(384, "side of the windows CLIP sees", low=32, high=4096)
    stride: int = option(256, "step of the windows", low=1, high=4096)
    whole: bool = option(True, "the whole canvas, shrunk to one window, is one view more")
    most: int = option(
        256, "names an image is compared with; the most similar ones of longer lists", low=1
    )
    threshold: float = option(
        0.0, "pixels whose best probability is lower stay unlabelled", low=0.0, high=1.0
    )

    def __post_init__(self) -> None:
        """Refuse windows with gaps between them."""
        super().__post_init__()
        if self.canvas > self.window and self.stride > self.window:
            raise ValueError(
                f"stride: expected at most window {self.window}, got {self.stride}: "
                "pixels between the windows would not be seen"
            )
