"""A recorded moving-camera sequence in one zip; reading needs no pybullet and little time."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ovseg_ros.codecs.pictures import millimetres
from ovseg_ros.robot_cell.objects import category_id, category_names

SHIPPED = Path(__file__).parent / "assets" / "sequence.zip"
"""Made by ``scripts/record_sequence.py``."""

DEPTH_STEP = 4  # a recording keeps every fourth depth pixel of every fourth row
VERSION = 2
MAX_BYTES = 1 << 30  # a recording is kept in memory; the one that ships has 20 MB


@dataclass(frozen=True)
class SequenceFrame:
    """One frame of a moving-camera sequence.

    Attributes:
        index: frame number from 0.
        stamp_s: seconds since the start.
        image: uint8 RGB (H, W, 3).
        labels: uint8 (H, W), category ids.
        instance_mask: uint8 (H, W), instance ids, constant over the sequence.
        depth_m: float32 (H, W), along the optical axis; blocks of 4x4 equal pixels in a recording.
        intrinsics: float64 (3, 3), camera matrix K.
        camera_to_world: float64 (4, 4), pose of the optical frame.
        moving: ids of the instances that move in the world (the robot arm).
    """

    index: int
    stamp_s: float
    image: np.ndarray
    labels: np.ndarray
    instance_mask: np.ndarray
    depth_m: np.ndarray
    intrinsics: np.ndarray
    camera_to_world: np.ndarray
    moving: tuple[int, ...]


def record(
    path: str | Path,
    frames: Iterable[SequenceFrame],
    fps: float,
    instance_categories: dict[int, str],
    instance_attributes: dict[int, str] | None = None,
    quality: int = 85,
) -> None:
    """Write a sequence as one zip of JPEG images, PNG instance masks and quarter-size depth.

    Args:
        path: the zip to write.
        frames: the sequence.
        fps: its rate in frames per second.
        instance_categories: category name by instance id.
        instance_attributes: colour or material word of the instances that have one.
        quality: JPEG quality, 1..100.

    Raises:
        ValueError: if `frames` is empty.
    """
    entries: list[dict[str, Any]] = []
    moving: tuple[int, ...] = ()
    size = (0, 0)
    # JPEG and PNG are compressed already; storing keeps the reader cheap.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, suffix: str, image: np.ndarray, *options: int) -> None:
            data = cv2.imencode(suffix, image, list(options))[1].tobytes()
            archive.writestr(zipfile.ZipInfo(name + suffix), data)  # no time stamp: same bytes

        for frame in frames:
            name = f"{frame.index:04d}"
            bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
            add(f"rgb/{name}", ".jpg", bgr, cv2.IMWRITE_JPEG_QUALITY, quality)
            add(f"instances/{name}", ".png", frame.instance_mask, cv2.IMWRITE_PNG_COMPRESSION, 9)
            half = DEPTH_STEP // 2
            depth = frame.depth_m[half::DEPTH_STEP, half::DEPTH_STEP]
            add(f"depth/{name}", ".png", millimetres(depth), cv2.IMWRITE_PNG_COMPRESSION, 9)
            entries.append(
                {
                    "stamp_s": round(frame.stamp_s, 6),
                    "intrinsics": np.round(frame.intrinsics, 6).tolist(),
                    "camera_to_world": np.round(frame.camera_to_world, 8).tolist(),
                }
            )
            moving, size = frame.moving, (bgr.shape[1], bgr.shape[0])
        if not entries:
            raise ValueError("frames must hold at least one frame; got none")
        meta = {
            "version": VERSION,
            "fps": fps,
            "size": size,
            "moving": moving,
            "categories": category_names(),
            "instances": instance_categories,
            "attributes": instance_attributes or {},
            "frames": entries,
        }
        archive.writestr(zipfile.ZipInfo("meta.json"), json.dumps(meta))


class RecordedSequence(Sequence[SequenceFrame]):
    """A recording: `for frame in RecordedSequence(): ...`; decoding takes a few ms per frame.

    Attributes:
        fps: rate in frames per second.
        size: width and height in pixels.
        categories: category names by category id.
        instance_categories: category name by instance id.
        instance_attributes: colour or material word of the instances that have one.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        """Open a recording and keep its (compressed) bytes in memory.

        Args:
            path: a zip written by `record`; None opens the one that ships with the package.

        Raises:
            ValueError: if the file is missing or not such a recording.
        """
        try:
            self._files = _load(path)
            self.meta: dict[str, Any] = dict(json.loads(self._files["meta.json"]))
        except Exception as error:  # BadZipFile, zlib.error, KeyError, RecursionError, ...
            raise ValueError(
                f"path must be a recording written by robot_cell.recording.record; got {path} "
                f"({error})"
            ) from error
        if self.meta.get("version") != VERSION:
            raise ValueError(
                f"path must hold a recording of version {VERSION}; got {self.meta.get('version')}"
            )
        self.fps: float = float(self.meta["fps"])
        self.size: tuple[int, int] = tuple(self.meta["size"])
        self.categories: tuple[str, ...] = tuple(self.meta["categories"])
        self.instance_categories: dict[int, str] = {
            int(key): name for key, name in self.meta["instances"].items()
        }
        self.instance_attributes: dict[int, str] = {
            int(key): word for key, word in self.meta["attributes"].items()
        }
        self._lookup = label_lookup(self.instance_categories)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.meta["frames"])

    def __getitem__(self, index: Any) -> Any:
        """Decode one frame, or a list of frames for a slice."""
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        entry = self.meta["frames"][index]
        bgr = self._decode(f"rgb/{index:04d}.jpg", cv2.IMREAD_COLOR)
        mask = self._decode(f"instances/{index:04d}.png", cv2.IMREAD_UNCHANGED)
        depth = self._decode(f"depth/{index:04d}.png", cv2.IMREAD_UNCHANGED)
        full = cv2.resize(depth, self.size, interpolation=cv2.INTER_NEAREST)
        return SequenceFrame(
            index=index,
            stamp_s=entry["stamp_s"],
            image=cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB),
            labels=self._lookup[mask],
            instance_mask=mask,
            depth_m=full.astype(np.float32) / 1000,
            intrinsics=np.array(entry["intrinsics"]),
            camera_to_world=np.array(entry["camera_to_world"]),
            moving=tuple(self.meta["moving"]),
        )

    def jpeg(self, index: int) -> bytes:
        """The stored JPEG of a frame, for a compressed image message."""
        return self._files[f"rgb/{range(len(self))[index]:04d}.jpg"]

    def _decode(self, name: str, flags: int) -> np.ndarray:
        image = cv2.imdecode(np.frombuffer(self._files[name], np.uint8), flags)
        if image is None:
            raise ValueError(f"path holds a damaged image {name}")
        return image


def label_lookup(instance_categories: dict[int, str]) -> np.ndarray:
    """Category id by instance id, uint8 (256,); 0 where there is no such instance."""
    table = np.zeros(256, np.uint8)
    for instance, name in instance_categories.items():
        table[instance] = category_id(name)
    return table


def _load(path: str | Path | None) -> dict[str, bytes]:
    with zipfile.ZipFile(path or SHIPPED) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise ValueError(f"expected at most {MAX_BYTES} bytes of content, got {size}")
        return {name: archive.read(name) for name in archive.namelist()}
