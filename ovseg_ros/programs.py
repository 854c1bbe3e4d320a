"""How a program starts: whatever package is missing, one line at the end names it.

Nothing here needs more than Python, so that the line comes wherever the package is missing.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from ovseg_ros.garbage import uncollected
from ovseg_ros.interrupts import leaving_quietly
from ovseg_ros.supervisor import supervise

_DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "HanTa": "HanTa",
    "imageio_ffmpeg": "imageio[ffmpeg]",
    "open_clip": "open_clip_torch",
    "PIL": "pillow",
    "pydensecrf": "pydensecrf2",
    "segment_anything": "segment-anything",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""What installs a module, where its name is another one."""

TOOLS = {
    "imageio_ffmpeg": "the demo",
    "jinja2": "reports",
    "matplotlib": "charts",
    "segment_anything": "LMSeg and sam_blip",
    "tqdm": "training and measuring",
}
"""Modules that a robot can do without, and what needs each (the extras of pyproject.toml)."""

_ROS = re.compile(
    r"rclpy|rpyutils|launch|launch_ros|\w+_(msgs|srvs|interfaces)|rosidl_\w+|ament_\w+"
)


def run(module: str) -> int | None:
    """Run ``module.main()`` and return its exit code; 1 and one line if a package is missing.

    Interrupted while it imports the module, the program ends without a word: with 0 where that is
    how it always ends (nodes, ``ovseg up`` and ``view``), else with 130 as a command does.

    Args:
        module: Full name of a module of this package.
    """
    endless = ".nodes." in module or sys.argv[1:2] in (["up"], ["view"])
    try:
        with leaving_quietly(0 if endless else 130):
            if ".nodes." in module:
                supervise()
            with uncollected():
                main = importlib.import_module(module).main
        if endless:
            _leave(main)
        return main()
    except ModuleNotFoundError as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 1


def _leave(main: Callable[[], int | None]) -> NoReturn:
    """End with a program's exit code, at once: Python's own end takes long on a busy machine."""
    try:
        code = main()
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def ovseg() -> int | None:
    """Run the command line."""
    return run("ovseg_ros.cli")


def need(*modules: str) -> None:
    """Import modules that are needed at the end only, before anything takes its time.

    Raises:
        ModuleNotFoundError: if one is missing.
    """
    for module in modules:
        importlib.import_module(module)


def explain(error: BaseException) -> str:
    """Return an error's message, or for a missing package which one it is and what installs it."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return str(error) or type(error).__name__
    name, _, part = error.name.partition(".")
    if name == "ovseg_ros" and part.partition(".")[0] in ("msg", "srv"):
        return (
            "the messages of ovseg_ros are not built, or their workspace is not sourced: "
            "run `make`, or `colcon build` and `source install/setup.bash`"
        )
    if name == "ovseg_ros":
        return str(error)
    if _ROS.fullmatch(name):
        return (
            f"the ROS 2 package {name} is missing for {sys.executable}: source ROS 2 first "
            f"(`source /opt/ros/$ROS_DISTRO/setup.bash`), or install it with "
            f"`apt install ros-$ROS_DISTRO-{name.replace('_', '-')}`"
        )
    package = _DISTRIBUTIONS.get(name, name)
    purpose = f", which {TOOLS[name]} cannot do without," if name in TOOLS else ""
    return (
        f"the Python package {package}{purpose} is missing for {sys.executable}: "
        f"`{sys.executable} -m pip install {package}` (docs/install.md says into what environment)"
    )
