"""Options of every discoverer; nothing here needs a model's library."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.language.nouns import NounConfig


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig(Config):
    """Which BLIP, and how it decodes (AutoSeg's local captioning; lengths count the prompt)."""

    weights: str = option(
        "Salesforce/blip-image-captioning-base",
        "folder, robot_cell/NAME or public name of a BLIP",
        kind="weights",
    )
    tower: str = option(
        "",
        "SimZSS whose pyramid the BLIP looks through, folder or robot_cell/NAME; none by default",
        kind="weights",
    )
    vision_epsilon: float = option(
        0.0,
        "epsilon of the LayerNorms of the vision tower; 0: as the weights' config.json says "
        "(the authors trained with 1e-6, which the converted weights' does not)",
        low=0.0,
        high=1.0,
    )
    prompt: str = option("a picture of", "how every caption begins")
    passes: int = option(5, "captions per cluster", low=1, high=64)
    sample: bool = option(True, "sample captions; else greedy, and every pass reads the same")
    top_p: float = option(1.0, "nucleus of the sampling", low=1e-3, high=1.0)
    top_k: int = option(
        50, "sample among so many words, as AutoSeg's run did; 0: among all", low=0, high=1_000_000
    )
    temperature: float = option(1.0, "temperature of the sampling", low=1e-3, high=10.0)
    max_length: int = option(25, "longest caption in tokens", low=2, high=512)
    min_length: int = option(4, "shortest caption in tokens", low=0, high=512)
    repetition_penalty: float = option(1.1, "above 1 punishes repeated words", low=0.1, high=1e3)


@dataclass(frozen=True, kw_only=True)
class BBoostConfig(Config):
    """Sizes and weights of BBoost; the defaults are the paper's."""

    sizes: tuple[int, ...] = option(
        (384, 512), "squares the image is clustered at, in pixels", low=16, high=4096
    )
    k_min: int = option(2, "smallest number of clusters", low=1, high=64)
    k_max: int = option(8, "largest number of clusters", low=1, high=64)
    inits: int = option(8, "random starts per k-means", low=1, high=100)
    iterations: int = option(100, "longest k-means", low=1, high=10_000)
    tolerance: float = option(1e-4, "k-means rests below this shift", low=0.0, high=1.0)
    positional_dims: int = option(256, "dimensions of the positional code", low=0, high=4096)
    positional_weight: float = option(1.0, "weight of the positional code", low=0.0, high=1e3)
    crf: str = option(
        "pydensecrf",
        "who smooths the cluster probabilities",
        choices=("pydensecrf", "torch", "none"),
    )
    crf_weight: float = option(6.0, "weight of the CRF's smoothness", low=0.0, high=1e3)
    crf_theta: float = option(0.8, "reach of the CRF's smoothness in patches", low=0.01, high=100.0)
    crf_iterations: int = option(5, "rounds of mean field", low=0, high=100)
    majority_rounds: int = option(8, "most rounds of the 3x3 majority filter", low=0, high=100)
    refine_clusters: bool = option(
        False, "pull the reported cluster masks to the image's edges at its full size (slow)"
    )
    caption_size: int = option(512, "square the captions are read at", low=16, high=4096)
    caption_mode: str = option(
        "concat",
        "what the decoder sees of a cluster: its patches in the whole image, alone, both, or CLS",
        choices=("global", "local", "concat", "cls"),
    )
    as_released: bool = option(
        False, "repeat what the authors' code does differently from the paper (docs/as_released.md)"
    )

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        if self.k_min > self.k_max:
            raise ValueError(f"k_max: expected >= k_min = {self.k_min}, got {self.k_max}")
        if not self.sizes:
            raise ValueError("sizes: expected at least one size, got none")
        if self.positional_dims % 4:
            raise ValueError(
                f"positional_dims: expected a multiple of 4, got {self.positional_dims}"
            )


@dataclass(frozen=True, kw_only=True)
class CaptionConfig(Config):
    """Options of the baseline."""

    size: int = option(384, "square the image is resized to, in pixels", low=16, high=4096)


@dataclass(frozen=True, kw_only=True)
class SamConfig(Config):
    """segment-anything's automatic mask generation (Kirillov et al., ICCV 2023)."""

    weights: str = option("", "official checkpoint, e.g. sam_vit_h_4b8939.pth", kind="weights")
    points_per_side: int = option(32, "grid of points that are asked about", low=1, high=256)
    points_per_batch: int = option(64, "points at a time", low=1, high=4096)
    min_iou: float = option(0.88, "masks it trusts less are dropped", low=0.0, high=1.0)
    min_stability: float = option(0.95, "masks less stable are dropped", low=0.0, high=1.0)
    max_overlap: float = option(0.7, "box IoU above which the worse mask goes", low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class ColorConfig(Config):
    """Mean-shift regions: no model at all, and far below segment-anything on real images."""

    max_side: int = option(320, "the longer side at which regions are found", low=16, high=4096)
    reach_px: float = option(8.0, "radius of the mean shift", low=1.0, high=100.0)
    tolerance: float = option(24.0, "colour radius of the mean shift, of 255", low=1.0, high=255.0)


@dataclass(frozen=True, kw_only=True)
class SamBlipConfig(Config):
    """Options of the baseline."""

    masks: str = option(
        "sam",
        "who cuts the image: sam, or color (needs no weights)",
        choices=("sam", "color"),
    )
    max_masks: int = option(32, "only the largest masks are captioned", low=1, high=1000)
    min_share: float = option(
        0.002, "masks below this share of the image are dropped", low=0.0, high=1.0
    )
    margin: float = option(0.1, "crops grow by this share of their sides", low=0.0, high=10.0)
    size: int = option(384, "square the crops are resized to, in pixels", low=16, high=4096)
    batch: int = option(8, "crops that are captioned at once", low=1, high=1024)
    sam: SamConfig = SamConfig()
    color: ColorConfig = ColorConfig()


@dataclass(frozen=True, kw_only=True)
class VlmConfig(Config):
    """Which model is asked, and what."""

    weights: str = option(
        "llava-hf/llava-1.5-7b-hf",
        "folder or public name of an image-text-to-text chat model",
        kind="weights",
    )
    question: str = option(
        "Which objects and surfaces does this image show? Reply with their names alone, "
        "separated by commas.",
        "what the model is asked about the image",
    )
    max_tokens: int = option(128, "longest answer in tokens", low=1, high=4096)
    tiles: int = option(
        1,
        "2: ask about the four overlapping quarters of the image as well, 3: about nine ninths; "
        "finds small things, each tile takes another answer",
        low=1,
        high=8,
    )


@dataclass(frozen=True, kw_only=True)
class KeyFrameConfig(Config):
    """What makes a frame worth a discovery."""

    drift: float = option(
        0.0,
        "how far the picture must have drifted since the last discovery (0 the same, 1 unrelated, "
        "2 the negative); 0: discover at every period",
        low=0.0,
        high=2.0,
    )
    repeats: int = option(
        2,
        "discoveries after a drift, one a period; as many as vocabulary.admit wants, or new words "
        "wait for the next drift",
        low=1,
        high=1000,
    )
    longest_s: float = option(
        30.0, "discover after this long without a drift as well", low=0.0, high=86_400.0
    )


@dataclass(frozen=True, kw_only=True)
class TagsConfig(Config):
    """Options of the tower's own tags: names of a thousand real things, at the cost of one pass."""

    tower: str = option("robot_cell/tower", "folder of `ovseg train tower`", kind="weights")
    size: int = option(288, "short side the image is resized to, in pixels", low=64, high=4096)
    clusters: tuple[int, ...] = option((3, 5), "how many parts, beside the whole", low=2, high=64)
    min_similarity: float = option(
        0.4, "cosine from which a part is called by its nearest class", low=0.0, high=1.0
    )
    level: str = option(
        "basic", "basic: dog, with malamute as a synonym; fine: malamute", choices=("basic", "fine")
    )
    most: int = option(8, "names at most, the surest first", low=1, high=1000)
    limit: float = option(
        20.0,
        "as `unfamiliar`: an image this strange to the robot cell gets tags (its own frames and "
        "those of a second generator are at most 18, photographs from 24 on)",
        low=0.0,
        high=1e6,
    )


PARTS: dict[str, tuple[str, ...]] = {
    "bboost": ("captioner", "nouns", "bboost"),
    "caption": ("captioner", "nouns", "caption"),
    "sam_blip": ("captioner", "nouns", "sam_blip"),
    "tags": ("tags",),
    "vlm": ("nouns", "vlm"),
    "none": (),
}
"""Every discoverer by name, and which fields of :class:`DiscoveryConfig` it reads."""


@dataclass(frozen=True, kw_only=True)
class DiscoveryConfig(Config):
    """Which discoverer, and the options of all of them; captioner and nouns are shared."""

    name: str = option(
        "bboost",
        "bboost (parts of the image), caption (the whole image), sam_blip (crops around masks), "
        "tags (ImageNet's names for parts), vlm (a chat model lists them) or none (operator's "
        "words only)",
        choices=tuple(PARTS),
    )
    unfamiliar: str = option(
        "same",
        "who names images that look like nothing of the robot cell: same, or tags",
        choices=("same", "tags"),
    )
    captioner: CaptionerConfig = CaptionerConfig()
    nouns: NounConfig = NounConfig()
    bboost: BBoostConfig = BBoostConfig()
    caption: CaptionConfig = CaptionConfig()
    keyframes: KeyFrameConfig = KeyFrameConfig()
    sam_blip: SamBlipConfig = SamBlipConfig()
    tags: TagsConfig = TagsConfig()
    vlm: VlmConfig = VlmConfig()

    def used(self) -> tuple[str, ...]:
        """Return the fields of the discoverer that is chosen."""
        tags = ("tags",) if self.unfamiliar == "tags" and self.name not in ("tags", "none") else ()
        return ("name", "unfamiliar", "keyframes", *PARTS[self.name], *tags)
