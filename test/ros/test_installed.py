"""What `make` has installed, by the rules of the tools that look for it."""

import os
import stat
import sys
from pathlib import Path

import pytest

PREFIX = Path(sys.prefix)
SHARE = PREFIX / "share" / "ovseg_ros"
ROOT = Path(__file__).parents[2]
NODES = ("camera_node", "discovery_node", "evaluation_node", "ovseg_node", "segmentation_node")

if not SHARE.is_dir():
    pytest.skip("needs the package built into this environment", allow_module_level=True)


def found_by_walking(folder):
    """Every file that `os.walk` finds without following links to folders, as ros2launch does."""
    return {
        (Path(path) / name).relative_to(folder).as_posix()
        for path, _, names in os.walk(folder)
        for name in names
    }


@pytest.mark.parametrize("folder", ["config", "foxglove", "launch", "nav2", "rviz"])
def test_shared_files_are_found(folder):
    sources = found_by_walking(ROOT / folder)
    sources = {name for name in sources if "__pycache__" not in name}
    assert sources
    assert sources <= found_by_walking(SHARE / folder)
    for name in sources:  # linked: an edit counts at once
        assert (SHARE / folder / name).read_bytes() == (ROOT / folder / name).read_bytes()


@pytest.mark.parametrize("name", [*NODES, "ovseg"])
def test_programs_may_be_run(name):
    program = PREFIX / "lib" / "ovseg_ros" / name
    everyone = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
    assert program.stat().st_mode & everyone == everyone
    # `colcon build --symlink-install` links to what CMake has written.
    for written in (ROOT / "build").glob(f"ovseg_ros/programs/{name}"):
        assert written.stat().st_mode & everyone == everyone
