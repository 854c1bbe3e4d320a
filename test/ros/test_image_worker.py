"""The worker thread, without any node."""

import itertools
import threading
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from ovseg_ros.nodes import image_worker
from ovseg_ros.nodes.image_worker import ImageWorker, wait_for


@pytest.fixture
def workers():
    started = []

    def make(work, **options):
        options.setdefault("failed", lambda error: pytest.fail(str(error)))
        started.append(ImageWorker(work, **options))
        started[-1].start()
        return started[-1]

    yield make
    for worker in started:
        worker.stop()


def test_takes_the_newest_message_of_each_camera_and_counts_the_rest(workers):
    taken, busy, go_on = [], threading.Event(), threading.Event()

    def work(frames):
        taken.append(list(frames))
        busy.set()
        go_on.wait(5.0)

    worker = workers(work)
    worker.put(0, "first")
    assert busy.wait(5.0)
    for message in ("old", "older", "new"):
        worker.put(0, message)
    worker.put(1, "other camera")
    assert worker.newest()[0] == "new"
    go_on.set()
    wait_for(worker.submit(lambda: None), 5.0)
    wait_for(worker.submit(lambda: None), 5.0)
    assert taken == [[(0, "first")], [(0, "new"), (1, "other camera")]]
    assert (worker.received, worker.dropped) == (5, 2)


def test_tasks_run_in_the_thread_and_pass_on_their_errors(workers):
    worker = workers(lambda frames: None)
    thread = wait_for(worker.submit(threading.get_ident), 5.0)
    assert thread != threading.get_ident()
    assert wait_for(worker.submit(threading.get_ident), 5.0) == thread
    with pytest.raises(ZeroDivisionError):
        wait_for(worker.submit(lambda: 1 // 0), 5.0)


def test_a_bad_frame_does_not_end_the_thread(workers):
    errors, good = [], threading.Event()

    def work(frames):
        if frames[0][1] == "bad":
            raise ValueError("bad frame")
        good.set()

    worker = workers(work, failed=errors.append)
    worker.put(0, "bad")
    wait_for(worker.submit(lambda: None), 5.0)
    wait_for(worker.submit(lambda: None), 5.0)
    worker.put(0, "good")
    assert good.wait(5.0)
    assert [str(error) for error in errors] == ["bad frame"]


def test_period(workers):
    starts = []
    worker = workers(lambda frames: starts.append(time.monotonic()), period_s=lambda: 0.2)
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        worker.put(0, "frame")
        time.sleep(0.01)
    assert len(starts) >= 2
    assert all(later - earlier >= 0.19 for earlier, later in itertools.pairwise(starts))


def test_stop_cancels_what_waits(workers):
    busy = threading.Event()
    worker = workers(lambda frames: (busy.set(), time.sleep(0.2)))
    worker.put(0, "frame")
    assert busy.wait(5.0)
    future = worker.submit(lambda: None)
    worker.stop()
    with pytest.raises(RuntimeError, match="deactivated"):
        wait_for(future, 1.0)
    with pytest.raises(RuntimeError, match="not active"):
        worker.submit(lambda: None)
    worker.start()
    assert wait_for(worker.submit(lambda: 7), 5.0) == 7


@pytest.fixture
def flooded(workers, monkeypatch):
    """Provide a worker that is asked all the time for what takes 50 ms, and what it spent on it."""
    monkeypatch.setattr(image_worker, "_BURST_S", 0.2)
    spent, stop = [], threading.Event()
    worker = workers(lambda frames: time.sleep(0.01), share=0.2)

    def task():
        began = time.monotonic()
        time.sleep(0.05)
        spent.append(time.monotonic() - began)

    def ask():
        while not stop.is_set():
            wait_for(worker.submit(task), 10.0)

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    yield worker, spent
    stop.set()
    for caller in callers:
        caller.join()


def seconds_of_calls(worker, spent, *, frames, seconds):
    before, end = len(spent), time.monotonic() + seconds
    while time.monotonic() < end:
        if frames:
            worker.put(0, "frame")
        time.sleep(0.005)
    return sum(spent[before:]) / seconds


def test_calls_leave_frames_their_part_of_the_time(flooded):
    worker, spent = flooded
    seconds_of_calls(worker, spent, frames=True, seconds=0.5)  # what may be asked at once
    assert 0.05 < seconds_of_calls(worker, spent, frames=True, seconds=2.0) < 0.35
    assert worker.received > 100


def test_calls_have_all_of_the_time_without_frames(flooded):
    assert seconds_of_calls(*flooded, frames=False, seconds=1.0) > 0.6


def test_words_are_announced_while_calls_wait(flooded, monkeypatch):
    worker, spent = flooded
    seconds_of_calls(worker, spent, frames=True, seconds=0.5)
    announced = threading.Event()
    monkeypatch.setattr(worker, "_between", announced.set)
    worker.wake()
    assert announced.wait(5.0)


class Panic(BaseException):
    """As libraries in Rust raise: no Exception."""


@pytest.mark.parametrize("error", [Panic(), SystemExit(2), MemoryError()])
def test_nothing_that_is_raised_ends_the_thread(workers, error):
    errors = []

    def fail(*_):
        raise error

    worker = workers(fail, failed=errors.append)
    worker.put(0, "frame")
    with pytest.raises(type(error)):
        wait_for(worker.submit(fail), 5.0)
    wait_for(worker.submit(lambda: None), 5.0)
    wait_for(worker.submit(lambda: None), 5.0)
    assert errors == [error]
