"""Numbers of the graph under load, by hand."""

import json

import pytest

from ovseg_ros.bench.graph import Playback, metrics, plot, table
from ovseg_ros.bench.jobs import Result


def played(sent, received, busy=(0.5, 0.7)):
    return Playback(sent_s=sent, received_s=received, busy=busy, cores=1.25, peak_mib=300.0)


def test_by_hand():
    # Ten images a second, each mask 20 ms later but the third, which never comes, and the last.
    sent = {n: 0.1 * n for n in range(5)}
    found = metrics(played(sent, {0: 0.02, 1: 0.12, 3: 0.32, 4: 0.46}))
    basic = {
        key.partition(".")[2]: value
        for key, value in found.items()
        if key.startswith("BasicPerformanceMetrics.")
    }
    assert basic == {
        "NUM_FRAMES_SENT": 5,
        "NUM_MISSED_FRAMES": 1,
        "MEAN_PLAYBACK_FRAME_RATE": pytest.approx(10.0),
        "MEAN_FRAME_RATE": pytest.approx(3 / 0.44, abs=1e-3),
        "FIRST_SENT_RECEIVED_LATENCY": pytest.approx(20.0),
        "LAST_SENT_RECEIVED_LATENCY": pytest.approx(60.0),
        "MEDIAN_LATENCY": pytest.approx(20.0),
        "P95_LATENCY": pytest.approx(54.0),
        "MAX_LATENCY": pytest.approx(60.0),
        "RECEIVED_DURATION": pytest.approx(440.0),
        # Gaps of 100, 200 and 140 ms against 100.
        "MIN_JITTER": pytest.approx(0.0, abs=1e-6),
        "MEAN_JITTER": pytest.approx(140 / 3, abs=1e-3),
        "MAX_JITTER": pytest.approx(100.0),
        "STD_DEV_JITTER": pytest.approx(41.0961, abs=1e-3),
    }
    assert found["ResourceMetrics.MEAN_OVERALL_CPU_UTILIZATION"] == pytest.approx(60.0)
    assert found["ResourceMetrics.NODE_CORES"] == 1.25


@pytest.mark.parametrize("received", [{}, {1: 0.2}])
def test_few_masks_or_none(received):
    found = metrics(played({0: 0.0, 1: 0.1}, received, busy=()))
    assert found["BasicPerformanceMetrics.NUM_MISSED_FRAMES"] == 2 - len(received)
    assert found["BasicPerformanceMetrics.MEAN_FRAME_RATE"] == 0.0


def test_table_plot_and_file(tmp_path):
    one = metrics(played({n: 0.1 * n for n in range(5)}, {n: 0.1 * n + 0.02 for n in range(5)}))
    runs = {f"{count} names": {"10.0fps": one, "30.0fps": one} for count in (1, 1000)}
    lines = table(runs)
    assert len(lines) == 5
    assert lines[-1].startswith("1000 names at 30.0fps")
    plot(runs, tmp_path / "graph.png")
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")
    Result(lines=lines, data={"runs": runs}).write(tmp_path / "graph.json")
    assert json.loads((tmp_path / "graph.json").read_text())["runs"] == runs
