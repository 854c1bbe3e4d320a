"""Logit adjustment (arXiv 2007.07314): the head start of rare categories is taken back in use.

A tower learns with rare categories weighed more, else it would not see a domino at all. A
cross-entropy with weights w puts log w on the logit of what is there. Inside of things that changes
nothing; a patch on the border of a domino and a table goes to the domino, and every mask is too
large. So log w is taken off again (the paper's post-hoc adjustment, with 1 / w for its prior).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


class LogitAdjustment:
    """What is taken off the cosine of any text, by the categories that its direction is near to."""

    def __init__(self, means: Tensor, rarity: Tensor, scale: Tensor) -> None:
        """Keep what a tower's training noted.

        Args:
            means: Mean token of every category, unit vectors, (C, D).
            rarity: The weight of each in the training, above 0, (C,).
            scale: What cosines were multiplied with before the softmax, a scalar.
        """
        self._means, self._scale = means.float(), scale.float()
        self._head_start = rarity.float().log() / self._scale  # (C,), in cosines

    def __call__(self, text: Tensor) -> Tensor:
        """Return what to take off, (N,) float32, for text (N, D) of any length.

        Text that points nowhere among the tokens gets 0, as it is similar to none.
        """
        means = self._means.to(text.device)
        near = (self._scale.to(text.device) * F.normalize(text, dim=1) @ means.T).softmax(1)
        return text.norm(dim=1) * (near @ self._head_start.to(text.device))


def category_sums(tokens: Tensor, shares: Tensor) -> Tensor:
    """Return summed directions of patches that show one category alone, (C, D).

    Args:
        tokens: (N, D), of any length; their directions count.
        shares: Share of every category in every patch, (N, C).
    """
    pure = (shares > 1 - 1e-4).float()
    return pure.T @ F.normalize(tokens.float(), dim=1)
