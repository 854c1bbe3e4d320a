"""`ovseg doctor`: what is wrong with this machine, and the command that mends it; needs no ROS."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ovseg_ros.config import weights_of
from ovseg_ros.models.weights import resolve_file, resolve_folder, resolve_weights, split_file
from ovseg_ros.presets import pipeline_options
from ovseg_ros.programs import TOOLS, explain

OK, WARN, ERROR = "ok", "warning", "error"

_SHM = Path("/dev/shm")
_SHM_MIB = 64
"""Two 1080p pictures in flight for each of four readers."""

_RMEM_KIB = 2048


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ok, warning or error.
        what: What was found.
        remedy: The command that mends it; empty where nothing is wrong.
    """

    level: str
    what: str
    remedy: str = ""


def examine(preset: str) -> Iterator[Finding]:
    """Look at everything that needs no ROS, and yield what was found."""
    yield from python_environment()
    yield from processors()
    yield from weights(preset)
    yield from shared_memory()
    yield from middleware()


def python_environment(required: Iterable[str] | None = None) -> Iterator[Finding]:
    """Look for Python packages that are missing.

    Args:
        required: Requirements as in pyproject.toml; by default those of this package.
    """
    inside = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    where = f"{sys.executable}, Python {sys.version.split()[0]}"
    yield Finding(OK, f"{where}, {'a virtual' if inside else 'the system'} environment")
    if required is None:
        try:
            required = importlib.metadata.requires("ovseg_ros") or ()
        except importlib.metadata.PackageNotFoundError:
            required = _MODULES  # built by colcon: no metadata of pip's
    missing = []
    for requirement in required:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[\s;\[<>=!~]", requirement, maxsplit=1)[0]
        module = _MODULES.get(name, name)
        if importlib.util.find_spec(module) is None:
            missing.append(name)
    if missing:
        yield Finding(
            ERROR,
            f"Python packages are missing: {', '.join(missing)}",
            f"{sys.executable} -m pip install {' '.join(missing)}",
        )
    else:
        yield Finding(OK, "every Python package is there")
    absent = [name for name in TOOLS if importlib.util.find_spec(name) is None]
    if absent:
        uses = ", ".join(f"{name} ({TOOLS[name]})" for name in absent)
        yield Finding(OK, f"not installed, and not needed on a robot: {uses}")


_MODULES = {
    "HanTa": "HanTa",
    "numpy": "numpy",
    "open_clip_torch": "open_clip",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pydensecrf2": "pydensecrf",
    "pyyaml": "yaml",
    "rich": "rich",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "simplejpeg": "simplejpeg",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
    "transformers": "transformers",
    "typer": "typer",
}
"""What is needed, and the module of each."""


def processors() -> Iterator[Finding]:
    """Look for a GPU, and for a torch that can use it."""
    try:
        import torch
    except ImportError as error:
        yield Finding(ERROR, explain(error), f"{sys.executable} -m pip install torch torchvision")
        return
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())}
        yield Finding(OK, f"torch {torch.__version__} sees {', '.join(sorted(names))}")
    elif shutil.which("nvidia-smi") or Path("/dev/nvhost-gpu").exists():
        yield Finding(
            ERROR,
            f"there is an NVIDIA GPU, but torch {torch.__version__} cannot use it"
            + (" (a build without CUDA)" if torch.version.cuda is None else ""),
            f"nvidia-smi; {sys.executable} -m pip install --force-reinstall torch torchvision",
        )
    else:
        yield Finding(
            OK, f"no GPU; torch {torch.__version__} on {len(os.sched_getaffinity(0))} cores"
        )


def weights(preset: str) -> Iterator[Finding]:
    """Look for the weights of a preset, without the network."""
    try:
        config = pipeline_options(preset, [])
    except ValueError as error:
        yield Finding(ERROR, str(error), "ovseg presets")
        return
    for option, name in weights_of(config):
        try:
            found = resolve_weights(name)
        except (ValueError, OSError) as error:
            yield Finding(ERROR, f"{option}: {error}", f"ovseg pull {preset}")
            continue
        if Path(found).exists() or _cached(found):
            yield Finding(OK, f"{option}: {name} is here")
        else:
            yield Finding(ERROR, f"{option}: {name} is not on this machine", f"ovseg pull {preset}")


def _cached(name: str) -> bool:
    try:
        (resolve_file if split_file(name) else resolve_folder)(name)
    except FileNotFoundError:
        return False
    return True


def shared_memory(folder: Path = _SHM) -> Iterator[Finding]:
    """Look at the memory through which Fast DDS hands pictures over on one machine."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        yield Finding(WARN, f"{folder} is not there: pictures go through the network stack")
        return
    free = usage.free >> 20
    if free < _SHM_MIB:
        yield Finding(
            WARN,
            f"{folder} has {free} MiB left; large pictures are lost",
            "fastdds shm clean; in a container: docker run --ipc=host (or --shm-size=1g)",
        )
    else:
        yield Finding(OK, f"{folder} has {free} MiB for pictures")


def ros_refuses() -> str:
    """Return why rclpy does not start here, empty if it does or is not installed.

    It is tried in a process of its own: with an RMW_IMPLEMENTATION that is not installed rcl ends
    the process that loads it, whatever that may have to say.
    """
    if importlib.util.find_spec("rclpy") is None:
        return ""
    code = "import rclpy; rclpy.init(); rclpy.create_node('ovseg_doctor')"
    trial = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = [line for line in trial.stdout.splitlines() if line.strip()]
    return (lines or [f"exit code {trial.returncode}"])[-1] if trial.returncode else ""


def middleware() -> Iterator[Finding]:
    """Look at what decides how messages travel."""
    rmw = os.environ.get("RMW_IMPLEMENTATION", "")
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    yield Finding(OK, f"middleware {rmw or 'rmw_fastrtps_cpp (default)'}, ROS_DOMAIN_ID {domain}")
    profiles = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    for name in profiles:
        file = os.environ.get(name)
        if file and not Path(file).is_file():
            yield Finding(ERROR, f"{name} names {file}, which is not there", f"unset {name}")
        elif file:
            yield Finding(OK, f"{name} is {file}")
    if not domain.isdecimal() or int(domain) > 232:
        yield Finding(
            ERROR, f"ROS_DOMAIN_ID: expected 0..232, got {domain!r}", "unset ROS_DOMAIN_ID"
        )
    if os.environ.get("ROS_LOCALHOST_ONLY") == "1":
        yield Finding(
            WARN,
            "ROS_LOCALHOST_ONLY=1: nothing on other machines is heard (deprecated since Iron)",
            "unset ROS_LOCALHOST_ONLY",
        )
    buffer = Path("/proc/sys/net/core/rmem_max")  # not shown in a container's own network
    if rmw.startswith("rmw_cyclonedds") and buffer.is_file():
        kib = int(buffer.read_text()) >> 10
        if kib < _RMEM_KIB:
            yield Finding(
                WARN,
                f"the kernel's receive buffer is {kib} KiB: CycloneDDS loses large pictures",
                "sudo sysctl -w net.core.rmem_max=2147483647",
            )
