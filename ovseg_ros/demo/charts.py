"""Charts of a demo as SVG that a page can hold inline."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ovseg_ros.demo.log import DemoLog
from ovseg_ros.drawing import palette

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_SHADE, _LINE, _FIXED = "#e8edf3", "#1f6f8b", "#c05746"


Record = Mapping[str, Any]
"""What the evaluation node has written."""


def vocabulary_timeline(log: DemoLog, record: Record) -> str:
    """Return when each name was in force."""
    names: dict[str, int] = {}
    for entry in record["vocabulary"]:
        for name, number in zip(entry["names"], entry["ids"], strict=True):
            names.setdefault(name, number)
    rows = {name: row for row, name in enumerate(names)}
    colors = dict(zip(names, palette(list(names.values())) / 255, strict=True))

    def draw(axes: Any, seconds: Callable[[int], float]) -> None:
        versions = record["vocabulary"]
        ends = [entry["arrival"] for entry in versions[1:]] + [log.phases[-1].end]
        for entry, end in zip(versions, ends, strict=True) if versions else ():
            start = max(seconds(entry["arrival"]), 0.0)
            for name in entry["names"]:
                span = [(start, max(seconds(end) - start, 0.0))]
                axes.broken_barh(span, (rows[name] - 0.38, 0.76), color=colors[name])
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.4, -0.6)

    return _chart(log, draw, height=0.6 + 0.22 * max(len(rows), 2))


def rate(log: DemoLog, record: Record) -> str:
    """Return the rate of the masks, with the times when a discovery ran below it."""

    def draw(axes: Any, seconds: Callable[[int], float]) -> None:
        arrivals = [seconds(at) for _, at in record["events"]["masks"]]
        edges = np.arange(0.0, max(seconds(log.phases[-1].end), 2.0), 1.0)
        counts, _ = np.histogram(arrivals, edges)
        axes.stairs(counts, edges, color=_LINE, linewidth=1.6)
        busy = record["events"]["discoveries"]
        runs = [(seconds(stamp), (at - stamp) / 1e9) for stamp, at in busy]
        axes.broken_barh(runs, (-0.9, 0.6), color="#d9a441")
        axes.set_ylim(-1.2, max(counts.max(initial=0) * 1.15, 1))
        axes.set_ylabel("masks per second")

    return _chart(log, draw)


def age(log: DemoLog, record: Record) -> str:
    """Return the age of every mask on arrival."""

    def draw(axes: Any, seconds: Callable[[int], float]) -> None:
        masks = record["events"]["masks"]
        ages = [(at - stamp) / 1e6 for stamp, at in masks]
        axes.plot([seconds(at) for _, at in masks], ages, ".", color=_LINE, markersize=3)
        axes.set_ylim(0, max(np.percentile(ages, 99) * 1.3, 1) if ages else 1)
        axes.set_ylabel("age, ms")

    return _chart(log, draw)


def accuracy(log: DemoLog, record: Record) -> str:
    """Return the running mIoU as the evaluation node reported it."""

    def draw(axes: Any, seconds: Callable[[int], float]) -> None:
        modes = (("miou_auto", "discovered names", _LINE), ("miou_fixed", "true names", _FIXED))
        for key, label, color in modes:
            scores = record["events"]["scores"]
            points = [(seconds(at), v[key]) for at, v in scores if v.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), color=color, label=label, linewidth=1.6)
        axes.set_ylim(0, 1)
        axes.set_ylabel("mIoU so far")
        if axes.lines:
            axes.legend(loc="upper right", frameon=False)

    return _chart(log, draw)


def _chart(log: DemoLog, draw: Callable[..., None], height: float = 2.3) -> str:
    begin = log.phases[0].start

    def seconds(time: int) -> float:
        return (time - begin) / 1e9

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.0, height), layout="constrained")
        axes = figure.subplots()
        for index, phase in enumerate(log.phases):
            if index % 2 == 0:
                axes.axvspan(seconds(phase.start), seconds(phase.end), color=_SHADE, zorder=0)
            axes.text(
                seconds((phase.start + phase.end) // 2),
                1.02,
                phase.name,
                transform=axes.get_xaxis_transform(),
                horizontalalignment="center",
                color="#555555",
            )
        draw(axes, seconds)
        axes.set_xlim(0, seconds(log.phases[-1].end))
        axes.set_xlabel("seconds")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
