"""Discovery and segmentation on a camera.

ros2 launch ovseg_ros ovseg.launch.py preset:=robot_cell image:=/camera/image_raw
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from ovseg_ros.nodes.session import dds_profile
from ovseg_ros.presets import DEFAULT, find_preset, list_presets


def _nodes(context):
    def value(name):
        return LaunchConfiguration(name).perform(context)

    preset = value("preset")
    find_preset(preset)  # a wrong name is an error here, not in a process
    if preset.endswith((".yaml", ".yml")):
        preset = str(find_preset(preset))
    parameters = [{"preset": preset, "image_transport": value("image_transport")}]
    if value("device"):
        parameters.append({"device": value("device")})
    separate = value("separate_processes").lower() in ("true", "1", "yes")
    executables = ["segmentation_node", "discovery_node"] if separate else ["ovseg_node"]
    return [
        Node(
            package="ovseg_ros",
            executable=executable,
            # No name: the process of both nodes would give it to both.
            parameters=parameters,
            remappings=[("image", value("image"))],
            output="screen",
        )
        for executable in executables
    ]


def generate_launch_description():
    """Return the graph."""
    presets = ", ".join(list_presets())
    arguments = (
        ("preset", DEFAULT, f"a parameter file or one of {presets}"),
        ("image", "/camera/image_raw", "camera topic"),
        ("image_transport", "raw", "raw or compressed (TOPIC/compressed)"),
        ("device", "", "auto, cpu, cuda or cuda:N; empty: what the preset says"),
        ("separate_processes", "false", "segmentation and discovery in a process each"),
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, default, text in arguments
            ),
            *(SetEnvironmentVariable(name, value) for name, value in dds_profile().items()),
            OpaqueFunction(function=_nodes),
        ]
    )
