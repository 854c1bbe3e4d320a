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
ROS = [PACKAGE / "nodes", PACKAGE / "demo" / "run.py", PACKAGE / "demo" / "operator.py"]
CORE = [path for path in SOURCES if not {path, *path.parents} & {*ROS}]

ROS_MODULES = re.compile(
    r"^(rclpy|cv_bridge|launch|launch_ros|message_filters|tf2_ros|ament_index_python"
    r"|builtin_interfaces|sensor_msgs_py|\w+_msgs|\w+_srvs|ovseg_ros\.(msg|srv))(\.|$)"
)

# Dependencies point one way: a module imports modules of its own layer and of those below.
LAYERS = (
    r"types|config|characters|programs|garbage|interrupts|supervisor|folders|whole_files",
    r"codecs|language|models|vocabulary|photographs|drawing|tracking",
    r"discovery\.(?!.*\b(table|bench|\w*recipe)$)|discovery$"
    r"|segmenters\.(?!.*\.(table|bench|\w*recipe|losses|step|landscape|tuning|samples|oracle|validation)$)|segmenters$",
    r"pipeline|presets|layouts",
    r"robot_cell",
    r"evaluation",
    r"training|bench|discovery|segmenters",
    r"nodes|doctor|view",
    r"demo",
    r"commands|cli",
)
APART = ({"discovery", "segmenters"},)
"""Of one layer, and still neither knows the other (but in tables, benches and recipes)."""


def layer(module: str) -> int:
    """The layer of `ovseg_ros.<module>`."""
    name = module.removeprefix("ovseg_ros.")
    for number, pattern in enumerate(LAYERS):
        if re.match(rf"(?:{pattern})(?:\.|$|(?<=\.))", name):
            return number
    raise AssertionError(f"{module} is in no layer: give it one in LAYERS")


def dotted(path: Path) -> str:
    """The module of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


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


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_dependencies_point_one_way(path: Path):
    module = dotted(path)
    if module == "ovseg_ros":
        return
    mine, room = layer(module), module.split(".")[1]
    modules = {dotted(source) for source in SOURCES} - {"ovseg_ros"}
    for name in sorted(imported_modules(path) & modules):
        assert layer(name) <= mine, f"{module} imports {name}, which is above it"
        other = name.split(".")[1]
        if layer(name) == mine == 2:
            assert {room, other} not in APART, f"{module} imports {name}"


def test_the_rules_above_would_notice():
    assert ROS_MODULES.match("sensor_msgs.msg")
    assert ROS_MODULES.match("ovseg_ros.srv")
    assert not ROS_MODULES.match("launcher")
    assert "ovseg_ros.types" in imported_modules(PACKAGE / "pipeline.py")
    assert layer("ovseg_ros.segmenters.simzss.segmenter") == 2
    assert layer("ovseg_ros.segmenters.simzss.pairs_recipe") == 6
    assert layer("ovseg_ros.discovery") == layer("ovseg_ros.discovery.bboost") == 2
    assert layer("ovseg_ros.discovery.table") == 6


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
    files = [*(path for path in SOURCES if path not in CORE), *(ROOT / "launch").glob("*.py")]
    names = {name.partition(".")[0] for path in files for name in imported_modules(path)}
    used = {name for name in names if ROS_MODULES.match(name) or name == "rcl_interfaces"}
    assert used - {"ovseg_ros"} <= named
    python = {name for name in named if name.startswith("python3-")}
    assert named - python - {"rosidl_default_runtime"} <= used


ROSDEP = {
    "imageio": "python3-imageio",
    "jinja2": "python3-jinja2",
    "matplotlib": "python3-matplotlib",
    "numpy": "python3-numpy",
    "opencv-python-headless": "python3-opencv",
    "pillow": "python3-pil",
    "pyyaml": "python3-yaml",
    "rich": "python3-rich",
    "rosbags": "python3-rosbags-pip",
    "scipy": "python3-scipy",
    "simplejpeg": "python3-simplejpeg-pip",
    "timm": "python3-timm-pip",
    "torch": "python3-torch",
    "torchvision": "python3-torchvision",
    "tqdm": "python3-tqdm",
    "transformers": "python3-transformers-pip",
    "typer": "python3-typer",
}
NO_ROSDEP_KEY = {"HanTa", "open_clip_torch", "pydensecrf2", "safetensors", "segment-anything"}


def test_rosdep_names_every_python_library_it_has_a_key_for():
    text = (ROOT / "pyproject.toml").read_text()
    listed = text.partition("dependencies = [")[2].partition("\n]")[0]
    names = re.findall(r'^    "(.+?)"', listed, re.M)
    for extra in ("tools", "sam"):
        names += re.findall(r'"(.+?)"', re.search(rf"^{extra} = \[(.+)\]$", text, re.M)[1])
    needed = {re.match(r"[\w-]+", name)[0] for name in names}
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    named = {tag.text for tag in root if tag.tag == "exec_depend"}
    assert needed - NO_ROSDEP_KEY <= ROSDEP.keys()
    assert {ROSDEP[name] for name in needed & ROSDEP.keys()} <= named
    comment = (ROOT / "package.xml").read_text()
    assert all(name in comment for name in NO_ROSDEP_KEY)


def test_versions_agree():
    package_xml = ElementTree.parse(ROOT / "package.xml").findtext("version")
    pyproject = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert pyproject is not None
    assert package_xml == pyproject[1]


def test_every_interface_is_built():
    cmake = (ROOT / "CMakeLists.txt").read_text()
    for path in [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]:
        assert f"{path.parent.name}/{path.name}" in cmake


def test_colcon_test_runs_the_suite():
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"if\(BUILD_TESTING\).*ament_add_pytest_test\(\w+ test ", cmake, re.S)
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    tests = {tag.text for tag in root if tag.tag == "test_depend"}
    assert {"ament_cmake_pytest", "python3-pytest", "python3-pytest-timeout"} <= tests


def test_programs_may_spawn_processes(tmp_path: Path):
    text = (ROOT / "scripts" / "program.in").read_text()
    program = tmp_path / "ovseg"
    program.write_text(text.replace("@module@", "ovseg_ros.cli"))
    found = runpy.run_path(str(program), run_name="__mp_main__")  # what a spawned process does
    assert callable(found["run"])
    with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ovseg", "--help"])
        runpy.run_path(str(program), run_name="__main__")


def test_images_are_built_from_what_is_tracked():
    """A copied .venv with its stamps would be taken for the image's own."""
    kept_out = (ROOT / ".dockerignore").read_text().splitlines()
    assert ".git" in kept_out
    for pattern in (ROOT / ".gitignore").read_text().split():
        assert f"**/{pattern.rstrip('/')}" in kept_out
