"""Pictures and video of a demo, drawn afterwards from what the operator noted down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

from ovseg_ros.demo.log import DemoLog, FrameNote, MaskNote, VocabularyNote
from ovseg_ros.drawing import contact_sheet, overlay, with_legend

LEGEND_PX = 180
_VISIBLE = 0.005  # share of the picture from which on a name counts as seen
_SECOND = 10**9

Pair = tuple[FrameNote, MaskNote]


def pairs(log: DemoLog) -> list[Pair]:
    """Return the masks that were measured with the pictures they were made from."""
    frames = {frame.stamp: frame for frame in log.frames}
    spans = [(phase.start, phase.end) for phase in log.phases]
    return [
        (frames[mask.stamp], mask)
        for mask in log.masks
        if mask.stamp in frames and any(start <= mask.arrival < end for start, end in spans)
    ]


def side_by_side(pair: Pair) -> np.ndarray:
    """Return a picture and its overlay beside it, RGB (H, 2 * W, 3) uint8."""
    frame, mask = pair
    bgr = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None  # we encoded it
    image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return np.hstack([image, overlay(image, mask.labels)])


def vocabulary_of(mask: MaskNote, log: DemoLog) -> VocabularyNote | None:
    """Return the vocabulary that a mask was made with."""
    version = log.versions.get(mask.stamp)
    return next((note for note in log.vocabularies if note.version == version), None)


def best_automatic(log: DemoLog) -> Pair | None:
    """Return the pair that shows most names of the settled automatic vocabulary.

    Settled is the vocabulary that discovery ended with. Ground truth has no say in the choice.
    """
    settled = log.automatic()
    if settled is None:
        return None

    def names(pair: Pair) -> int:
        counts = np.bincount(pair[1].labels.ravel())
        return int((counts[1:] >= _VISIBLE * pair[1].labels.size).sum())

    chosen = [
        pair
        for pair in pairs(log)
        if (note := vocabulary_of(pair[1], log)) and note.version == settled.version
    ]
    return max(chosen[::3], key=names, default=None)


def picture(pair: Pair, log: DemoLog) -> np.ndarray:
    """Return input | overlay | legend of the names in it, largest first, RGB (H, W', 3) uint8."""
    labels, note = pair[1].labels, vocabulary_of(pair[1], log)
    counts = np.bincount(labels.ravel())
    names = dict(note.names) if note else {}
    order = sorted((i for i in pair[1].ids if i in names), key=lambda i: -counts[i])
    title = "found by itself" if note and note.mode == "auto" else "set by the operator"
    return with_legend(
        side_by_side(pair), {i: names[i] for i in order}, title=title, width_px=LEGEND_PX
    )


def moments(log: DemoLog, count: int = 6) -> np.ndarray | None:
    """Return a contact sheet of moments evenly over the demo, RGB (H, W, 3) uint8."""
    found = pairs(log)
    if not found:
        return None
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, count).astype(int)]
    titles = []
    for _, mask in chosen:
        note = vocabulary_of(mask, log)
        seconds = (mask.arrival - log.phases[0].start) / _SECOND
        titles.append(f"{seconds:.0f} s, {note.mode if note else '?'}, {len(mask.ids)} names")
    sheets = [side_by_side(pair) for pair in chosen]
    return contact_sheet(sheets, titles=titles, columns=2, cell_width_px=520)


def write_video(path: Path, log: DemoLog, fps: int) -> Iterator[float]:
    """Write input | overlay | legend as H.264 in real time: at every tick the newest mask.

    Yields:
        The share that is written.

    Raises:
        ValueError: if there is nothing to show.
    """
    found = pairs(log)
    if not found:
        raise ValueError("log: expected masks with their pictures, got none")
    first, last = log.phases[0].start, log.phases[-1].end
    ticks = range(first, last, _SECOND // fps)
    height, width = found[0][1].size_hw
    size = (2 * width + LEGEND_PX + (LEGEND_PX % 2), height - height % 2)
    writer = imageio_ffmpeg.write_frames(
        str(path),
        size,
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=2,
        output_params=["-preset", "veryfast", "-crf", "26", "-movflags", "+faststart"],
    )
    writer.send(None)
    try:
        for done, pair in enumerate(_newest(found, ticks), start=1):
            writer.send(np.ascontiguousarray(_frame(pair, log)[: size[1]]))
            yield done / len(ticks)
    finally:
        writer.close()


def _newest(found: list[Pair], ticks: Iterable[int]) -> Iterator[Pair]:
    index = 0
    for tick in ticks:
        while index + 1 < len(found) and found[index + 1][1].arrival <= tick:
            index += 1
        yield found[index]


def _frame(pair: Pair, log: DemoLog) -> np.ndarray:
    both, note = side_by_side(pair), vocabulary_of(pair[1], log)
    names = tuple(note.names.items()) if note else ()
    title = f"{note.mode if note else '?'}, {len(names)} names"
    return np.hstack([both, _legend(both.shape[0], names, title)])


@lru_cache(maxsize=8)
def _legend(height: int, names: tuple[tuple[int, str], ...], title: str) -> np.ndarray:
    blank = np.zeros((height, 1, 3), np.uint8)
    return with_legend(blank, dict(names), title=title, width_px=LEGEND_PX)[:height, 1:]
