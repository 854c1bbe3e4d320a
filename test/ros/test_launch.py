"""The launch files, where launch is installed (there is no wheel of it)."""

import os
from pathlib import Path

import pytest

launch = pytest.importorskip("launch", reason="needs ros-jazzy-launch")
pytest.importorskip("launch_ros", reason="needs ros-jazzy-launch-ros")

from launch.actions import IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

FOLDER = Path(__file__).parents[2] / "launch"


def nodes_of(file, **arguments):
    """Return what the nodes of a launch file would run, without running it."""
    context = launch.LaunchContext()
    pending = [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(FOLDER / file)),
            launch_arguments=list(arguments.items()),
        )
    ]
    nodes = []
    while pending:
        entity = pending.pop(0)
        if isinstance(entity, Node):
            # Private, but the only way to see parameters and remappings without a process.
            entity._perform_substitutions(context)
            nodes.append(entity)
        elif isinstance(entity, (IncludeLaunchDescription, OpaqueFunction)) or not isinstance(
            entity, launch.actions.ExecuteLocal
        ):
            pending = [*(entity.visit(context) or ()), *pending]
    return {node.node_executable: node for node in nodes}


@pytest.mark.parametrize(
    ("arguments", "executables"),
    [
        ({}, {"ovseg_node"}),
        ({"separate_processes": "true"}, {"segmentation_node", "discovery_node"}),
    ],
)
def test_ovseg(arguments, executables):
    nodes = nodes_of("ovseg.launch.py", image="/front", **arguments)
    assert set(nodes) == executables
    for node in nodes.values():
        assert ("image", "/front") in node.expanded_remapping_rules
        assert "/robot_cell.yaml" in str(node._Node__expanded_parameter_arguments)


def test_demo():
    nodes = nodes_of("demo.launch.py", camera="replay:/pictures", preset="simzss")
    assert set(nodes) == {"camera_node", "evaluation_node", "ovseg_node"}
    assert "/simzss.yaml" in str(nodes["ovseg_node"]._Node__expanded_parameter_arguments)


def test_fast_dds_carries_pictures(monkeypatch):
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.delenv("RMW_IMPLEMENTATION", raising=False)
    nodes_of("ovseg.launch.py")
    assert os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"].endswith("config/fastdds.xml")
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/mine.xml")
    nodes_of("ovseg.launch.py")
    assert os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] == "/mine.xml"


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="expected a YAML file or one of"):
        nodes_of("ovseg.launch.py", preset="nowhere")
