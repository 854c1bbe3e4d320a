"""Photographs from disk: whatever people have, as RGB."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 178_956_970
"""Most pixels of a photograph: what Pillow takes for a bomb beyond, 512 MiB as RGB."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm"})
"""Suffixes of files that are taken for images in a folder."""

BAGS = frozenset({".mcap", ".db3", ".bag"})
"""Suffixes of ROS recordings."""


def is_bag(path: Path) -> bool:
    """Return whether a path looks like a ROS recording: a file by suffix, a folder by metadata."""
    return path.suffix.lower() in BAGS or (path / "metadata.yaml").is_file()


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the files among ``paths`` and the images in the folders among them, sorted.

    Raises:
        FileNotFoundError: if a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()
            )
            if not inside:
                bag = any(p.suffix.lower() in BAGS for p in path.iterdir())
                mends = f"; a bag without metadata.yaml: `ros2 bag reindex {path}`" if bag else ""
                raise FileNotFoundError(
                    f"{path}: expected images in this folder, found none{mends}"
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such file or folder")
    return found


def read_image(path: Path, *, oriented: bool = True, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image of any kind as RGB, (H, W, 3) uint8.

    Alpha is laid over white, 16-bit images are scaled to 8 bit, of animations the first frame is
    taken.

    Args:
        path: The file.
        oriented: Turn the image upright as its EXIF says.
        max_pixels: Larger images are refused before they are decoded.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no image, a damaged one or too large; the message names the path.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large, not too large
            with Image.open(path) as opened:
                if opened.width * opened.height > max_pixels:
                    size = f"{opened.width}x{opened.height}"
                    raise ValueError(f"expected at most {max_pixels} pixels, got {size}")
                opened.load()
                return _to_rgb(_upright(opened) if oriented else opened)
    except UnidentifiedImageError:
        raise ValueError(f"{path}: not an image, or a damaged one") from None
    except Exception as error:  # struct.error, zlib.error, SyntaxError, MemoryError, a bomb, ...
        raise ValueError(f"{path}: not an image, or a damaged one ({error})") from None


def shrink(image: np.ndarray, max_side: int) -> np.ndarray:
    """Return an image (H, W, 3) uint8 whose longer side is at most ``max_side`` pixels."""
    scale = max_side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing; the picture is as good as without
        return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep(np.asarray(image))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return np.asarray(image.convert("RGB"))


def _from_deep(pixels: np.ndarray) -> np.ndarray:
    """Return grey pixels of more than 8 bit as RGB: 16 bit as they are, others stretched."""
    deep = pixels.astype(np.float64)
    if pixels.dtype == np.uint16 or (deep.min() >= 0 and 255 < deep.max() <= 65_535):
        gray = deep / 257
    else:
        gray = (deep - deep.min()) * (255 / max(deep.max() - deep.min(), 1e-12))
    return np.repeat(np.rint(gray).astype(np.uint8)[..., None], 3, axis=2)
