"""The depth image that belongs to a picture, chosen when the picture is taken."""

from __future__ import annotations

import threading
from collections import deque

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ovseg_ros.nodes.conversions import stamp_from_msg

_KEPT = 20
"""Depth images kept, 0.7 s at 30 Hz: as long as a picture may be on its way."""

MAX_BYTES = 1 << 28
"""Most memory of all that are kept, 256 MiB: 20 of 1280x720 have 37 to 74."""


class DepthBuffer:
    """Keeps the newest depth images, and beside them the one for the picture that is worked on.

    A mask may take longer than the newest depth images last: without the second, a slow model
    would find none that is as old as its picture.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._lock = threading.Lock()
        self._newest: deque[Image] = deque(maxlen=_KEPT)
        self._held: Image | None = None

    def add(self, message: Image) -> None:
        """Keep a depth image."""
        with self._lock:
            self._newest.append(message)
            size = sum(len(kept.data) for kept in self._newest)
            while size > MAX_BYTES and len(self._newest) > 1:
                size -= len(self._newest.popleft().data)

    def hold(self, header: Header) -> None:
        """Hold the depth image nearest in time to a picture that is taken to be worked on."""
        with self._lock:
            self._held = self._nearest(stamp_from_msg(header.stamp))

    def nearest(self, header: Header) -> tuple[Image | None, float]:
        """Return the depth image nearest in time to a picture, and how many seconds lie between.

        It may have come after :meth:`hold`: many cameras send depth later than colour.
        """
        stamp = stamp_from_msg(header.stamp)
        with self._lock:
            found = self._nearest(stamp)
        return found, 0.0 if found is None else _distance(found, stamp) / 1e9

    def _nearest(self, stamp: int) -> Image | None:
        held = [] if self._held is None else [self._held]
        return min([*held, *self._newest], key=lambda d: _distance(d, stamp), default=None)


def check_frames(picture: Header, **others: Header) -> None:
    """Refuse depth or intrinsics that are seen from elsewhere; a name that is not set fits all.

    Raises:
        ValueError: if a ``frame_id`` differs from the picture's.
    """
    for name, header in others.items():
        if picture.frame_id and header.frame_id and header.frame_id != picture.frame_id:
            raise ValueError(
                f"{name}: expected frame_id {picture.frame_id!r} as of the image, got "
                f"{header.frame_id!r}; register depth to the image (depth_image_proc)"
            )


def _distance(message: Image, stamp: int) -> int:
    return abs(stamp_from_msg(message.header.stamp) - stamp)
