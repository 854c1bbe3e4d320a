"""Starts the graph of ``launch/ovseg.launch.py`` where there is no ``ros2 launch``.

Same parameter files, node names and remappings; every node is a process of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from ovseg_ros.config import describe
from ovseg_ros.interrupts import end_with_parent
from ovseg_ros.nodes.config import NODES, check_known
from ovseg_ros.nodes.session import dds_profile, signals_ignored, signals_interrupt
from ovseg_ros.presets import DEFAULT, find_preset

_STOP_S = 1.5
"""Time for nodes to end: Ctrl-C is to be over within two seconds."""

_KILL_S = 0.1
"""Time for the kernel to end what was killed."""

_ROS_PARAMETERS = ("qos_overrides.", "use_sim_time", "start_type_description_service", "extends")
"""Parameters that every node has beside its own."""


def node_commands(
    *,
    preset: str | Path = DEFAULT,
    overrides: Iterable[str] = (),
    image: str = "/camera/image_raw",
    image_transport: str = "raw",
    device: str = "",
    separate_processes: bool = False,
    camera: str = "",
    evaluate: bool = False,
    report_path: str | Path = "",
) -> dict[str, list[str]]:
    """Return the command line of each process of the graph.

    Args:
        preset: Name of a preset, or a parameter file.
        overrides: Parameters ``name:=value``, or ``node:name:=value`` for one node only.
        image: Camera topic.
        image_transport: raw or compressed.
        device: Overrides the preset's device if given.
        separate_processes: Segmentation and discovery in a process each, instead of one for both.
        camera: Source of a camera node to start as well (sim, live, replay:PATH); empty: none.
        evaluate: Start the evaluation node as well.
        report_path: Where the evaluation node writes its report on shutdown.

    Raises:
        ValueError: if there is no such preset, or an override is not written like that or would
            reach no node.
    """
    find_preset(preset)  # a wrong name is an error here, not in a process
    nodes = ["segmentation_node", "discovery_node"]
    nodes += ["camera_node"] * bool(camera) + ["evaluation_node"] * evaluate
    given = [_override(entry, nodes) for entry in overrides]
    name = str(preset)
    shared = {
        "preset": str(find_preset(name)) if name.endswith((".yaml", ".yml")) else name,
        "image_transport": image_transport,
        **({"device": device} if device else {}),
    }
    remapping = ["-r", f"image:={image}"]

    def command(module: str, parameters: dict[str, Any], *more: str) -> list[str]:
        # A parameter without a node reaches every node of the process, one with a node its own.
        words = [f"{name}:={parameter_text(value)}" for name, value in parameters.items()]
        words += [
            f"{node}:{name}:={value}" if node else f"{name}:={value}" for node, name, value in given
        ]
        arguments = ["--ros-args", *more]
        for word in words:
            arguments += ["-p", word]
        # -P: nothing is imported from the folder that we happen to be started in.
        return [sys.executable, "-P", "-m", f"ovseg_ros.nodes.{module}", *arguments]

    commands = {}
    if camera:
        commands["camera_node"] = command("camera_node", {"source": camera})
    if evaluate:
        parameters = {"report_path": str(report_path)} if report_path else {}
        commands["evaluation_node"] = command("evaluation_node", parameters)
    modules = ("segmentation_node", "discovery_node") if separate_processes else ("ovseg_node",)
    for module in modules:
        commands[module] = command(module, shared, *remapping)
    return commands


def _override(entry: str, nodes: Sequence[str]) -> tuple[str, str, str]:
    """Return node ("" for all), parameter and value; ROS would drop what no node takes."""
    name, assigned, value = entry.partition(":=")
    node, _, parameter = name.rpartition(":")
    if not assigned or not parameter:
        raise ValueError(f"override: expected name:=value or node:name:=value, got {entry!r}")
    if node and node not in nodes:
        raise ValueError(f"override: expected a node of {', '.join(nodes)}, got {entry!r}")
    takers = [node] if node else nodes
    own = {leaf.name for taker in takers for leaf in describe(NODES[taker]())}
    check_known([parameter], own)  # says what is close to a misspelt one
    if parameter not in own and not parameter.startswith(_ROS_PARAMETERS):
        raise ValueError(f"override: {' and '.join(takers)} have no parameter {parameter!r}")
    return node, parameter, value


def parameter_text(value: Any) -> str:
    """Return a value as rcl reads it in ``-p name:=value``."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).removesuffix("...\n").strip()


@contextmanager
def running_graph(commands: dict[str, list[str]], **options: Any) -> Any:
    """Start processes, give them to the body as ``{name: Popen}``, and stop them cleanly after it.

    Args:
        commands: What :func:`node_commands` returns.
        options: What :func:`start` takes.
    """
    processes: dict[str, subprocess.Popen[Any]] = {}
    try:
        for name, command in commands.items():
            processes[name] = start(command, **options)
        yield processes
    finally:
        with signals_ignored():
            stop(processes.values())


def start(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[Any]:
    """Start a program in a session of its own: Ctrl-C reaches us alone, and we stop it once.

    Should this process be killed, the kernel (Linux) ends it.

    Args:
        command: Its command line.
        env: Environment variables beside our own.
        options: What else :class:`subprocess.Popen` takes.
    """
    return subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        preexec_fn=end_with_parent(),
        **options,
    )


def stop(processes: Iterable[subprocess.Popen[Any]], grace_s: float = _STOP_S) -> None:
    """End processes with SIGINT, and those that do not end in time with SIGKILL.

    What the kernel then needs to take back their memory is not waited for.
    """
    processes = list(processes)
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    end = time.monotonic() + grace_s
    if not _wait(processes, end):
        for process in processes:
            process.kill()
        _wait(processes, end + _KILL_S)


def _wait(processes: Iterable[subprocess.Popen[Any]], end: float) -> bool:
    """Wait for processes until a time of the monotonic clock; return whether all have ended."""
    ended = True
    for process in processes:
        try:
            process.wait(max(end - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            ended = False
    return ended


def run_graph(preset: str | Path = DEFAULT, overrides: Sequence[str] = (), **options: Any) -> int:
    """Run the graph until ctrl-C, SIGTERM, SIGHUP, or the end of one of its nodes (`ovseg up`).

    Args:
        preset: Name of a preset, or a parameter file.
        overrides: Parameters ``name:=value``, or ``node:name:=value`` for one node only.
        options: What else :func:`node_commands` takes.

    Returns:
        0 after a signal; the exit code of the first node that ended by itself.
    """
    commands = node_commands(preset=preset, overrides=overrides, **options)
    # SIGINT as well: a shell starts what runs in the background with that one ignored.
    with suppress(KeyboardInterrupt), signals_interrupt():
        with running_graph(commands, env=dds_profile()) as processes:
            ended = None
            while ended is None:
                time.sleep(0.1)
                ended = next((n for n, p in processes.items() if p.poll() is not None), None)
            code = processes[ended].returncode
            print(f"{ended} ended with exit code {code}, stopping the others", file=sys.stderr)
        return int(code)
    return 0
