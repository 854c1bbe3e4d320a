"""The whole-image caption baseline (the paper's "X-Decoder + BLIP")."""

from __future__ import annotations

import numpy as np

from ovseg_ros.discovery.captioner import Captioner
from ovseg_ros.discovery.config import CaptionConfig
from ovseg_ros.language.nouns import NounConfig, support
from ovseg_ros.types import Discovery


class WholeImageCaption:
    """Captions the image as a whole and takes the nouns."""

    name = "caption"

    def __init__(self, captioner: Captioner, nouns: NounConfig, config: CaptionConfig) -> None:
        """Combine the parts."""
        captioner.check_size(config.size)
        self.captioner = captioner
        self.nouns = nouns
        self.config = config
        self.device = str(captioner.device)

    def discover(self, image: np.ndarray, *, seed: int = 0) -> Discovery:
        """Find the names of one image (H, W, 3) uint8 RGB; see ``Discoverer.discover``."""
        encoding = self.captioner.encode(image, self.config.size)
        captions = self.captioner.caption([encoding.features], seed=seed)
        found = support(captions, self.nouns)
        return Discovery(proposals=found.proposals, captions=tuple(captions[0]))
