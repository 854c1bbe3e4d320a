"""Of many texts most are similar to nothing here; a product of half the width finds them, exactly.

What it drops surely stays under its floor: rounding is bounded, and whatever may be above is kept
and compared in full.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.models.device import resolve_dtype

MANY = 256
"""From so many texts on, screening costs less than it saves."""

ROUNDING = 2.0**-6
"""A product of unit vectors in bfloat16 is off by less than this: each factor is rounded by 2**-8
of itself at most, and so is the result (Cauchy-Schwarz)."""


def pays(texts: int, device: torch.device) -> bool:
    """Tell whether screening so many texts is faster than comparing them all in float32."""
    fast = device.type == "cpu" and resolve_dtype("auto", device) == torch.bfloat16
    return fast and texts >= MANY


def may_exceed(tokens: Tensor, text: Tensor, floors: Tensor) -> Tensor:
    """Return which texts may exceed their floors at any place, (K,) bool; the others do not.

    Args:
        tokens: Vectors of unit length at most, (B, D, h, w).
        text: The same, (K, D).
        floors: (K,).
    """
    rough = F.conv2d(tokens.bfloat16(), text.bfloat16()[:, :, None, None])
    # Positive numbers are in the order of their bits, and above all negative ones; integers are
    # compared in a quarter of the time. Which negative number is the largest is not told.
    highest = rough.view(torch.int16).amax((0, 2, 3)).view(torch.bfloat16).float().clamp(min=0)
    return highest + ROUNDING > floors
