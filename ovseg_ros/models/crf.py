"""Dense CRFs by pydensecrf, the reference (Kraehenbuehl and Koltun, NIPS 2011)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ovseg_ros.config import Config, option
from ovseg_ros.types import check_images


@dataclass(frozen=True, kw_only=True)
class CrfConfig(Config):
    """Kernels of the image-aware dense CRF; sizes are standard deviations."""

    iterations: int = option(5, "rounds of mean field", low=0, high=100)
    smooth_weight: float = option(3.0, "weight of the smoothness kernel", low=0.0, high=100.0)
    smooth_px: float = option(3.0, "reach of the smoothness kernel in pixels", low=0.1, high=1e3)
    colour_weight: float = option(10.0, "weight of the appearance kernel", low=0.0, high=100.0)
    colour_px: float = option(60.0, "reach of the appearance kernel in pixels", low=0.1, high=1e4)
    colour: float = option(13.0, "reach of the appearance kernel in 0..255", low=0.1, high=255.0)


def smooth(
    probabilities: np.ndarray, *, weight: float = 6.0, theta: float = 0.8, iterations: int = 5
) -> np.ndarray:
    """Smooth class probabilities of a grid without looking at an image (AutoSeg's denoising).

    Args:
        probabilities: (C, H, W) float in (0, 1], classes first.
        weight: Weight of the Potts smoothness term.
        theta: Standard deviation of its Gaussian in cells.
        iterations: Rounds of mean field.

    Returns:
        Probabilities after mean field, (C, H, W) float32.
    """
    field = _field(probabilities)
    field.addPairwiseGaussian(sxy=theta, compat=weight)
    return _infer(field, iterations, probabilities.shape)


def dense_crf(
    probabilities: np.ndarray, image: np.ndarray, config: CrfConfig | None = None
) -> np.ndarray:
    """Pull class probabilities to the edges of an image.

    Args:
        probabilities: (C, H, W) float in (0, 1], classes first.
        image: The same pixels in RGB, (H, W, 3) uint8.
        config: Kernels; the defaults suit camera images of about 500 pixels.

    Returns:
        Probabilities after mean field, (C, H, W) float32.
    """
    config = config or CrfConfig()
    check_images(np.asarray(image)[None])
    if image.shape[:2] != probabilities.shape[1:]:
        raise ValueError(
            f"image: expected the size {probabilities.shape[1:]} of the probabilities, "
            f"got {image.shape[:2]}"
        )
    field = _field(probabilities)
    if config.smooth_weight:
        field.addPairwiseGaussian(sxy=config.smooth_px, compat=config.smooth_weight)
    if config.colour_weight:
        field.addPairwiseBilateral(
            sxy=config.colour_px,
            srgb=config.colour,
            rgbim=np.array(image, order="C"),
            compat=config.colour_weight,
        )
    return _infer(field, config.iterations, probabilities.shape)


def refine_labels(
    labels: np.ndarray,
    image: np.ndarray,
    *,
    confidence: float = 0.7,
    config: CrfConfig | None = None,
) -> np.ndarray:
    """Bring a coarse label map to an image's size and edges.

    Args:
        labels: (h, w) integers >= 0 on any grid.
        image: RGB, (H, W, 3) uint8.
        confidence: How far the labels are believed, in (0, 1); the rest is shared by all labels.
        config: Kernels of the dense CRF.

    Returns:
        (H, W) int64 with the same meaning of labels; a label may vanish.
    """
    import cv2

    height, width = np.asarray(image).shape[:2]
    classes = int(labels.max()) + 1
    maps = np.stack([(labels == label).astype(np.float32) for label in range(classes)])
    large = np.stack([cv2.resize(one, (width, height)) for one in maps])  # (C, H, W) bilinear
    probabilities = confidence * large + (1 - confidence) / classes
    return dense_crf(probabilities, image, config).argmax(axis=0)


def check_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Return class probabilities as (C, H, W) float32 in (0, 1].

    Raises:
        ValueError: if they have another shape, or values that are no probabilities.
    """
    if probabilities.ndim != 3 or 0 in probabilities.shape:
        raise ValueError(f"probabilities: expected (C, H, W), got shape {probabilities.shape}")
    values = probabilities.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1 + 1e-4:
        raise ValueError("probabilities: expected values in [0, 1]")
    return np.clip(values, 1e-8, 1)


def _field(probabilities: np.ndarray):  # type: ignore[no-untyped-def]
    from pydensecrf.densecrf import DenseCRF2D

    values = check_probabilities(probabilities)
    classes, height, width = values.shape
    field = DenseCRF2D(width, height, classes)
    field.setUnaryEnergy(np.ascontiguousarray(-np.log(values).reshape(classes, -1)))
    return field


def _infer(field, iterations: int, shape: tuple[int, ...]) -> np.ndarray:  # type: ignore[no-untyped-def]
    return np.array(field.inference(iterations), dtype=np.float32).reshape(shape)
