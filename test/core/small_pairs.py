"""A few pictures with captions, on disk."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

CAPTIONS = [f"A {color} Mug\non a table." for color in ("red", "green", "blue", "white", "gray")]


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (40 + number, 30), (40 * number, 10, 20))


def write_coco(root: Path) -> tuple[Path, Path]:
    """Five pictures; the first has two captions, and one more picture has none."""
    folder = root / "pictures"
    folder.mkdir(parents=True)
    for number in range(6):
        picture(number).save(folder / f"{number}.png")
    said = [(k, text) for k, text in enumerate(CAPTIONS)] + [(0, "a mug")]
    (root / "captions.json").write_text(
        json.dumps(
            {
                "images": [{"id": k, "file_name": f"{k}.png"} for k in range(6)],
                "annotations": [{"image_id": k, "caption": text} for k, text in said],
            }
        )
    )
    return folder, root / "captions.json"
