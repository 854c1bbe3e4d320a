"""The tower that has seen photographs as text meets it: the cell's names and a thousand others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.models.conv_tower import STRIDE
from ovseg_ros.models.files import read_object, read_tensors
from ovseg_ros.models.logit_adjustment import LogitAdjustment
from ovseg_ros.models.screening import may_exceed, pays
from ovseg_ros.models.tower import CELL_FILE, COARSEST, MEANINGS, PhotoTower, named_tower
from ovseg_ros.models.weights import resolve_weights


class WordTower(nn.Module):
    """The tower as text meets it: patches of the neck and of the trunk side by side.

    A token is [neck / sqrt(2), trunk / sqrt(2), 0]: the neck's patch and the trunk's last features
    in their basis, each of unit length. Nothing an image shows has a part in the last dimension, so
    that text which means nothing the tower knows can point there and is similar to no image.
    """

    patch = (STRIDE, STRIDE)

    def __init__(self, tower: PhotoTower, adjustment: LogitAdjustment | None = None) -> None:
        """Wrap a tower, and what its training noted about rare categories."""
        super().__init__()
        self.tower = tower
        self.adjustment = adjustment
        self.embed_dim = tower.embed_dim + MEANINGS + 1
        self._prototypes: Tensor | None = None

    @property
    def trunk(self) -> nn.Module:
        """The part that is pretrained: the whole tower."""
        return self.tower

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images (B, 3, H, W) that are normalised with CLIP's statistics.

        Returns:
            Class tokens (B, D) and patch tokens (B, H/8, W/8, D), all of unit length.
        """
        first, patches, last = self.tower.features(images)
        coarse = torch.einsum("bchw,cd->bdhw", last, self.tower.basis.to(last.dtype))
        fine = _spread(coarse, patches)
        joined = self._join(patches, fine.permute(0, 2, 3, 1))
        return self._join(first, coarse.mean((2, 3))), joined

    def head_start(self, text: Tensor) -> Tensor:
        """Return the part of similarities with text (N, D) that rarity brought, (N,) float32.

        See :class:`~ovseg_ros.models.logit_adjustment.LogitAdjustment`; 0 of a tower without notes.
        """
        if self.adjustment is None:
            return text.new_zeros(len(text))
        return 0.5**0.5 * self.adjustment(text[:, : self.tower.embed_dim])

    def cell_half(self, tokens: Tensor) -> Tensor:
        """Return tokens (..., D) with the neck's half alone, of unit length.

        Captions of the cell are learned on it: the trunk's half, which is coarse, would blur where
        a word looks.
        """
        half = F.normalize(tokens[..., : self.tower.embed_dim], dim=-1)
        return F.pad(half, (0, tokens.shape[-1] - half.shape[-1]))

    def meaning(self, classes: tuple[int, ...]) -> Tensor:
        """Return the unit vector (D,) of a word that covers some of ImageNet's classes."""
        prototype = F.normalize(self.tower.prototypes()[list(classes)].mean(0), dim=0)
        return F.pad(prototype, (self.tower.embed_dim, 1))

    def match(
        self,
        images: Tensor,
        text: Tensor,
        covered: Sequence[tuple[int, ...]],
        less: Tensor,
        *,
        floor: float | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the similarities of patches with text, (B, n, H/8, W/8) float32, and of which.

        For a text that covers ImageNet's classes, the best of those classes counts: a dog is one
        of 118 kinds, not their mean. Where the trunk answers weakly it counts for less, because
        around an object the features still point at it, only not strongly. All other texts are
        compared by the cosine.

        Args:
            images: Normalised, (B, 3, H, W).
            text: Unit vectors, (K, D).
            covered: For every text the classes it covers, none for others.
            less: What is taken off the similarities of texts that cover none, (K,).
            floor: Texts that exceed it nowhere may be left out; by default none is.

        Returns:
            The similarities, and the n texts that they belong to, (n,) int64, ascending; None if
            they are of all.
        """
        _, patches, last = self.tower.features(images)
        coarse = last.float().permute(0, 2, 3, 1) @ self.tower.basis.float()  # (B, h, w, 192)
        fine = _spread(coarse.permute(0, 3, 1, 2).to(patches.dtype), patches)
        joined = self._join(patches, fine.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        tokens = joined.float()
        among = None
        if floor is not None and pays(len(text), text.device):
            kept = may_exceed(joined, text, floor + less)
            kept[[number for number, classes in enumerate(covered) if classes]] = True
            kept[0] |= ~kept.any()  # of none there is no product
            among = kept.nonzero()[:, 0]
            text, less = text[among], less[among]
            covered = [covered[number] for number in among.tolist()]
        # The product of patches and text, in half the time that it takes as one of matrices.
        found = F.conv2d(tokens, text[:, :, None, None], bias=-less)
        real = [number for number, classes in enumerate(covered) if classes]
        if real:
            kinds = self._kinds(coarse, [covered[number] for number in real])
            found[:, real] = _spread(kinds, patches)
        return found, among

    def _kinds(self, coarse: Tensor, covered: Sequence[tuple[int, ...]]) -> Tensor:
        """Return the weighed similarity with the best class of each group, (B, N, h, w)."""
        length = coarse.norm(dim=-1)  # (B, h, w)
        largest = length.flatten(1).quantile(0.95, dim=1)[:, None, None].clamp_min(1e-6)
        strength = 0.5**0.5 * (length / largest).clamp(max=1)[..., None]
        if self._prototypes is None:
            self._prototypes = self.tower.prototypes()
        places = F.normalize(coarse, dim=-1).flatten(0, 2)  # (B * h * w, 192)
        classes = [number for group in covered for number in group]
        sizes = torch.tensor([len(group) for group in covered], device=coarse.device)
        cosines = self._prototypes[classes].to(coarse) @ places.T  # a row for each class of each
        best = torch.segment_reduce(cosines, "max", lengths=sizes)  # (N, B * h * w)
        return (strength * best.T.unflatten(0, coarse.shape[:3])).permute(0, 3, 1, 2)

    def _join(self, neck: Tensor, trunk: Tensor) -> Tensor:
        parts = [F.normalize(part, dim=-1) * 0.5**0.5 for part in (neck, trunk)]
        return torch.cat([*parts, torch.zeros_like(neck[..., :1])], -1)

    def fuse(self) -> WordTower:
        """Fold batch norms, see :meth:`PhotoTower.fuse`; return itself in eval mode."""
        self.tower.fuse()
        return self.eval()


def named_word_tower(tower: str, digest: str, *, taught: Sequence[str] = ()) -> WordTower:
    """Load the tower that a text tower stands on, and what its training noted about rarity.

    Rarity is of use only for the categories that it was noted of. Where text was taught other
    names, on images that the tower never saw, none of them had a head start.

    Args:
        tower: A folder, or ``robot_cell/tower``.
        digest: Its digest, see :func:`~ovseg_ros.models.tower.named_tower`.
        taught: The names that text was taught.
    """
    photo_tower, directory = named_tower(tower, digest), Path(resolve_weights(tower))
    path = directory / CELL_FILE
    noted = read_tensors(path) if path.is_file() else {}
    own = read_object(directory / "config.json", option="tower").get("categories", ())
    adjustment = None
    if "rarity" in noted and set(own) <= set(taught):
        adjustment = LogitAdjustment(noted["category_means"], noted["rarity"], noted["scale"])
    return WordTower(photo_tower, adjustment)


def _spread(coarse: Tensor, patches: Tensor) -> Tensor:
    """Return a map of stride 32, (B, D, H, W), where the patches (B, h, w, C) are: (B, D, h, w)."""
    times = COARSEST // STRIDE
    fine = F.interpolate(coarse, scale_factor=times, mode="bilinear", align_corners=False)
    return fine[..., : patches.shape[1], : patches.shape[2]]
