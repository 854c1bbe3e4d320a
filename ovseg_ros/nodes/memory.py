"""What the libraries below the models may keep."""

from __future__ import annotations

import os

_CAPACITY = "64"
_VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def bound_caches() -> None:
    """Let torch's CPU kernels keep 64 of themselves instead of 1024; call it before they run.

    One is made for every shape of a tensor. Captions are read word by word, so that discovery
    brings hundreds of shapes, half a megabyte each, that hardly ever come back. What the
    environment says already goes first.
    """
    for name in _VARIABLES:
        os.environ.setdefault(name, _CAPACITY)
