"""What frozen parts say of an image, kept: rows of a table ask for the same images."""

from __future__ import annotations

import hashlib
from typing import Any

from torch import Tensor, nn

from ovseg_ros.segmenters.fisa.model import Fisa


class FrozenMemory:
    """Lets models that stand on the same frozen parts share what these say of an image."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._said: dict[tuple[str, bytes], Any] = {}

    def share(self, model: Fisa, *, proposals: bool = True) -> None:
        """Let a model ask here before it asks its generator, and before it makes CLIP's patches.

        Its generator and its patches' projection must be those of the models before it.

        Args:
            model: A model.
            proposals: False for a generator of its own, whose proposals are not shared.
        """
        if proposals:
            self._remember(model.generator, "propose", "proposals")
        self._remember(model.classifier.tower.embedding, "forward", "patches")

    def _remember(self, module: nn.Module, method: str, name: str) -> None:
        compute: Any = getattr(module, method)

        def remembered(images: Tensor) -> Any:
            pixels = images.detach().cpu().float().contiguous()
            key = (name, hashlib.sha256(pixels.numpy().tobytes()).digest())
            if key not in self._said:
                self._said[key] = compute(images)
            return self._said[key]

        setattr(module, method, remembered)
