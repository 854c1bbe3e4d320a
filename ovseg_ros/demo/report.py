"""Writes what a demo measured: report.json, report.html, overlay.png and overlay.mp4."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from ovseg_ros.bench.graph import processor
from ovseg_ros.codecs.pictures import data_uri, encode
from ovseg_ros.demo import charts as demo_charts
from ovseg_ros.demo import pictures as demo_pictures
from ovseg_ros.demo.figures import missing, plain
from ovseg_ros.demo.log import DemoLog
from ovseg_ros.evaluation.protocol import versions
from ovseg_ros.whole_files import write_json

_PACKAGES = ("open_clip_torch", "opencv-python-headless", "rclpy", "ros-rclpy")
_TEMPLATES = Path(__file__).parent / "templates"


def write(
    out: Path, log: DemoLog, report: Mapping[str, Any], *, began: float, console: Console
) -> None:
    """Write the files and print a table of the figures.

    Args:
        out: Folder to write to.
        log: What the operator noted down.
        report: Figures by name.
        began: When the demo began, as :func:`time.monotonic` had it.
        console: Where to print.
    """
    for name in ("overlay.png", "overlay.mp4", "report.html", "report.json"):
        (out / name).unlink(missing_ok=True)  # nothing of an earlier run may pass for this one's
    best, sheet = demo_pictures.best_automatic(log), demo_pictures.moments(log)
    picture = demo_pictures.picture(best, log) if best else None
    if picture is not None:
        (out / "overlay.png").write_bytes(encode(picture, ".png"))
    if demo_pictures.pairs(log):
        _write_video(out / "overlay.mp4", log, report, console)
    report = {**report, "wall_s": time.monotonic() - began, "versions": versions(*_PACKAGES)}
    hardware = {"cpu": processor(), "cores": os.cpu_count()}
    report |= {"hardware": hardware, "missing": missing(report)}
    write_json(out / "report.json", plain(report))
    (out / "report.html").write_text(page(log, report, picture, sheet))
    console.print(_table(report))
    for path in sorted(out.glob("*.*")):
        console.print(f"  {path}  {path.stat().st_size / 1024:,.0f} KiB", markup=False)


def rows(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (figure, value, meaning) lines of a report for people."""
    age, query = report.get("age_ms") or {}, report.get("query") or {}
    words = report["vocabulary"]["names"] or []

    def number(value: Any, unit: str = "", digits: int = 2) -> str:
        return "not measured" if value is None else f"{value:.{digits}f}{unit}"

    asked = f"IoU {number(query.get('iou'))}, {'present' if query.get('present') else 'absent'}"
    running, idle = "segmentation_hz_discovery_running", "segmentation_hz_discovery_idle"
    return [
        ("Segmentation", number(report["segmentation_hz"], " Hz", 1), "masks in automatic mode"),
        ("  while discovering", number(report[running], " Hz", 1), "a discovery was running"),
        ("  otherwise", number(report[idle], " Hz", 1), "no discovery was running"),
        ("Camera", number(report["camera_hz"], " Hz", 1), "upper bound of the rates above"),
        ("Discovery", number(report["discovery_hz"], " Hz"), "in automatic mode"),
        ("Age, median", number(age.get("p50"), " ms", 0), "from stamp to arrival of the mask"),
        ("Age, 95 %", number(age.get("p95"), " ms", 0), "the same"),
        ("mIoU, automatic", number(report["miou_auto"]), "discovered names mapped to true ones"),
        ("mIoU, true names", number(report["miou_gt_vocabulary"]), "names set by the operator"),
        ("Names, precision", number(report["vocabulary_precision"]), "discovered names that exist"),
        ("Names, recall", number(report["vocabulary_recall"]), "existing names discovered"),
        ("Query", asked if query else "not measured", f"{query.get('name', '')!r}, one frame"),
        ("Stale masks", number(report["stale_name_masks"], digits=0), "with unannounced names"),
        (
            "Device",
            str(report["device"] or "not measured"),
            report.get("hardware", {}).get("cpu", ""),
        ),
        ("Names", str(len(words)), ", ".join(words)),
    ]


def page(
    log: DemoLog, report: Mapping[str, Any], picture: np.ndarray | None, sheet: np.ndarray | None
) -> str:
    """Return the page: one file with pictures (RGB, (H, W, 3) uint8) and charts in it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    charts, record = {}, report["evaluation"]
    if log.phases:
        charts = {
            "Words in force": demo_charts.vocabulary_timeline(log, record),
            "Running mIoU": demo_charts.accuracy(log, record),
            "Masks per second (below: a discovery runs)": demo_charts.rate(log, record),
            "Age of the masks": demo_charts.age(log, record),
        }
    return environment.get_template("demo.html.j2").render(
        rows=rows(report),
        report=report,
        charts=charts,
        phases=log.phases,
        picture=_inline(picture),
        sheet=_inline(sheet),
    )


def _write_video(path: Path, log: DemoLog, report: Mapping[str, Any], console: Console) -> None:
    fps = max(round(report["camera_hz"] or 10.0), 1)
    columns, quiet = (TextColumn("{task.description}"), BarColumn()), not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        bar = progress.add_task(f"writing {path.name}", total=1.0)
        for share in demo_pictures.write_video(path, log, fps):
            progress.update(bar, completed=share)


def _table(report: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("figure", "value", "meaning"):
        table.add_column(title, overflow="fold")
    for row in rows(report):
        table.add_row(*row)
    return table


def _inline(image: np.ndarray | None) -> str:
    return "" if image is None else data_uri(image)
