"""What LMSeg sees: CLIP's dense features, and the neck of segment-anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ovseg_ros.segmenters.fisa.attention import attend
from ovseg_ros.segmenters.fisa.towers import Tower


@dataclass(frozen=True)
class Dense:
    """CLIP's features of a view.

    Attributes:
        features: In the space of the text, (B, D, h, w).
        early: Tokens of an early layer, (B, C, h, w): guidance of the decoder's last step.
        middle: Tokens of a middle layer, (B, C, h, w): guidance of its first step.
    """

    features: Tensor
    early: Tensor
    middle: Tensor

    def __getitem__(self, part: slice) -> Dense:
        """Return some of the views."""
        return Dense(self.features[part], self.early[part], self.middle[part])


def dense_features(tower: Tower, images: Tensor, *, bare: bool = False) -> Dense:
    """Return CLIP's features of every patch [choice: the values of the last layer].

    All layers but the last run as they are. In the last one a place attends to itself alone: what
    is added to its token is the output projection of its own value, then comes the layer's MLP, as
    in CAT-Seg.

    Args:
        tower: CLIP's vision transformer.
        images: Normalised, (B, 3, H, W).
        bare: The projected values alone, with neither token nor MLP (after ClearCLIP, arXiv
            2407.12442): tokens of a small CLIP, which nothing ever compared with text, drown them.
    """
    patches = tower.patches(images)
    size = patches.shape[2], patches.shape[3]
    x = tower.embed(patches)
    count = len(tower.blocks)
    kept = {max(0, count // 3 - 1): "early", max(0, 2 * count // 3 - 1): "middle"}
    tokens: dict[str, Tensor] = {}
    for number, block in enumerate(tower.blocks):
        y = block.normalise(x)
        query, key, value = block.project(y)
        last = number == count - 1
        attended = value if last else attend(query, key, value, block.heads)
        found = block.output(attended)
        x = found if bare and last else block.add(x, found)
        if number in kept:
            tokens[kept[number]] = as_map(x, size)
    tokens.setdefault("early", tokens["middle"])
    return Dense(as_map(tower.finish(x), size), tokens["early"], tokens["middle"])


def as_map(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return patch tokens (B, 1 + h * w, C), the class token left out, as a map (B, C, h, w)."""
    return x[:, 1:].transpose(1, 2).unflatten(2, size)


def fuse(clip: Tensor, sam: Tensor, weight: Tensor) -> Tensor:
    """Return F = w F_c + (1 - w) F_s of unit vectors, of unit length again.

    Args:
        clip: CLIP's features, (B, D, h, w).
        sam: segment-anything's in the same space, (B, D, h, w).
        weight: The learnt w in (0, 1), ().
    """
    mixed = weight * nn.functional.normalize(clip, dim=1)
    mixed = mixed + (1 - weight) * nn.functional.normalize(sam, dim=1)
    return nn.functional.normalize(mixed, dim=1)


def cost_map(features: Tensor, text: Tensor) -> Tensor:
    """Return E(i, j, n) = F(i, j) . T_n / (|F(i, j)| |T_n|), (B, K, h, w).

    Args:
        features: (B, D, h, w).
        text: (K, D).
    """
    features = nn.functional.normalize(features, dim=1)
    return torch.einsum("bdhw,kd->bkhw", features, nn.functional.normalize(text, dim=1))
