"""`ovseg up` and its processes: none is left behind, none runs what lies about, none is twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from test_programs import start

from ovseg_ros.nodes.up import node_commands

NODE = "ovseg_ros.nodes.camera_node"


def parent_of(*command):
    """Start a program that runs a command as `ovseg up` does, and prints its process."""
    program = (
        "import sys\n"
        "from ovseg_ros.nodes.up import running_graph\n"
        f"with running_graph({{'child': {list(command)!r}}}) as processes:\n"
        "    print(processes['child'].pid, flush=True)\n"
        "    processes['child'].wait()\n"
    )
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.getenv("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


def runs(process):
    """Return whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_no_node_outlives_up_even_if_it_is_killed():
    parent = parent_of(sys.executable, "-c", "import time; time.sleep(60)")
    child = int(parent.stdout.readline())
    assert runs(child)
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 10
    while runs(child):
        assert time.monotonic() < end, "the child lives on"
        time.sleep(0.02)


def test_a_node_that_does_not_listen_is_ended_within_two_seconds():
    deaf = (
        "import signal, time\n"
        "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    program = (
        "import signal, subprocess, sys\n"
        "from ovseg_ros.nodes import up\n"
        f"up.node_commands = lambda **_: {{'deaf': [sys.executable, '-c', {deaf!r}]}}\n"
        "sys.exit(up.run_graph())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "deaf\n"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)  # impatience leaves no node behind either
        _, said = process.communicate(timeout=10)
        assert (process.returncode, said) == (0, "")
        assert time.monotonic() - began < 2.5  # 2 s, and a little for this machine


def test_nothing_is_imported_from_the_folder_it_is_started_in(tmp_path):
    (tmp_path / "numpy.py").write_text("open('was run', 'w')")
    (command,) = node_commands(image="/nowhere").values()
    at = command.index("-m")
    process = subprocess.run(
        [*command[:at], "-c", "import numpy; numpy.zeros(1)"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
    )
    assert process.returncode == 0
    assert not (tmp_path / "was run").exists()


SLEEPS = {
    "in Python": "import time; time.sleep(60)",
    "in C": "import ctypes; ctypes.PyDLL(None).sleep(60)",  # as a library that is being loaded
}


@pytest.mark.parametrize("sleep", SLEEPS.values(), ids=SLEEPS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_while_it_imports_it_says_nothing(number, sleep, tmp_path):
    """The first library is one that takes long, and signals come in the middle of it."""
    process = importing(tmp_path, sleep)
    with process:
        began = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=10)
        assert (process.returncode, said) == (0, "")
        assert time.monotonic() - began < 2.5  # 2 s, and a little for this machine


def test_what_libraries_make_of_an_interrupt_is_no_error():
    """Compiled modules turn it into an ImportError when it comes while they are loaded."""
    program = (
        "import sys, time\n"
        "from ovseg_ros.nodes.spin import spin\n"
        "def make():\n"
        "    print('makes', file=sys.stderr, flush=True)\n"
        "    try:\n"
        "        time.sleep(60)\n"
        "    except KeyboardInterrupt as error:\n"
        "        raise ImportError('initialization failed') from error\n"
        "sys.exit(spin(make))"
    )
    process = start("-c", program)
    with process:
        assert process.stderr.readline() == "makes\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
        assert (process.returncode, said) == (0, "")


def importing(folder, sleep):
    """Start a node, and return it when it is in the middle of its imports."""
    (folder / "numpy.py").write_text(
        f"import os, sys\nprint(os.getpid(), file=sys.stderr, flush=True)\n{sleep}"
    )
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    process = subprocess.Popen(
        [sys.executable, "-m", NODE],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    process.worker = int(process.stderr.readline())
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
@pytest.mark.parametrize("sleep", SLEEPS.values(), ids=SLEEPS)
def test_what_a_program_does_ends_with_it(sleep, tmp_path):
    """A node's process watches over the one that works; who kills the first means both."""
    process = importing(tmp_path, sleep)
    with process:
        assert process.worker != process.pid
        process.kill()
        end = time.monotonic() + 10
        while runs(process.worker):
            assert time.monotonic() < end, "the worker lives on"
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("device=cpu", "expected name:=value"),
        (":=cpu", "expected name:=value"),
        ("discovery_nod:seed:=3", "expected a node of segmentation_node, discovery_node"),
        ("camera_node:loop:=false", "expected a node of"),  # none is started
        ("sed:=3", "sed: no node has such a parameter; did you mean seed"),
        ("discovery_node:overlay_alpha:=0.5", "discovery_node have no parameter 'overlay_alpha'"),
        ("jpeg_quality:=50", "have no parameter 'jpeg_quality'"),
    ],
)
def test_an_override_that_would_reach_no_node_is_refused(override, reason):
    with pytest.raises(ValueError, match=reason):
        node_commands(overrides=[override])


def test_overrides_that_reach_one_node_are_passed_on():
    overrides = ["seed:=3", "use_sim_time:=true", "camera_node:loop:=false", "overlay_alpha:=0.5"]
    commands = node_commands(overrides=overrides, camera="sim")
    assert all(set(overrides) <= set(command) for command in commands.values())


def test_a_second_node_of_one_name_is_an_error_at_its_start(graph, tmp_path):
    from test_graph import source

    from ovseg_ros.nodes.camera_node import CameraNode

    first = graph.add(CameraNode, source)
    node = start("-m", NODE)
    try:
        _, said = node.communicate(timeout=90)
        assert node.returncode == 1
        assert "error: /camera_node: a node of this name already runs" in said
        assert "Traceback" not in said
        assert first.get_name() == "camera_node"
    finally:
        node.kill()
