"""How large a picture may be that somebody sends."""

from __future__ import annotations

MAX_PIXELS = 1 << 26
"""Most pixels of a frame, 67 million: above the largest area cameras. As RGB that is 200 MB."""

MAX_SIDE = 32_767
"""Longest side of a frame; OpenCV's resampling counts in 16 bit."""


def check_size(size_hw: tuple[int, int], kind: str) -> None:
    """Refuse a frame by the size that its header says.

    Raises:
        ValueError: if a side is 0 or the frame is larger than ``MAX_PIXELS`` or ``MAX_SIDE``.
    """
    height, width = size_hw
    if height < 1 or width < 1:
        raise ValueError(f"data: expected at least one pixel, got a {kind} of {width}x{height}")
    if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise ValueError(
            f"data: expected a picture of at most {MAX_PIXELS} pixels and {MAX_SIDE} a side, "
            f"got a {kind} of {width}x{height}"
        )
