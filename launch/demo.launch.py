"""The robot cell's camera, discovery, segmentation and their score.

ros2 launch ovseg_ros demo.launch.py camera:=sim
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from ovseg_ros.nodes.session import dds_profile


def _text(name):
    # Without a type, launch reads the text as YAML, and an empty one as nothing.
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def generate_launch_description():
    """Return the graph."""
    ovseg = str(Path(__file__).with_name("ovseg.launch.py"))
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "camera", default_value="sim", description="sim, live or replay:PATH"
            ),
            DeclareLaunchArgument(
                "report_path", default_value="", description="JSON written on shutdown"
            ),
            *(SetEnvironmentVariable(name, value) for name, value in dds_profile().items()),
            Node(
                package="ovseg_ros",
                executable="camera_node",
                parameters=[{"source": _text("camera")}],
                output="screen",
            ),
            Node(
                package="ovseg_ros",
                executable="evaluation_node",
                parameters=[{"report_path": _text("report_path")}],
                output="screen",
            ),
            # Takes preset, image, image_transport, device and separate_processes.
            IncludeLaunchDescription(PythonLaunchDescriptionSource(ovseg)),
        ]
    )
