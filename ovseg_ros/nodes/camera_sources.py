"""Where the camera node's pictures come from: the robot cell, a folder, a video or a bag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ovseg_ros.codecs.limits import MAX_PIXELS, check_size
from ovseg_ros.nodes.bags import camera_topics, message_of, messages, open_bag
from ovseg_ros.nodes.images import image_from_msg
from ovseg_ros.photographs import BAGS, is_bag, read_image

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v")
_FASTEST_HZ = 1000.0


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What a camera sees at one moment.

    Attributes:
        image: RGB, (H, W, 3) uint8.
        jpeg: The same as a JPEG if there is one already.
        depth_m: Metres along the optical axis, (H, W) float32.
        intrinsics: Camera matrix K, (3, 3) float64.
        labels: Ground truth, (H, W) uint8 ids; 0 is unlabelled.
    """

    image: np.ndarray
    jpeg: bytes | None = None
    depth_m: np.ndarray | None = None
    intrinsics: np.ndarray | None = None
    labels: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Pictures at a rate, and what their ground truth's ids mean.

    Attributes:
        shots: Starts from the first picture; one run is one round.
        rate_hz: Pictures per second it was taken with.
        categories: (name, synonyms) for the ids 1, 2, ...; empty without ground truth.
    """

    shots: Callable[[], Iterator[Shot]]
    rate_hz: float
    categories: tuple[tuple[str, tuple[str, ...]], ...] = ()


def build_source(name: str) -> Source:
    """Open a source by name: ``sim``, ``live`` or ``replay:PATH``.

    Raises:
        ValueError: if the name is none of these or the path holds no pictures.
        ImportError: if ``live`` or a bag is asked for and the package for it is missing.
    """
    if name == "sim":
        return _recorded()
    if name == "live":
        return _rendered()
    kind, _, path = name.partition(":")
    if kind != "replay" or not path:
        raise ValueError(f"source: expected sim, live or replay:PATH, got {name!r}")
    return _replayed(Path(path).expanduser())


def _cell_categories() -> tuple[tuple[str, tuple[str, ...]], ...]:
    from ovseg_ros.robot_cell.objects import CATALOGUE

    return tuple((kind.name, tuple(kind.synonyms)) for kind in CATALOGUE)


def _recorded() -> Source:
    from ovseg_ros.robot_cell.recording import RecordedSequence

    recording = RecordedSequence()

    def shots() -> Iterator[Shot]:
        for frame in recording:
            yield Shot(
                image=frame.image,
                jpeg=recording.jpeg(frame.index),
                depth_m=frame.depth_m,
                intrinsics=frame.intrinsics,
                labels=frame.labels,
            )

    return Source(shots=shots, rate_hz=recording.fps, categories=_cell_categories())


def _rendered() -> Source:
    from ovseg_ros.robot_cell.sequence import sequence

    if find_spec("pybullet") is None:
        raise ImportError("source: 'live' needs pybullet (make render-deps); 'sim' is a recording")

    def shots() -> Iterator[Shot]:
        for frame in sequence():
            yield Shot(
                image=frame.image,
                depth_m=frame.depth_m,
                intrinsics=frame.intrinsics,
                labels=frame.labels,
            )

    return Source(shots=shots, rate_hz=10.0, categories=_cell_categories())


def _replayed(path: Path) -> Source:
    if not path.exists():
        raise ValueError(f"source: expected a folder, video or bag, {path} does not exist")
    suffix = path.suffix.lower()
    if is_bag(path):
        return _bag(path)
    if suffix in VIDEOS:
        return _video(path)
    files = [path] if path.is_file() else sorted(path.iterdir())
    files = [file for file in files if file.suffix.lower() in PICTURES]
    if not files:
        raise ValueError(
            f"source: expected pictures ({' '.join(PICTURES)}), a video ({' '.join(VIDEOS)}) or "
            f"a bag ({' '.join(sorted(BAGS))}), found none in {path}"
        )
    return Source(shots=lambda: map(_picture, files), rate_hz=10.0)


def _picture(file: Path) -> Shot:
    try:
        return Shot(image=read_image(file, max_pixels=MAX_PIXELS))
    except ValueError as error:
        raise ValueError(f"source: {error}") from None


def _video(path: Path) -> Source:
    def shots() -> Iterator[Shot]:
        video = cv2.VideoCapture(str(path))
        try:
            while True:
                more, picture = video.read()
                if not more:
                    return
                yield Shot(image=cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        finally:
            video.release()

    video = cv2.VideoCapture(str(path))
    rate_hz = float(video.get(cv2.CAP_PROP_FPS))
    width, height = video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)
    opened = video.isOpened()
    video.release()
    if not opened:
        raise ValueError(f"source: {path} is not a video that OpenCV can read")
    check_size((int(height), int(width)), f"video {path}")
    return Source(shots=shots, rate_hz=_plausible(rate_hz))


def _plausible(rate_hz: float) -> float:
    """Return a file's own rate, and 10 Hz where it has none that a camera could have."""
    return rate_hz if 0.0 < rate_hz <= _FASTEST_HZ else 10.0


def _bag(path: Path) -> Source:
    try:
        with open_bag(path) as reader:
            topics = camera_topics(reader)
            camera = next((c for c in reader.connections if c.topic in topics[:1]), None)
            seconds = max(reader.duration / 1e9, 1e-3)
    except ValueError as error:
        raise ValueError(f"source: {error}") from None
    except Exception as error:  # of metadata that make no sense
        raise ValueError(f"source: {path} is a damaged bag ({error})") from None
    if camera is None:
        raise ValueError(f"source: expected an image topic in the bag {path}, found none")

    def found() -> Iterator[tuple[Any, Any, bytes]]:
        with open_bag(path) as reader:
            chosen = [c for c in reader.connections if c.topic == camera.topic]
            for connection, _, data in messages(reader, chosen):
                yield reader, connection, data

    def shot(message: tuple[Any, Any, bytes]) -> Shot:
        return Shot(image=image_from_msg(message_of(*message)))

    # Not in the generator, which ends with what it raises: the pictures after a damaged one come.
    return Source(
        shots=lambda: map(shot, found()),
        rate_hz=min(max(camera.msgcount / seconds, 0.1), _FASTEST_HZ),
    )
