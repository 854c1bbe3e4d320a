"""The launch files, where launch is installed (there is no wheel of it)."""

import os
from pathlib import Path

import pytest
import yaml

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


def parameters_of(node):
    """Return the files and the values that a node is given, in their order."""
    given = []
    for parameters, is_file in node._Node__expanded_parameter_arguments:
        text = Path(parameters).read_text() if is_file else None
        given.append(yaml.full_load(text)["/**"]["ros__parameters"] if is_file else parameters)
    return given


@pytest.mark.parametrize(
    ("arguments", "executables"),
    [
        ({}, {"ovseg_node"}),
        ({"separate_processes": "True"}, {"segmentation_node", "discovery_node"}),
    ],
)
def test_ovseg(arguments, executables):
    nodes = nodes_of("ovseg.launch.py", image="/front", **arguments)
    assert set(nodes) == executables
    for node in nodes.values():
        assert ("image", "/front") in node.expanded_remapping_rules
        assert parameters_of(node) == [{"preset": "robot_cell"}]


def test_arguments_count_more_than_the_parameter_file_and_that_more_than_the_preset(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("/**: {ros__parameters: {device: cpu, segmenter: {simzss: {templates: cell}}}}")
    node = nodes_of(
        "ovseg.launch.py",
        params_file=str(file),
        device="auto",
        depth="/depth",
        camera_info="/info",
        use_sim_time="true",
        autostart="false",
        image_topics="[/left, /right]",
        image_transport="compressed",
    )["ovseg_node"]
    preset, mine, given = parameters_of(node)
    assert preset == {"preset": "robot_cell"}
    assert mine["segmenter"] == {"simzss": {"templates": "cell"}}
    assert given == {
        "device": "auto",
        "depth_topic": "/depth",
        "camera_info_topic": "/info",
        "use_sim_time": True,
        "autostart": False,
        "image_topics": ("/left", "/right"),
        "image_transport": "compressed",
    }


@pytest.mark.parametrize("file", ["ovseg.launch.py", "demo.launch.py"])
def test_namespace_log_level_and_respawn(file):
    for node in nodes_of(file, namespace="robot1", log_level="warn").values():
        assert node.expanded_node_namespace == "/robot1"
        assert "--log-level" in node._Node__ros_arguments
    node = nodes_of(file, respawn="true")["ovseg_node"]
    assert node._ExecuteLocal__respawn is True


@pytest.mark.parametrize("file", ["ovseg.launch.py", "demo.launch.py"])
def test_rviz_shows_the_topics_of_the_graph(file):
    assert "rviz2" not in nodes_of(file)
    node = nodes_of(file, rviz="true", namespace="robot1")["rviz2"]
    arguments = [text[0].text for text in node._Node__arguments]
    text = Path(arguments[arguments.index("-d") + 1]).read_text()
    assert "/robot1/segmentation_node/overlay" in text
    assert "/robot1/camera/image_raw" in text


def test_demo():
    nodes = nodes_of("demo.launch.py", camera="replay:/pictures", preset="simzss")
    assert set(nodes) == {"camera_node", "evaluation_node", "ovseg_node"}
    preset, given = parameters_of(nodes["ovseg_node"])
    assert preset == {"preset": "simzss"}
    assert given == {"depth_topic": "camera/depth/image_raw"}


@pytest.mark.parametrize("file", ["ovseg.launch.py", "demo.launch.py"])
def test_the_dds_profile_goes_to_our_nodes_alone(monkeypatch, file):
    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    for name in (*names, "RMW_IMPLEMENTATION"):
        monkeypatch.delenv(name, raising=False)
    for node in nodes_of(file).values():
        given = {key[0].text: value[0].text for key, value in node.additional_env}
        assert set(given) == set(names)
        assert all(value.endswith("config/fastdds.xml") for value in given.values())
    assert not set(names) & set(os.environ)  # nothing for the rest of the robot
    monkeypatch.setenv(names[0], "/mine.xml")
    for node in nodes_of(file).values():
        assert not node.additional_env


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "nowhere"}, "expected a YAML file or one of"),
        ({"params_file": "/nowhere.yaml"}, "params_file: expected a YAML file"),
        ({"respawn": "often"}, "respawn: expected true or false, got 'often'"),
        ({"image_topics": "{a: 1}"}, "image_topics: expected"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nodes_of("ovseg.launch.py", **arguments)
