"""When Python looks for garbage.

Nothing here needs more than Python: it runs before anything else is imported.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

atexit.register(gc.unfreeze)  # else libraries that look for leaks at the end find everything


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage within the body, nor later among what was made in it.

    For imports and the loading of models, whose million objects stay. Going through all of them
    again and again takes a fifth of a start, and later 0.4 s a time in which no thread of Python
    runs. ``gc.unfreeze()`` has them looked at again, once they may go.
    """
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collected:
            gc.enable()
