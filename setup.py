"""Installs the ROS-free library and `ovseg`; colcon installs everything through CMake."""

from pathlib import Path

from setuptools import setup

SHARED_FOLDERS = ("config", "launch", "rviz", "foxglove", "nav2")

# The rest of the metadata is in pyproject.toml; it has no way to name files outside the package.
setup(
    data_files=[
        (f"share/ovseg_ros/{folder}", sorted(str(f) for f in folder.iterdir() if f.is_file()))
        for name in SHARED_FOLDERS
        for folder in [Path(name), *(p for p in sorted(Path(name).rglob("*")) if p.is_dir())]
        if folder.is_dir()
    ]
)
