"""How programs start where something is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from ovseg_ros.programs import TOOLS, explain, need

ROOT = Path(__file__).parents[2]


def started_without(missing, module):
    """Run a program as its script does, in a process that cannot import `missing`."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"from ovseg_ros.programs import run\nraise SystemExit(run({module!r}))"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("missing", "module", "package"),
    [
        ("typer", "ovseg_ros.cli", "typer"),
        ("jinja2", "ovseg_ros.demo.report", "jinja2, which reports cannot do without,"),
        ("yaml", "ovseg_ros.cli", "pyyaml"),
        ("numpy", "ovseg_ros.nodes.segmentation_node", "numpy"),
        ("rclpy", "ovseg_ros.nodes.segmentation_node", "rclpy"),
        ("std_srvs", "ovseg_ros.nodes.ovseg_node", "std_srvs"),
    ],
)
def test_the_last_line_names_the_missing_package(missing, module, package):
    ended = started_without(missing, module)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the ")
    assert f" package {package} is missing for {sys.executable}" in last
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("no", name="open_clip.model"), "pip install open_clip_torch`"),
        (ModuleNotFoundError("no", name="cv2"), "pip install opencv-python-headless`"),
        (ModuleNotFoundError("no", name="vision_msgs.msg"), "ros-$ROS_DISTRO-vision-msgs`"),
        (ModuleNotFoundError("no", name="ovseg_ros.msg"), "messages of ovseg_ros are not built"),
        (ModuleNotFoundError("No module named 'ovseg_ros.x'", name="ovseg_ros.x"), "No module"),
        (ValueError("device: wrong"), "device: wrong"),
        (OSError(), "OSError"),
    ],
)
def test_explanations(error, says):
    assert says in explain(error)


def test_what_is_needed_at_the_end_is_missed_at_the_start(monkeypatch):
    need("json", "os.path")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError) as missed:
        need("matplotlib")
    assert "matplotlib, which charts cannot do without, is missing" in explain(missed.value)


def test_a_robot_starts_without_the_tools():
    """No segmenter and no discovery imports the extras; but open_clip itself wants tqdm."""
    absent = sorted(TOOLS.keys() - {"tqdm"})
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
        "from ovseg_ros.presets import load_preset\n"
        "import ovseg_ros.pipeline, ovseg_ros.segmenters.simzss.segmenter\n"
        "import ovseg_ros.segmenters.xdecoder.segmenter, ovseg_ros.segmenters.tipsv2.segmenter\n"
        "import ovseg_ros.segmenters.pnp_ovss.segmenter, ovseg_ros.segmenters.fisa.segmenter\n"
        "import ovseg_ros.segmenters.lmseg.segmenter, ovseg_ros.discovery.bboost\n"
        "import ovseg_ros.discovery.captioner, ovseg_ros.discovery.tags, ovseg_ros.discovery.vlm\n"
        "load_preset('robot_cell')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=170
    )
    assert ended.returncode == 0, ended.stderr
