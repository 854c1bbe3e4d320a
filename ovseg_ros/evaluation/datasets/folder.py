"""Anybody's own data."""

from __future__ import annotations

from pathlib import Path

from ovseg_ros.evaluation.datasets.classes import read_classes
from ovseg_ros.evaluation.datasets.masks import MaskDataset, Pair
from ovseg_ros.photographs import SUFFIXES


class FolderDataset(MaskDataset):
    """Anybody's own data: ``images/``, ``masks/`` and ``classes.txt`` in one folder.

    A mask is a PNG with the stem of its image, 8 or 16 bit. What ``classes.txt`` says, see
    :func:`~ovseg_ros.evaluation.datasets.classes.parse_classes`. Values without a line are void.
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
