"""docs/nodes is what scripts/node_pages.py writes."""

import runpy
from pathlib import Path

import pytest

from ovseg_ros.config import describe
from ovseg_ros.nodes.config import NODES

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "node_pages.py"), run_name="pages")
WRITTEN = SCRIPT["pages"]()


def test_every_node_has_a_page():
    assert {f"{name}.md" for name in NODES} | {"preset.md"} == set(WRITTEN)
    assert {path.name for path in (ROOT / "docs" / "nodes").glob("*.md")} == set(WRITTEN)


@pytest.mark.parametrize("file", sorted(WRITTEN))
def test_the_page_is_current(file):
    page = ROOT / "docs" / "nodes" / file
    assert page.read_text() == WRITTEN[file], "run python scripts/node_pages.py"


@pytest.mark.parametrize("name", sorted(NODES))
def test_pages_have_the_same_tables_and_every_parameter(name):
    text = WRITTEN[f"{name}.md"]
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == ["## Inputs", "## Outputs", "## Parameters", "## Services"]
    everywhere = text + WRITTEN["preset.md"]
    assert all(f"`{leaf.name}`" in everywhere for leaf in describe(NODES[name]()))
