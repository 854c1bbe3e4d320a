"""The demo as a whole: real processes over DDS, and how it ends when something goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ovseg_ros.demo.figures import missing
from ovseg_ros.demo.run import demo_commands, run_demo
from ovseg_ros.models.weights import ASSETS

FAKE = Path(__file__).with_name("fake_ovseg_node.py")
SLEEPER = [sys.executable, "-c", "import time; print('asleep', flush=True); time.sleep(600)"]


@pytest.mark.timeout(400)  # on a busy machine the imports alone take minutes
def test_a_short_demo_measures_everything(tmp_path: Path, capfd: pytest.CaptureFixture):
    real = all((ASSETS / name).is_dir() for name in ("simzss", "blip"))
    commands = demo_commands(tmp_path, "robot_cell")
    if not real:  # no weights yet: everything else is the real thing
        commands["ovseg_node"] = [sys.executable, str(FAKE), *commands["ovseg_node"][3:]]
    before = dict(os.environ)
    code = run_demo(
        tmp_path, 20.0, commands=commands
    )  # long enough for discoveries beside other tests
    printed = capfd.readouterr().out
    assert code == 0, printed
    assert dict(os.environ) == before

    report = json.loads((tmp_path / "report.json").read_text())
    assert missing(report) == []
    assert report["stale_name_masks"] == 0
    assert report["evaluation"]["stale_name_masks"] == 0
    assert report["segmentation_hz"] > 1
    assert 0 < report["age_ms"]["p50"] <= report["age_ms"]["p95"] < 5000
    assert report["query"]["name"].split(" ", 1)[1] in report["evaluation"]["per_category_fixed"]
    modes = [entry["mode"] for entry in report["vocabulary"]["versions"]]
    assert modes.index("fixed") < len(modes) - 1 - modes[::-1].index("auto")
    assert report["overlays_received"] > 0
    if not real:
        assert report["vocabulary"]["names"] == ["floor", "table", "wall", "zeppelin"]
        assert report["vocabulary_precision"] == 0.75

    picture = cv2.imread(str(tmp_path / "overlay.png"))
    assert picture.shape[0] >= 480 and picture.shape[1] > 1280
    video = cv2.VideoCapture(str(tmp_path / "overlay.mp4"))
    assert video.read()[0]
    video.release()
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 4
    assert page.count("data:image/jpeg;base64,") == 2
    assert not running(tmp_path)


def test_a_node_that_dies_early_fails_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture):
    dying = [sys.executable, "-c", "print('[INFO] [/out] of luck'); raise SystemExit(3)"]
    commands = {"sleeper": [*SLEEPER, str(tmp_path)], "luckless": dying}
    assert run_demo(tmp_path, 1.0, commands=commands) == 1
    printed = capsys.readouterr().out
    assert "luckless ended with code 3" in printed
    assert "[INFO] [/out] of luck" in printed
    assert not (tmp_path / "report.json").exists()
    assert not running(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_soon(tmp_path: Path, number: int):
    stubborn = "import signal, time; signal.signal(2, signal.SIG_IGN); print(1, flush=True); "
    commands = {
        "sleeper": [*SLEEPER, str(tmp_path)],
        "stubborn": [sys.executable, "-c", stubborn + "time.sleep(600)", str(tmp_path)],
    }
    program = (
        "import json, pathlib, sys; from ovseg_ros.demo.run import run_demo; "
        "sys.exit(run_demo(pathlib.Path(sys.argv[1]), commands=json.loads(sys.argv[2])))"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path), json.dumps(commands)]
    demo = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    logs = [tmp_path / "logs" / f"{name}.log" for name in commands]
    end = time.monotonic() + 60
    while not all(log.exists() and log.stat().st_size for log in logs):
        assert time.monotonic() < end and demo.poll() is None
        time.sleep(0.05)
    demo.send_signal(number)
    printed, _ = demo.communicate(timeout=15)
    assert demo.returncode == 130
    assert "every node has ended" in printed
    assert not running(tmp_path)


def running(folder: Path) -> list[str]:
    """Return the command lines of live processes that name a folder, ours left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and int(entry.parent.name) != os.getpid():
            found.append(line)
    return found
