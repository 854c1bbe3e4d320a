"""Pictures for people: colours of categories, overlays, legends and contact sheets.

A category id has the same colour everywhere and always. All pictures are RGB, (H, W, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ovseg_ros.types import UNLABELLED

_GOLDEN_RATIO = 0.618_033_988_749_895
_PAPER, _INK = (255, 255, 255), (32, 32, 32)


def palette(ids: np.ndarray | Sequence[int]) -> np.ndarray:
    """Return the colours of category ids, (K, 3) uint8 RGB; ``UNLABELLED`` is black.

    Hues follow the golden ratio, so that neighbouring ids look different however many there are;
    lightness and saturation alternate between rounds.
    """
    number = np.asarray(ids, dtype=np.int64).reshape(-1)
    hue = (number * _GOLDEN_RATIO) % 1.0
    saturation = np.choose(number % 3, [0.60, 0.90, 0.75])
    value = np.choose(number // 3 % 3, [0.95, 0.70, 0.85])
    # HSV -> RGB, vectorised: each channel is a trapezoid over the hue circle.
    offset = np.array([5.0, 3.0, 1.0])[None] + hue[:, None] * 6  # (K, 3)
    wedge = np.clip(np.minimum(offset % 6, 4 - offset % 6), 0, 1)
    rgb = value[:, None] * (1 - saturation[:, None] * wedge)
    rgb[number == UNLABELLED] = 0
    return np.rint(rgb * 255).astype(np.uint8)


@lru_cache(maxsize=2)
def _lookup(size: int) -> np.ndarray:
    return palette(np.arange(size))


def colorize(labels: np.ndarray) -> np.ndarray:
    """Paint a label mask (H, W) uint8 or uint16 in the colours of its categories.

    Raises:
        ValueError: if ``labels`` is not such a mask.
    """
    if labels.ndim != 2 or labels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"labels: expected (H, W) uint8 or uint16, got {labels.shape} {labels.dtype}"
        )
    return np.take(_lookup(np.iinfo(labels.dtype).max + 1), labels, axis=0)


def overlay(image: np.ndarray, labels: np.ndarray, alpha: float = 0.55) -> np.ndarray:
    """Blend the colours of a label mask over its image; unlabelled pixels stay as they are.

    Args:
        image: RGB, (H, W, 3) uint8.
        labels: Category ids, (H, W) uint8 or uint16.
        alpha: Share of the colour in [0, 1].

    Raises:
        ValueError: if the sizes differ.
    """
    if image.shape != (*labels.shape, 3):
        raise ValueError(f"image: expected {(*labels.shape, 3)}, got {image.shape}")
    blended = cv2.addWeighted(colorize(labels), alpha, image, 1 - alpha, 0)
    cv2.copyTo(image, (labels == UNLABELLED).astype(np.uint8), blended)
    return blended


def with_legend(
    picture: np.ndarray, names: Mapping[int, str], *, title: str = "", width_px: int = 180
) -> np.ndarray:
    """Append a legend to the right of a picture.

    Args:
        picture: RGB, (H, W, 3) uint8.
        names: Text for each category id, in the order of the legend.
        title: Line above the entries.
        width_px: Width of the legend.

    Returns:
        The picture with its legend; higher than before if the entries need it.
    """
    line_px = 20
    height = max(picture.shape[0], line_px * (len(names) + bool(title)) + 12)
    canvas = Image.new("RGB", (picture.shape[1] + width_px, height), _PAPER)
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    left, top = picture.shape[1] + 8, 6
    if title:
        draw.text((left, top), _fit(title, width_px - 12), fill=_INK, font=_font())
        top += line_px
    for (_, name), color in zip(names.items(), palette(list(names)), strict=True):
        swatch = (left, top + 2, left + 14, top + 15)
        draw.rectangle(swatch, fill=tuple(int(c) for c in color), outline=_INK)
        draw.text((left + 21, top), _fit(name, width_px - 33), fill=_INK, font=_font())
        top += line_px
    return np.asarray(canvas)


def contact_sheet(
    pictures: Sequence[np.ndarray],
    *,
    titles: Sequence[str] = (),
    columns: int = 3,
    cell_width_px: int = 320,
) -> np.ndarray:
    """Lay pictures out in rows, each scaled to one width, with an optional title above each.

    Raises:
        ValueError: if there is no picture, or titles do not match the pictures.
    """
    if not pictures or (titles and len(titles) != len(pictures)):
        raise ValueError(
            "pictures: expected at least one and a title for each or none, "
            f"got {len(pictures)} pictures and {len(titles)} titles"
        )
    cells = []
    for index, picture in enumerate(pictures):
        height = max(1, round(picture.shape[0] * cell_width_px / picture.shape[1]))
        cell = cv2.resize(picture, (cell_width_px, height), interpolation=cv2.INTER_AREA)
        cells.append(_titled(cell, titles[index]) if titles else cell)
    height = max(cell.shape[0] for cell in cells)
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * height, columns * cell_width_px, 3), 255, np.uint8)
    for index, cell in enumerate(cells):
        top, left = index // columns * height, index % columns * cell_width_px
        sheet[top : top + cell.shape[0], left : left + cell_width_px] = cell
    return sheet


def _titled(picture: np.ndarray, title: str) -> np.ndarray:
    band = Image.new("RGB", (picture.shape[1], 22), _PAPER)
    text = _fit(title, picture.shape[1] - 8)
    ImageDraw.Draw(band).text((4, 3), text, fill=_INK, font=_font())
    return np.vstack([np.asarray(band), picture])


def _fit(text: str, width_px: int) -> str:
    """Return ``text``, shortened with an ellipsis so that it is at most ``width_px`` wide."""
    if _font().getlength(text) <= width_px:
        return text
    while text and _font().getlength(text + "…") > width_px:
        text = text[:-1]
    return text.rstrip() + "…"


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=14)
