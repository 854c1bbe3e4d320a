"""Anybody's own data."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from ovseg_ros.evaluation.datasets.classes import read_classes
from ovseg_ros.evaluation.datasets.masks import MaskDataset, Pair, read_mask
from ovseg_ros.photographs import SUFFIXES

logger = logging.getLogger(__name__)

VOID_VALUE = 255
"""What masks commonly hold where there is no class, as 0; nobody is warned of it."""

_LOOKED_AT = 300
"""Masks that are read when a folder is opened."""


class FolderDataset(MaskDataset):
    """Anybody's own data: ``images/``, ``masks/`` and ``classes.txt`` in one folder.

    A mask is a PNG with the stem of its image, 8 or 16 bit. What ``classes.txt`` says, see
    :func:`~ovseg_ros.evaluation.datasets.classes.parse_classes`: lines count from 1 unless they say
    their value. Values without a line are void, and a warning names them (but 0 and 255); where a
    class never occurs besides, the list and the masks may count differently, and it says so.
    """

    def __init__(self, root: str | Path) -> None:
        """Open the folder.

        Raises:
            FileNotFoundError: if the folder lacks one of the three, or has no image.
            ValueError: if ``classes.txt`` is not as described above.
        """
        root = Path(root)
        for part in ("images", "masks", "classes.txt"):
            if not (root / part).exists():
                raise FileNotFoundError(f"{root}: expected images/, masks/ and classes.txt")
        images = [p for p in (root / "images").iterdir() if p.suffix.lower() in SUFFIXES]
        if not images:
            raise FileNotFoundError(f"{root / 'images'}: expected at least one image")
        super().__init__(
            str(root.resolve()),  # two folders may have one name
            [Pair(path.stem, path, root / "masks" / f"{path.stem}.png") for path in sorted(images)],
            read_classes(root / "classes.txt"),
        )
        self._compare(root)

    def _compare(self, root: Path) -> None:
        """Warn of values without a class, more so while a class has no value in the masks."""
        step = -(-len(self._pairs) // _LOOKED_AT)
        held: set[int] = set()
        for pair in self._pairs[::step]:
            try:
                held.update(np.unique(read_mask(pair.mask)).tolist())
            except (OSError, ValueError):
                continue  # whoever reads that sample is told
        strange = sorted(held - set(self._values) - {VOID_VALUE})
        absent = [n for n, v in zip(self.classes, self._values, strict=True) if v not in held]
        if strange and absent:
            logger.warning(
                "%s: masks hold %s without a class, while %s never occurs; a classes.txt without "
                "numbers counts from 1, so where masks count from 0 its lines must say their "
                "value: 0: %s",
                root,
                _listed([str(value) for value in strange]),
                _listed(absent),
                self.classes[0],
            )
        elif rest := [str(value) for value in strange if value]:
            logger.warning(
                "%s: masks hold %s without a class in classes.txt: void", root, _listed(rest)
            )


def _listed(items: list[str]) -> str:
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
