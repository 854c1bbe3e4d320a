"""What the live page shows: the newest of everything, and a minute of the past."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ovseg_ros.codecs.pictures import encode
from ovseg_ros.drawing import palette

_PAST_S = 60.0
_STEP_S = 0.5
_DIM = 0.3


@dataclass(frozen=True, kw_only=True)
class Row:
    """A category as the page lists it.

    Attributes:
        id: Its value in the label mask.
        name: The word.
        share: Share of the image, 0..1.
        confidence: Mean confidence, 0..1.
    """

    id: int
    name: str
    share: float
    confidence: float

    @property
    def colour(self) -> str:
        """Its colour in the overlay, as CSS."""
        return "#" + palette([self.id])[0].tobytes().hex()


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a query found.

    Attributes:
        text: For people.
        found: Name and score of what is in the picture.
        mask: Where it is, (H, W) bool, or None.
    """

    text: str
    found: tuple[tuple[str, float], ...] = ()
    mask: np.ndarray | None = None


class Live:
    """Filled by the thread that hears, read by those that serve the page.

    Attributes:
        ask: Answers a query for names; may take seconds.
        about: What is shown, for the title.
        colours: Colour of every category that was seen, as CSS, by its name.
    """

    def __init__(self, ask: Callable[[Sequence[str]], Answer], about: str) -> None:
        """Begin with nothing."""
        self.ask, self.about = ask, about
        self.colours: dict[str, str] = {}
        self._lock = threading.Lock()
        self._decode: Callable[[], np.ndarray] | None = None
        self._number = 0
        self._jpeg: tuple[int, bytes] = 0, b""
        self._rows: tuple[Row, ...] = ()
        self._past: deque[tuple[float, dict[str, float]]] = deque()
        self._health = "nothing heard yet"

    @property
    def number(self) -> int:
        """How many overlays have come."""
        return self._number

    @property
    def rows(self) -> tuple[Row, ...]:
        """What the newest frame shows, largest first."""
        return self._rows

    @property
    def health(self) -> str:
        """How the node is."""
        return self._health

    def take_overlay(self, decode: Callable[[], np.ndarray]) -> None:
        """Take a new overlay; ``decode`` returns it as RGB, (H, W, 3) uint8, if it is looked at."""
        with self._lock:
            self._decode, self._number = decode, self._number + 1

    def take_rows(self, rows: Sequence[Row], now_s: float) -> None:
        """Take what a frame shows; ``now_s`` is a clock that never goes back, in seconds."""
        with self._lock:
            self._rows = tuple(rows)
            self.colours |= {row.name: row.colour for row in rows}
            if not self._past or now_s - self._past[-1][0] >= _STEP_S:
                self._past.append((now_s, {row.name: row.share for row in rows}))
            while now_s - self._past[0][0] > _PAST_S:
                self._past.popleft()

    def take_health(self, text: str) -> None:
        """Take how the node is."""
        self._health = text

    def overlay(self) -> np.ndarray | None:
        """Return the newest overlay, RGB (H, W, 3) uint8, or None.

        Raises:
            ValueError: if it is no picture.
        """
        decode = self._decode
        return None if decode is None else decode()

    def jpeg(self) -> bytes:
        """Return the newest overlay as a JPEG, made once; empty before the first one."""
        with self._lock:
            number, decode = self._number, self._decode
        if decode is None or self._jpeg[0] == number:
            return self._jpeg[1]
        self._jpeg = number, encode(decode())
        return self._jpeg[1]

    def timeline(self, now_s: float) -> dict[str, list[tuple[float, float]]]:
        """Return (seconds from now, share in percent) of every category of the last minute."""
        with self._lock:
            past = list(self._past)
        names = dict.fromkeys(name for _, shares in past for name in shares)
        return {
            name: [
                (round(when - now_s, 1), round(100 * shares.get(name, 0.0), 1))
                for when, shares in past
            ]
            for name in names
        }


def highlighted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return an RGB image (H, W, 3) uint8 that is dark outside of a mask (H, W) bool."""
    dark = (image * _DIM).astype(np.uint8)
    return np.where(mask[..., None], image, dark)
