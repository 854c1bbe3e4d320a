"""The robot cell's camera, discovery, segmentation and their score.

ros2 launch ovseg_ros demo.launch.py camera:=sim
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from ovseg_ros.nodes.session import dds_profile


def _nodes(context):
    def value(name):
        return LaunchConfiguration(name).perform(context)

    level = value("log_level")
    programs = (
        ("camera_node", {"source": value("camera")}),
        ("evaluation_node", {"report_path": value("report_path")}),
    )
    return [
        Node(
            package="ovseg_ros",
            executable=executable,
            namespace=value("namespace"),
            parameters=[parameters],
            ros_arguments=["--log-level", level] if level else [],
            additional_env=dds_profile(),
            output="screen",
        )
        for executable, parameters in programs
    ]


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
            DeclareLaunchArgument(
                "depth",
                default_value="camera/depth/image_raw",
                description="depth image for ~/points; that of the camera node",
            ),
            # Takes every other argument of that file.
            IncludeLaunchDescription(PythonLaunchDescriptionSource(ovseg)),
            OpaqueFunction(function=_nodes),
        ]
    )
