"""JPEG, judged by its markers (ITU-T T.81): whole or not, wherever its buffer ends.

Decoders fill what is missing of a JPEG with grey and go on after damage, which looks like a good
picture. Here the segments are walked from SOI to EOI; what follows EOI is a camera's buffer and
means nothing. Damage that keeps the markers is seen by libjpeg-turbo, if it is asked.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field

import cv2
import numpy as np

from ovseg_ros.codecs.limits import check_size

try:  # libjpeg-turbo that tells what it only warns about elsewhere
    import simplejpeg
except ImportError:  # before the environment is made anew; markers alone are judged then
    simplejpeg = None

_SOI, _EOI, _SOS, _DHT, _DRI = 0xD8, 0xD9, 0xDA, 0xC4, 0xDD
_SIZES = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}  # SOF0..SOF15
_BASELINE = (0xC0, 0xC1)
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # TEM, RST0..7, SOI: no segment of their own
_RESERVED = frozenset(range(0x02, 0xC0))

_MAX_SCANS = 64
"""Progressive pictures have about ten; each costs a pass over all pixels."""

_ZEROS = bytes(32)
"""Never seen in a scan whose shortest AC code is not the end of a block: 249 zero bits would be
whole blocks of equal coefficients. Lost packets leave such runs."""

_SPARE_BYTES = 8
"""Some cameras fill their scans up to whole words; more than that is picture that was lost."""


@dataclass
class _Walk:
    """What the segments have said so far."""

    size_hw: tuple[int, int] = (0, 0)
    process: int = 0
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    shortest_ac: dict[int, int] = field(default_factory=dict)
    restart: int = 0
    scans: int = 0
    scanned: dict[int, int] = field(default_factory=dict)  # component: tables


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """A whole JPEG: height and width, its components, and where it ends in its buffer."""

    size_hw: tuple[int, int]
    components: int
    end: int


def inspect(data: bytes) -> Jpeg:
    """Walk a JPEG from SOI to EOI.

    Args:
        data: The bytes of a JPEG and anything behind it.

    Raises:
        ValueError: if it is cut off, damaged between or at its markers, or too large to decode.
    """
    values = np.frombuffer(data, np.uint8)
    high = np.flatnonzero(values[:-1] == 0xFF)
    low = values[high + 1]
    markers = high[(low != 0) & (low != 0xFF)]  # FF 00 is data, FF FF a filler
    walk, at = _Walk(), 2
    while True:
        at, marker = _next_marker(data, at)
        if marker == _EOI:
            if not walk.scans:
                raise _damaged("no scan before its end")
            return Jpeg(size_hw=walk.size_hw, components=len(walk.sampling), end=at + 2)
        if marker in _BARE or marker in _RESERVED:
            raise _damaged(f"marker FF{marker:02X} at byte {at}")
        (length,) = struct.unpack(">H", data[at + 2 : at + 4].ljust(2, b"\0"))
        body = data[at + 4 : at + 2 + length]
        if length < 2 or len(body) < length - 2:
            raise _damaged(f"segment FF{marker:02X} at byte {at} is cut off")
        try:
            _read_segment(walk, marker, body)
        except (IndexError, struct.error):
            raise _damaged(f"segment FF{marker:02X} at byte {at} makes no sense") from None
        at += 2 + length
        if marker == _SOS:
            at = _skip_scan(walk, data, at, markers)


def decode(data: bytes) -> np.ndarray:
    """Decode a JPEG as it lies in the file; EXIF does not turn it.

    Returns:
        (H, W) uint8 grey, or (H, W, 3) uint8 RGB.

    Raises:
        ValueError: if it is cut off, damaged or too large.
    """
    found = inspect(data)
    data = data[: found.end]
    if simplejpeg is None or found.components not in (1, 3):
        flags = cv2.IMREAD_UNCHANGED  # any other flag turns by EXIF
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if pixels is None:
            raise _damaged("it cannot be decoded")
        return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    colours = "GRAY" if found.components == 1 else "RGB"
    try:
        pixels = simplejpeg.decode_jpeg(data, colours)
    except ValueError as error:
        spare = re.search(r"(\d+) extraneous bytes before marker 0xd9", str(error))
        if spare is None or int(spare[1]) > _SPARE_BYTES:
            raise _damaged(str(error)) from None
        pixels = simplejpeg.decode_jpeg(data, colours, strict=False)
    return pixels[..., 0] if found.components == 1 else pixels


def _next_marker(data: bytes, at: int) -> tuple[int, int]:
    """Return where the marker at ``at`` stands behind its fill bytes, and its second byte."""
    if data[at : at + 1] != b"\xff":
        raise _damaged("it is cut off" if at >= len(data) else f"no marker at byte {at}")
    while data[at + 1 : at + 2] == b"\xff":
        at += 1
    if at + 1 >= len(data):
        raise _damaged("it is cut off")
    return at, data[at + 1]


def _read_segment(walk: _Walk, marker: int, body: bytes) -> None:
    if marker in _SIZES:
        if walk.process:
            raise _damaged("two frame headers")
        _, height, width, count = struct.unpack(">BHHB", body[:6])
        check_size((height, width), "JPEG")
        walk.size_hw, walk.process = (height, width), marker
        for number in range(count):
            kind, factors = body[6 + 3 * number], body[7 + 3 * number]
            if not (factors >> 4 and factors & 15):
                raise _damaged("a component without samples")
            walk.sampling[kind] = factors >> 4, factors & 15
    elif marker == _DRI:
        (walk.restart,) = struct.unpack(">H", body[:2])
    elif marker == _DHT:
        at = 0
        while at < len(body):
            table, lengths = body[at], body[at + 1 : at + 17]
            if table >> 4:
                walk.shortest_ac[table & 15] = body[at + 17]
            at += 17 + sum(lengths)
    elif marker == _SOS:
        walk.scans += 1
        if not walk.process:
            raise _damaged("a scan before the frame header")
        if walk.scans > _MAX_SCANS:
            raise ValueError(f"data: expected at most {_MAX_SCANS} scans in a JPEG")
        walk.scanned = {body[1 + 2 * i]: body[2 + 2 * i] for i in range(body[0])}
        if not walk.scanned or not walk.scanned.keys() <= walk.sampling.keys():
            raise _damaged("a scan of components that are not there")


def _skip_scan(walk: _Walk, data: bytes, start: int, markers: np.ndarray) -> int:
    """Return the position of the marker that ends the scan which starts at ``start``."""
    restarts = 0
    for position in map(int, markers[np.searchsorted(markers, start) :]):
        marker = data[position + 1]
        if not 0xD0 <= marker <= 0xD7:
            break
        if not walk.restart or marker & 7 != restarts % 8:
            raise _damaged(f"restart marker {marker & 7} out of turn at byte {position}")
        restarts += 1
    else:
        raise _damaged("it is cut off")
    if position == start:
        raise _damaged("a scan without data")
    if walk.restart:
        expected = math.ceil(_units(walk) / walk.restart) - 1
        if restarts not in (expected, expected + 1):  # some cameras write one behind the last
            raise _damaged(f"expected {expected} restart markers, got {restarts}")
    table = next(iter(walk.scanned.values())) & 15
    blank = walk.process in _BASELINE and walk.shortest_ac.get(table, 1) != 0
    if blank and data.find(_ZEROS, start, position) >= 0:
        raise _damaged("its data has a hole of zeros")
    return position


def _units(walk: _Walk) -> int:
    """Return how many coded units (MCU) the scan has."""
    height, width = walk.size_hw
    across = max(h for h, _ in walk.sampling.values())
    down = max(v for _, v in walk.sampling.values())
    if len(walk.scanned) > 1:
        return math.ceil(width / (8 * across)) * math.ceil(height / (8 * down))
    h, v = walk.sampling[next(iter(walk.scanned))]
    return math.ceil(math.ceil(width * h / across) / 8) * math.ceil(
        math.ceil(height * v / down) / 8
    )


def _damaged(what: str) -> ValueError:
    return ValueError(f"data: expected a whole JPEG or PNG, got a damaged JPEG: {what}")
