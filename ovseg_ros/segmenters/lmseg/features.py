"""What LMSeg sees: CLIP's dense features, and the neck of segment-anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.segmenters.fisa.attention import attend
from ovseg_ros.segmenters.fisa.towers import Block, Tower


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


def dense_features(tower: Tower, images: Tensor, *, readout: str = "patch") -> Dense:
    """Return CLIP's features of every patch [choice: the values of the last layer].

    All layers but the last run as they are. In the last one a place attends to itself alone: what
    is added to its token is the output projection of its own value, then comes the layer's MLP, as
    in CAT-Seg.

    Args:
        tower: CLIP's vision transformer.
        images: Normalised, (B, 3, H, W).
        readout: ``patch``, as above; or ``token``: every place has a class token of its own, which
            in every layer attends to that place and the class token alone. It is what FISA's mask
            tokens say of masks of one patch (arXiv 2409.16278, Eq. 5), and what a small CLIP learnt
            to compare with text: nothing ever compared its patches.
    """
    patches = tower.patches(images)
    size = patches.shape[2], patches.shape[3]
    x = tower.embed(patches)
    tokens = x[:, :1].expand(-1, x.shape[1], -1) if readout == "token" else None
    count, kept = len(tower.blocks), {}
    early, middle = (max(0, third * count // 3 - 1) for third in (1, 2))
    for number, block in enumerate(tower.blocks):
        query, key, value = block.project(block.normalise(x))
        if tokens is not None:
            tokens = block.add(tokens, block.output(_look(block, tokens, key, value)))
        last = number == count - 1
        attended = value if last else attend(query, key, value, block.heads)
        x = block.add(x, block.output(attended))
        if number in (early, middle):
            kept[number] = as_map(x, size)
    found = tower.finish(x if tokens is None else tokens)
    return Dense(as_map(found, size), kept[early], kept[middle])


def _look(block: Block, tokens: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return what tokens (B, 1 + N, C) see that attend to the class token and one place each."""
    asked = F.linear(block.normalise(tokens), *block.query()).unflatten(-1, (block.heads, -1))
    key, value = (t.unflatten(-1, (block.heads, -1)) for t in (key, value))
    further = (asked * (key - key[:, :1])).sum(-1, keepdim=True) / asked.shape[-1] ** 0.5
    found = value[:, :1] + further.sigmoid() * (value - value[:, :1])  # a softmax over the two
    return found.flatten(-2)


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
    mixed = weight * F.normalize(clip, dim=1)
    mixed = mixed + (1 - weight) * F.normalize(sam, dim=1)
    return F.normalize(mixed, dim=1)


def cost_map(features: Tensor, text: Tensor) -> Tensor:
    """Return E(i, j, n) = F(i, j) . T_n / (|F(i, j)| |T_n|), (B, K, h, w).

    Args:
        features: (B, D, h, w).
        text: (K, D).
    """
    features = F.normalize(features, dim=1)
    return torch.einsum("bdhw,kd->bkhw", features, F.normalize(text, dim=1))
