"""The worker thread, without any node."""

import threading
import time
from types import SimpleNamespace

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
        go_on.wait(30.0)

    worker = workers(work)
    worker.put(0, "first")
    assert busy.wait(30.0)
    for message in ("old", "older", "new"):
        worker.put(0, message)
    worker.put(1, "other camera")
    assert worker.newest()[0] == "new"
    go_on.set()
    wait_for(worker.submit(lambda: None), 30.0)
    wait_for(worker.submit(lambda: None), 30.0)
    assert taken == [[(0, "first")], [(0, "new"), (1, "other camera")]]
    assert (worker.received, worker.dropped) == (5, 2)


def test_tasks_run_in_the_thread_and_pass_on_their_errors(workers):
    worker = workers(lambda frames: None)
    thread = wait_for(worker.submit(threading.get_ident), 30.0)
    assert thread != threading.get_ident()
    assert wait_for(worker.submit(threading.get_ident), 30.0) == thread
    with pytest.raises(ZeroDivisionError):
        wait_for(worker.submit(lambda: 1 // 0), 30.0)


def test_a_bad_frame_does_not_end_the_thread(workers):
    errors, good = [], threading.Event()

    def work(frames):
        if frames[0][1] == "bad":
            raise ValueError("bad frame")
        good.set()

    worker = workers(work, failed=errors.append)
    worker.put(0, "bad")
    wait_for(worker.submit(lambda: None), 30.0)
    wait_for(worker.submit(lambda: None), 30.0)
    worker.put(0, "good")
    assert good.wait(30.0)
    assert [str(error) for error in errors] == ["bad frame"]


def test_period(workers):
    starts, began = [], time.monotonic()
    worker = workers(lambda frames: starts.append(time.monotonic()), period_s=lambda: 0.2)

    def fed():
        worker.put(0, "frame")
        return len(starts) >= 4

    wait_until(fed)
    assert starts[3] - began >= 3 * 0.2


def test_stop_cancels_what_waits(workers):
    busy = threading.Event()

    def work(frames):
        busy.set()
        while not worker._stopping:
            time.sleep(0.001)

    worker = workers(work)
    worker.put(0, "frame")
    assert busy.wait(30.0)
    future = worker.submit(lambda: None)
    worker.stop()
    with pytest.raises(RuntimeError, match="deactivated"):
        wait_for(future, 30.0)
    with pytest.raises(RuntimeError, match="not active"):
        worker.submit(lambda: None)
    worker.start()
    assert wait_for(worker.submit(lambda: 7), 30.0) == 7


class Clock:
    """What the worker takes for the time: it goes on where something is done, and nowhere else."""

    START = 100.0

    def __init__(self):
        self.now = self.START

    def monotonic(self):
        return self.now


TASK_S, FRAME_S, BURST_S, SHARE, FRAMES = 0.05, 0.01, 0.2, 0.2, 300


@pytest.fixture
def flooded(workers, monkeypatch):
    """Return what starts a worker that is asked for ten seconds of work, with or without frames."""
    clock = Clock()
    monkeypatch.setattr(image_worker, "time", clock)
    monkeypatch.setattr(image_worker, "_BURST_S", BURST_S)

    def start(frames):
        looks = []

        def go_on(seconds):
            clock.now += seconds
            if len(looks) < frames:  # the next frame comes meanwhile
                worker.put(0, "frame")

        def look(_):
            looks.append(1)
            go_on(FRAME_S)

        worker = workers(look, share=SHARE)
        futures = [worker.submit(lambda: go_on(TASK_S)) for _ in range(200)]
        return SimpleNamespace(worker=worker, clock=clock, looks=looks, futures=futures)

    return start


def answered(futures):
    return sum(future.done() for future in futures)


def wait_until(condition):
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def test_calls_leave_frames_their_part_of_the_time(flooded):
    flood = flooded(FRAMES)
    wait_until(lambda: len(flood.looks) >= FRAMES)
    passed, spent = flood.clock.now - Clock.START, answered(flood.futures) * TASK_S
    assert SHARE * passed - TASK_S < spent < SHARE * passed + BURST_S + 2 * TASK_S


def test_calls_have_all_of_the_time_without_frames(flooded):
    for future in flooded(0).futures:
        wait_for(future, 30.0)


def test_words_are_announced_while_calls_wait(flooded, monkeypatch):
    flood = flooded(FRAMES)
    wait_until(lambda: len(flood.looks) >= FRAMES)
    announced = threading.Event()
    monkeypatch.setattr(flood.worker, "_between", announced.set)
    flood.worker.wake()
    assert announced.wait(30.0)
    assert answered(flood.futures) < len(flood.futures)


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
        wait_for(worker.submit(fail), 30.0)
    wait_for(worker.submit(lambda: None), 30.0)
    wait_for(worker.submit(lambda: None), 30.0)
    assert errors == [error]
