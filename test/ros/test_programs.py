"""Nodes as programs: parameter files, remappings, signals and exit codes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import picture
from rcl_interfaces.srv import GetParameters, ListParameters
from sensor_msgs.msg import Image

from ovseg_ros.nodes.session import dds_profile
from ovseg_ros.nodes.up import node_commands, run_graph, running_graph

FAKES = str(Path(__file__).with_name("fakes.py"))
SOURCES = str(Path(__file__).parents[2])


def start(*command):
    path = os.pathsep.join(filter(None, [SOURCES, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_one_program_for_both_nodes(graph):
    masks = graph.listen(Image, "/segmentation_node/label_mask")
    options = ("-p", "preset:=robot_cell", "-p", "discovery_node:seed:=7", "--log-level", "warn")
    node = start(FAKES, "--ros-args", *options, "-r", "image:=/head/image_raw")
    try:
        graph.wait(lambda: graph.client.count_subscribers("/head/image_raw") == 2, 120.0)
        publish = graph.camera("/head/image_raw")
        graph.until(lambda: publish(picture("red block")), lambda: masks)
        names = ["segmenter.simzss.templates"]
        reply = graph.call(GetParameters, "/segmentation_node/get_parameters", names=names)
        assert reply.values[0].string_value == "tipsv2"  # the preset's
        for name, foreign in (("segmentation", "discovery."), ("discovery", "segmenter.")):
            reply = graph.call(ListParameters, f"/{name}_node/list_parameters")
            declared = reply.result.names
            assert "device" in declared
            assert not [one for one in declared if one.startswith(foreign)]
            assert not [one for one in declared if ".xdecoder." in one]  # not chosen
        names = ["seed", "discovery_period_s"]
        reply = graph.call(GetParameters, "/discovery_node/get_parameters", names=names)
        assert reply.values[0].integer_value == 7
        assert reply.values[1].double_value == 2.0  # from the node's own section of the preset
        node.send_signal(signal.SIGINT)
        assert node.wait(20.0) == 0, node.stderr.read()
        assert "Traceback" not in node.stderr.read()
    finally:
        node.kill()
        node.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_program_with_0(graph, tmp_path, number):
    cv2.imwrite(str(tmp_path / "only.png"), picture("red block"))
    images = graph.listen(Image, "/camera/image_raw")
    replay = f"source:=replay:{tmp_path}"
    node = start("-m", "ovseg_ros.nodes.camera_node", "--ros-args", "-p", replay)
    try:
        graph.wait(lambda: images, 60.0)
        node.send_signal(number)
        assert node.wait(20.0) == 0, node.stderr.read()
        assert "Traceback" not in node.stderr.read()
    finally:
        node.kill()
        node.communicate()


@pytest.mark.parametrize(
    ("module", "parameter", "reason"),
    [
        ("camera_node", "rate_hz:=-3.0", "rate_hz: expected a value in"),
        ("camera_node", "source:=replay:/nowhere", "could not configure: source: expected"),
        ("camera_node", "sorce:=sim", "sorce: no node has such a parameter; did you mean source"),
        ("segmentation_node", "preset:=nowhere", "preset: expected a YAML file or one of"),
        ("camera_node", "rate_hz:=[1, a", "error: --ros-args: "),
        (
            "segmentation_node",
            "image_topics:=[no topic]",
            "activate: image_topics: 'no topic': ",
        ),
        (
            "segmentation_node",
            "qos_overrides./segmentation_node/vocabulary.publisher.reliability:=sure",
            "error: ~/vocabulary: Unexpected QoS override for policy `reliability`: `sure`",
        ),
        (
            "segmentation_node",
            "segmenter.simzss.tempaltes:=photo",
            "did you mean segmenter.simzss.templates",
        ),
    ],
)
def test_a_program_that_cannot_start_says_why_and_exits_with_1(module, parameter, reason):
    node = start("-m", f"ovseg_ros.nodes.{module}", "--ros-args", "-p", parameter)
    _, said = node.communicate(timeout=90)
    assert node.returncode == 1
    assert reason in said
    assert "Traceback" not in said
    assert "Traceback" not in said


def test_commands_are_those_of_the_launch_file():
    commands = node_commands(
        preset="robot_cell",
        overrides=["device:=cpu", "discovery_node:seed:=3"],
        image="/front/image",
        image_transport="compressed",
    )
    (command,) = commands.values()
    assert command[1:5] == ["-P", "-m", "ovseg_ros.nodes.ovseg_node", "--ros-args"]
    for word in (
        "preset:=robot_cell",
        "image:=/front/image",
        "image_transport:=compressed",
        "device:=cpu",
        "discovery_node:seed:=3",
    ):
        assert word in command
    commands = node_commands(separate_processes=True, camera="sim", evaluate=True)
    expected = {"camera_node", "evaluation_node", "segmentation_node", "discovery_node"}
    assert set(commands) == expected
    assert "source:=sim" in commands["camera_node"]


FAST_DDS = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


@pytest.mark.parametrize(
    ("given", "profiled"),
    [
        ({}, True),
        ({"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}, True),
        ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, False),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, False),
        ({FAST_DDS[0]: "/mine.xml"}, False),
        ({FAST_DDS[1]: "/mine.xml"}, False),
    ],
)
def test_settings_of_the_middleware_are_the_users_first(monkeypatch, given, profiled):
    for name in (*FAST_DDS, "RMW_IMPLEMENTATION", "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = dds_profile()
    assert set(found) == (set(FAST_DDS) if profiled else set())
    assert all(Path(file).is_file() for file in found.values())


def test_up_sets_the_profile_of_the_middleware(monkeypatch, tmp_path):
    for name in (*FAST_DDS, "RMW_IMPLEMENTATION", "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.delenv(name, raising=False)
    said = tmp_path / "said"
    program = f"import os; open({str(said)!r}, 'w').write(os.environ[{FAST_DDS[0]!r}])"
    commands = {"node": [sys.executable, "-c", program]}
    monkeypatch.setitem(run_graph.__globals__, "node_commands", lambda **_: commands)
    assert run_graph() == 0
    assert said.read_text().endswith("config/fastdds.xml")


@pytest.mark.parametrize("override", ["device=cpu", ":=cpu", "device"])
def test_a_wrong_override_is_refused(override):
    with pytest.raises(ValueError, match="expected name:=value"):
        node_commands(overrides=[override])


def test_all_processes_are_stopped_once(tmp_path):
    program = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    open(sys.argv[1], 'a').write('x')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGINT, end)\n"
        "open(sys.argv[1], 'w').close()\n"
        "time.sleep(60)\n"
    )
    files = [tmp_path / "a", tmp_path / "b"]
    commands = {file.name: [sys.executable, "-c", program, str(file)] for file in files}
    with running_graph(commands) as processes:
        while not all(file.exists() for file in files):
            time.sleep(0.01)
    assert [process.returncode for process in processes.values()] == [0, 0]
    assert [file.read_text() for file in files] == ["x", "x"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_ends_by_a_signal_even_in_the_background(tmp_path, number):
    started = tmp_path / "started"
    sleeper = "import sys, time; open(sys.argv[1], 'w'); time.sleep(60)"
    commands = {"sleeper": [sys.executable, "-c", sleeper, str(started)]}
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # as a shell does for `ovseg up &`
        "from ovseg_ros.nodes import up\n"
        f"up.node_commands = lambda **_: {commands!r}\n"
        "sys.exit(up.run_graph())"
    )
    process = start("-c", program)
    try:
        end = time.monotonic() + 60
        while not started.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(30.0) == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_the_graph_ends_with_the_first_node_that_fails(monkeypatch):
    commands = {
        "sleeper": [sys.executable, "-c", "import time; time.sleep(60)"],
        "failing": [sys.executable, "-c", "raise SystemExit(5)"],
    }
    monkeypatch.setitem(run_graph.__globals__, "node_commands", lambda **_: commands)
    start = time.monotonic()
    assert run_graph() == 5
    assert time.monotonic() - start < 30


def test_no_garbage_is_looked_for_while_a_program_starts():
    code = (
        "import gc, sys\n"
        "from ovseg_ros.nodes.spin import spin\n"
        "def make():\n"
        "    raise ValueError(f'looks: {gc.isenabled()}')\n"
        "code = spin(make, args=[])\n"
        "print('looks afterwards:', gc.isenabled(), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    program = start("-c", code)
    _, said = program.communicate(timeout=120)
    assert program.returncode == 1
    assert said.splitlines() == ["error: looks: False", "looks afterwards: True"]
