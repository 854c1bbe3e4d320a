"""Options of PnP-OVSS; nothing here needs a model's library."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.models.crf import CrfConfig


@dataclass(frozen=True, kw_only=True)
class FilterConfig(Config):
    """Which filter, and how strict."""

    name: str = option(
        "itm",
        "itm: the matcher's own score of each name; clip: similarity; chat: a model that is asked; "
        "file: lists made before; none: every name",
        choices=("itm", "clip", "chat", "file", "none"),
    )
    threshold: float = option(
        0.5,
        "itm: least probability of a match; clip: least odds of a name against the best one",
        low=0.0,
        high=1.0,
    )
    weights: str = option("", "model of clip or chat: folder or public name", kind="weights")
    file: str = option(
        "",
        "JSON of file: a list of names for all images, or lists by image; the authors' GPT-4o "
        "files are read as they are",
    )
    images: str = option(
        "", "folder of the images that the JSON lists; by default the folder of the JSON"
    )
    tokens: int = option(256, "longest answer of chat in tokens", low=1)


@dataclass(frozen=True, kw_only=True)
class SaliencyConfig(Config):
    """Where salience is read, and how it is completed."""

    opening: str = option("A picture of", "how the text before the names begins")
    layer: int = option(8, "block of the text encoder, from 1 (paper: 8)", low=1)
    head: int = option(10, "head of that block, from 1 (paper: 10)", low=1)
    gradcam: bool = option(True, "weigh attention by the gradient of the match")
    passes: int = option(4, "passes of Salience DropOut; 1 for none", low=1, high=64)
    dropped: int = option(10, "patches that are dropped after a pass", low=1)
    end_votes: bool = option(
        False, "a text's end mark votes, too, on what is dropped (docs/as_released.md)"
    )
    rows: int = option(32, "texts that share a forward pass", low=1, high=4096)


@dataclass(frozen=True, kw_only=True)
class MaskConfig(Config):
    """From salience to masks."""

    threshold: float = option(
        0.15, "salience below this share of a name's range is nothing", low=0.0, high=1.0
    )
    sigma: float = option(
        0.05, "blur: standard deviation as a share of the longer side; 0: none", low=0.0, high=1.0
    )
    background: str = option(
        "few",
        "where no name is salient is unlabelled: always; only with fewer than 3 names (few, for "
        "vocabularies with stuff); never",
        choices=("always", "few", "never"),
    )
    max_side: int = option(
        1024, "larger images are labelled at this longer side", low=16, high=16_384
    )
    crf: bool = option(True, "pull the masks to the image's edges by a dense CRF")
    kernels: CrfConfig = CrfConfig(
        iterations=10,
        smooth_weight=7.0,
        smooth_px=3.0,
        colour_weight=10.0,
        colour_px=50.0,
        colour=5.0,
    )


@dataclass(frozen=True, kw_only=True)
class PnpOvssConfig(Config):
    """Options of the PnP-OVSS segmenter; the defaults are the paper's for BLIP."""

    weights: str = option(
        "Salesforce/blip-itm-large-flickr",
        "BLIP matcher or BridgeTower: folder, robot_cell/NAME or public name",
        kind="weights",
    )
    tower: str = option(
        "",
        "folder or robot_cell/NAME of a SimZSS whose pyramid a small BLIP looks through; empty: "
        "the model sees the pixels",
        kind="weights",
    )
    vision_epsilon: float = option(
        0.0,
        "epsilon of the LayerNorms of BLIP's vision tower; 0: as the weights' config.json says "
        "(the authors trained with 1e-6, which the converted weights' does not)",
        low=0.0,
        high=1.0,
    )
    image_size: int = option(336, "side of the square the model sees, in pixels", low=16, high=4096)
    filter: FilterConfig = FilterConfig()
    saliency: SaliencyConfig = SaliencyConfig()
    masks: MaskConfig = MaskConfig()
    as_released: bool = option(
        False, "repeat what the authors' code does differently from the paper (docs/as_released.md)"
    )
