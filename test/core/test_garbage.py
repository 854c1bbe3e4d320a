"""When Python looks for garbage."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from ovseg_ros.garbage import uncollected


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


def test_what_is_made_within_is_not_looked_at():
    before = gc.get_freeze_count()
    with uncollected():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() - before >= len(kept)


def test_an_error_ends_it():
    with pytest.raises(KeyError), uncollected():
        raise KeyError
    assert gc.isenabled()


def test_whoever_collects_by_hand_goes_on_doing_so():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_program_ends_as_any_other():
    """What is frozen is never given back, and libraries that count their objects complain."""
    code = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count()))\n"  # after all later ones
        "from ovseg_ros.garbage import uncollected\n"
        "with uncollected(): kept = [[] for _ in range(1000)]\n"
        "print(gc.get_freeze_count() > 1000)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "0"]
