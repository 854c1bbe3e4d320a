"""One folder and one line make a system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ovseg_ros.segmenters.prompts import template_names, templates
from ovseg_ros.segmenters.systems import SYSTEMS, load_part, load_system

PACKAGE = {
    "__init__.py": """
from ovseg_ros.segmenters.systems import Part, System

SYSTEM = System(
    config="config:DummyConfig",
    segmenter="segmenter:Dummy",
    recipes={"dummy-recipe": Part("trains nothing", "parts:train")},
    tables={"dummy": Part("shows nothing", "parts:table")},
    benches={"dummy-bench": Part("times nothing", "parts:bench", "PRESET")},
    converters={"dummy": Part("any file", "parts:convert")},
    templates={"dummy": "parts:TEMPLATES"},
)
""",
    "config.py": """
from dataclasses import dataclass

from ovseg_ros.config import Config, option
from ovseg_ros.segmenters.prompts import template_names


@dataclass(frozen=True, kw_only=True)
class DummyConfig(Config):
    weights: str = option("here", "which", kind="weights")
    templates: str = option("dummy", "prompts", choices=template_names())
""",
    "segmenter.py": """
import numpy as np

from ovseg_ros.segmenters.dense import DenseSegmenter
from ovseg_ros.types import Segmentation


class Dummy(DenseSegmenter):
    name = "dummy"

    def __init__(self, config, *, device="auto", dtype="auto"):
        super().__init__(device=device, dtype=dtype)

    def label(self, images, vocabulary):
        labels = np.full(images.shape[:3], vocabulary.ids[0], np.uint8)
        return Segmentation(labels=labels, confidence=labels, vocabulary=vocabulary)
""",
    "parts.py": """
from ovseg_ros.bench.jobs import Result
from ovseg_ros.evaluation.table import Table
from ovseg_ros.training.loop import LoopConfig
from dataclasses import dataclass

from ovseg_ros.config import Config, option

TEMPLATES = ("dummy {}",)


@dataclass(frozen=True, kw_only=True)
class Recipe(Config):
    data: str = option("", "data", kind="place")
    out: str = option("", "out", kind="place")
    loop: LoopConfig = LoopConfig()


def train(config: Recipe) -> None:
    print("trained", config.loop.steps)


def table(request):
    return Table(title="dummy table", columns=("row",), rows=[{"row": request.split}])


def bench(job):
    return Result(lines=["dummy bench " + job.config.segmenter.name], data={})


def convert(checkpoint, out, trust):
    return [f"converted {checkpoint.name}"]
""",
}

PRESET = """# A dummy.
/**:
  ros__parameters:
    segmenter: {name: dummy, dummy: {weights: there}}
    discovery: {name: none}
"""

RUN = """
import sys
from ovseg_ros.segmenters.systems import SYSTEMS
SYSTEMS["dummy"] = "dummy_system"  # the one line
from ovseg_ros.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def dummy(tmp_path: Path):
    folder = tmp_path / "dummy_system"
    folder.mkdir()
    preset = tmp_path / "dummy.yaml"
    preset.write_text(PRESET)
    for name, text in PACKAGE.items():
        (folder / name).write_text(text.replace("PRESET", str(preset)))

    def run(*words: str) -> str:
        found = subprocess.run(
            [sys.executable, "-c", RUN, *words],
            capture_output=True,
            text=True,
            env={**_environment(), "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"},
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    run.preset = str(preset)
    return run


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def test_a_folder_and_a_line_are_a_system(dummy, tmp_path: Path):
    assert "trained 7" in dummy("train", "dummy-recipe", "--steps", "7")
    assert "dummy table" in dummy("table", "dummy", "--out", str(tmp_path / "t"))
    assert "dummy bench dummy" in dummy("bench", "dummy-bench")
    assert "converted file.pt" in dummy("convert", "dummy", str(tmp_path / "file.pt"))
    assert "dummy-recipe: trains nothing" in " ".join(dummy("train", "--help").split())
    (tmp_path / "photo.png").write_bytes(_png())
    dummy("segment", str(tmp_path / "photo.png"), "--preset", dummy.preset,
          "--names", "mug", "--out", str(tmp_path / "out"))  # fmt: skip
    assert list((tmp_path / "out").glob("*.overlay.png"))


def _png() -> bytes:
    import cv2
    import numpy as np

    return cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_every_part_that_a_system_names_is_there(name: str):
    system = load_system(name)
    kinds = (system.recipes, system.tables, system.benches, system.converters)
    places = [part.place for parts in kinds for part in parts.values()]
    for place in (system.config, system.segmenter, *places):
        assert callable(load_part(name, place))
    for template in system.templates:
        assert all(text.count("{}") == 1 for text in templates(template))
    assert set(system.templates) <= set(template_names())


def test_an_unknown_system_lists_those_there_are():
    with pytest.raises(ValueError, match=r"expected one of simzss, .*, got 'nothing'"):
        load_system("nothing")


LIGHT = """
import sys
{line}
heavy = [n for n in ("torch", "timm", "transformers", "open_clip", "rclpy") if n in sys.modules]
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    "line",
    [
        "from ovseg_ros.presets import list_presets, load_preset\n"
        "[load_preset(name) for name in list_presets()]",
        "import ovseg_ros.nodes.config",
        "import ovseg_ros.cli",
        "from ovseg_ros.commands.presets import presets; presets()",
        "from ovseg_ros.nodes.session import dds_profile; dds_profile()",
    ],
)
def test_reading_options_loads_no_models_library(line: str):
    found = subprocess.run(
        [sys.executable, "-c", LIGHT.format(line=line)], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
