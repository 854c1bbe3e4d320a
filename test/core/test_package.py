"""The package as a whole: layers, metadata, nothing that belongs to one machine."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ovseg_ros"
SOURCES = sorted(PACKAGE.rglob("*.py"))
CORE = [path for path in SOURCES if PACKAGE / "nodes" not in path.parents]

ROS_MODULES = re.compile(
    r"^(rclpy|cv_bridge|launch|launch_ros|message_filters|tf2_ros|ament_index_python"
    r"|builtin_interfaces|sensor_msgs_py|\w+_msgs|\w+_srvs|ovseg_ros\.(msg|srv))(\.|$)"
)

# What a layer must not import: dependencies point one way (see DESIGN).
UPPER = ("training", "evaluation", "robot_cell", "nodes", "cli")
FORBIDDEN = {
    "types": ("text", "vocabulary", "discovery", "segmenters", "refine", "pipeline", *UPPER),
    "text": ("discovery", "segmenters", "refine", "pipeline", *UPPER),
    "vocabulary": ("discovery", "segmenters", "refine", "pipeline", *UPPER),
    "discovery": ("segmenters", "pipeline", *UPPER),
    "segmenters": ("discovery", "pipeline", *UPPER),
    "refine": ("discovery", "segmenters", "pipeline", *UPPER),
    "pipeline": UPPER,
}


def imported_modules(path: Path) -> set[str]:
    """Every module a file imports, lazily or not, with `from a import b` given as `a` and `a.b`."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).with_suffix("").parts[: -node.level or None]
            base = ".".join([*package, node.module or ""]) if node.level else node.module or ""
            base = base.rstrip(".")
            modules.add(base)
            modules.update(f"{base}.{alias.name}" for alias in node.names)
    return modules


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_nodes_know_ros(path: Path):
    assert not [name for name in imported_modules(path) if ROS_MODULES.match(name)]


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_dependencies_point_one_way(layer: str):
    files = [PACKAGE / f"{layer}.py", *(PACKAGE / layer).rglob("*.py")]
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        if path.is_file()
        for name in imported_modules(path)
        for upper in FORBIDDEN[layer]
        if name == f"ovseg_ros.{upper}" or name.startswith(f"ovseg_ros.{upper}.")
    ]
    assert not wrong


def test_the_rules_above_would_notice():
    assert ROS_MODULES.match("sensor_msgs.msg")
    assert ROS_MODULES.match("ovseg_ros.srv")
    assert not ROS_MODULES.match("launcher")
    assert "ovseg_ros.types" in imported_modules(PACKAGE / "pipeline.py")


def test_tracked_files_name_no_machine():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    # Folders of one machine and registries' hosts; the brackets keep this file from naming them.
    machine = re.compile(r"(?<![\w.])/(?:[r]oot|[w]ork|[h]ome)/\w|[p]ypi\.org|[p]ythonhosted")
    wrong = []
    for name in filter(None, listed):
        path = ROOT / name
        if not path.is_file() or path.stat().st_size > 1_000_000:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        wrong += [f"{name}: {found[0]}" for found in machine.finditer(text)]
    assert not wrong


def test_package_xml_names_the_ros_packages_that_nodes_import():
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    named = {tag.text for tag in root if tag.tag in ("depend", "exec_depend")}
    files = [*(PACKAGE / "nodes").rglob("*.py"), *(ROOT / "launch").glob("*.py")]
    names = {name.partition(".")[0] for path in files for name in imported_modules(path)}
    used = {name for name in names if ROS_MODULES.match(name) or name == "rcl_interfaces"}
    assert used - {"ovseg_ros"} <= named
    python = {name for name in named if name.startswith("python3-")}
    assert named - python - {"rosidl_default_runtime"} <= used


def test_versions_agree():
    package_xml = ElementTree.parse(ROOT / "package.xml").findtext("version")
    pyproject = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert pyproject is not None
    assert package_xml == pyproject[1]


def test_every_interface_is_built():
    cmake = (ROOT / "CMakeLists.txt").read_text()
    for path in [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]:
        assert f"{path.parent.name}/{path.name}" in cmake


def test_programs_may_spawn_processes(tmp_path: Path):
    text = (ROOT / "scripts" / "program.in").read_text()
    program = tmp_path / "ovseg"
    program.write_text(text.replace("@module@", "ovseg_ros.cli"))
    found = runpy.run_path(str(program), run_name="__mp_main__")  # what a spawned process does
    assert callable(found["main"])
    with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ovseg", "--help"])
        runpy.run_path(str(program), run_name="__main__")
