"""Discovery and segmentation on a camera.

ros2 launch ovseg_ros ovseg.launch.py preset:=robot_cell image:=/camera/image_raw
"""

import tempfile
from pathlib import Path

import yaml
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from ovseg_ros import layouts
from ovseg_ros.nodes.session import dds_profile
from ovseg_ros.presets import DEFAULT, find_preset, list_presets


def _flag(name, text):
    """Return what a text means; those who include this file write True as well as true."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError(f"{name}: expected true or false, got {text!r}")
    return text.lower() in ("true", "1")


def _parameters(value):
    """Return the parameters in the order in which they count, the last one most."""
    preset = value("preset")
    find_preset(preset)  # a wrong name is an error here, not in a process
    if preset.endswith((".yaml", ".yml")):
        preset = str(find_preset(preset))
    parameters = [{"preset": preset}]
    if value("params_file"):
        file = Path(value("params_file")).expanduser()
        if not file.is_file():
            raise ValueError(f"params_file: expected a YAML file, got {str(file)!r}")
        parameters.append(str(file))
    # What is not given is left to the preset and the parameter file.
    given = {name: value(name) for name in ("image_transport", "device")}
    given["depth_topic"], given["camera_info_topic"] = value("depth"), value("camera_info")
    given = {name: text for name, text in given.items() if text}
    for name in ("use_sim_time", "autostart"):
        if value(name):
            given[name] = _flag(name, value(name))
    if value("image_topics"):
        given["image_topics"] = _topics(value("image_topics"))
    return [*parameters, given] if given else parameters


def _topics(text):
    topics = yaml.safe_load(text)
    if isinstance(topics, str):
        topics = [name.strip() for name in topics.split(",")]
    if not isinstance(topics, list) or not all(isinstance(name, str) and name for name in topics):
        raise ValueError(
            f"image_topics: expected '[/left/image_raw, /right/image_raw]', got {text}"
        )
    return topics


def _nodes(context):
    def value(name):
        return LaunchConfiguration(name).perform(context)

    separate = _flag("separate_processes", value("separate_processes"))
    executables = ["segmentation_node", "discovery_node"] if separate else ["ovseg_node"]
    level = value("log_level")
    return [
        Node(
            package="ovseg_ros",
            executable=executable,
            # No name: the process of both nodes would give it to both.
            namespace=value("namespace"),
            parameters=_parameters(value),
            remappings=[("image", value("image"))],
            ros_arguments=["--log-level", level] if level else [],
            # For these processes alone: the rest of the robot keeps its own profile.
            additional_env=dds_profile(),
            respawn=_flag("respawn", value("respawn")),
            respawn_delay=2.0,
            output="screen",
        )
        for executable in executables
    ]


def _rviz(context):
    """Return RViz with a layout for the names that this graph has."""

    def value(name):
        return LaunchConfiguration(name).perform(context)

    if not _flag("rviz", value("rviz")):
        return []
    names = {"namespace": value("namespace"), "image": value("image")}
    topics = _topics(value("image_topics")) if value("image_topics") else ()
    folder = Path(tempfile.mkdtemp(prefix="ovseg-rviz-"))
    file = layouts.write("rviz", folder, image_topics=topics, **names)
    return [Node(package="rviz2", executable="rviz2", arguments=["-d", str(file)])]


def generate_launch_description():
    """Return the graph."""
    presets = ", ".join(list_presets())
    unchanged = "empty: what the parameter files say"
    arguments = (
        ("preset", DEFAULT, f"a parameter file or one of {presets}"),
        ("params_file", "", "parameter file on top of the preset"),
        ("namespace", "", "namespace of the nodes"),
        ("image", "camera/image_raw", "camera topic"),
        ("image_topics", "", f"several cameras: '[/left/image_raw, ...]'; {unchanged}"),
        ("image_transport", "", f"raw, or compressed (TOPIC/compressed); {unchanged}"),
        ("depth", "", f"depth image for ~/points; {unchanged}"),
        ("camera_info", "", f"intrinsics of the images; {unchanged}"),
        ("device", "", f"auto, cpu, cuda or cuda:N; {unchanged}"),
        ("use_sim_time", "", f"true: take the time from /clock; {unchanged}"),
        ("autostart", "", f"false: wait for a lifecycle manager; {unchanged}"),
        ("log_level", "", "debug, info, warn, error or fatal"),
        ("rviz", "false", "true: start RViz with a layout for this graph"),
        ("respawn", "false", "true: start a node again that has ended"),
        ("separate_processes", "false", "true: segmentation and discovery in a process each"),
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, default, text in arguments
            ),
            OpaqueFunction(function=_nodes),
            OpaqueFunction(function=_rviz),
        ]
    )
