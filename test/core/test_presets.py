"""Presets are found, read and refused with a reason."""

import pytest

from ovseg_ros.nodes.config import NODES as CONFIGS
from ovseg_ros.presets import DEFAULT, NODES, find_preset, list_presets, load_preset, node_options

GOOD = """
/**:
  ros__parameters:
    device: cpu
    segmenter.simzss.templates: photo
    vocabulary:
      mode: extend
      names: [mug]
/**/discovery_node:
  ros__parameters:
    discovery_period_s: 9.0
"""


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_is_right(name):
    assert load_preset(name).segmenter.name


def test_sections_are_those_of_the_nodes():
    assert set(NODES) == set(CONFIGS)


def test_the_default_is_there():
    assert DEFAULT in list_presets()


def test_a_preset_by_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    config = load_preset(path)
    assert config.device == "cpu"
    assert config.segmenter.simzss.templates == "photo"
    assert config.vocabulary.names == ("mug",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.replace("device", "devise"), "devise: no such option; expected one of .*device"),
        (GOOD.replace("photo", "video"), "segmenter.simzss.templates: expected one of"),
        (GOOD.replace("/**:", "/node:"), r"expected a section '/\*\*'"),
        (GOOD.replace("ros__parameters", "parameters"), "expected 'ros__parameters'"),
        (GOOD.replace("/**/discovery_node:", "/**/discovry_node:"), "did you mean '/../discovery"),
        (GOOD.replace("/**/discovery_node:", "discovery_node:"), "expected a section '/..' or"),
        ("- a\n- b\n", "expected a ROS parameter file, got list"),
        ("a: " + 5000 * "[", "expected YAML"),
        ("a: [", "expected YAML"),
    ],
)
def test_a_wrong_preset_is_refused(tmp_path, text, reason):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason) as error:
        load_preset(path)
    assert str(path) in str(error.value)


EXTENDING = """
/**:
  ros__parameters:
    extends: BASE
    segmenter: {simzss: {templates: cell}}
/**/segmentation_node:
  ros__parameters:
    keyframe_period_s: 3.0
"""


def test_a_preset_may_extend_another(tmp_path):
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text(GOOD)
    mine.write_text(EXTENDING.replace("BASE", str(base)))
    config = load_preset(mine)
    assert (config.device, config.segmenter.simzss.templates) == ("cpu", "cell")
    assert config.vocabulary.names == ("mug",)
    assert node_options(mine, "discovery_node")["discovery_period_s"] == 9.0
    options = node_options(mine, "segmentation_node")
    assert options["keyframe_period_s"] == 3.0
    assert "discovery_period_s" not in options
    assert options["segmenter"]["simzss"]["templates"] == "cell"


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ("mine.yaml", "got a circle"),
        ("nowhere", r"mine\.yaml: extends: preset: expected"),
        ("[a]", "extends: expected"),
    ],
)
def test_a_base_that_cannot_be_is_refused(tmp_path, monkeypatch, base, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(EXTENDING.replace("BASE", base))
    with pytest.raises(ValueError, match=reason):
        load_preset("mine.yaml")


def test_the_file_of_a_base_counts_from_the_folder_of_the_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "mine.yaml").write_text(EXTENDING.replace("BASE", "base.yaml"))
    (folder / "base.yaml").write_text(
        "/**:\n  ros__parameters:\n    vocabulary.names: [犬]\n", "utf-8"
    )
    (folder / "robot_cell").write_text("no preset")
    assert node_options("lab/mine.yaml", "x")["vocabulary"]["names"]
    (folder / "mine.yaml").write_text(EXTENDING.replace("BASE", "robot_cell"))
    assert load_preset("lab/mine.yaml")


def test_an_empty_preset_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("/**:\n  ros__parameters:\n")
    with pytest.raises(ValueError, match="expected options below 'ros__parameters', got None"):
        load_preset(tmp_path / "mine.yaml")


def test_presets_in_folders_are_named_with_them(tmp_path, monkeypatch):
    path = tmp_path / "share" / "ovseg_ros" / "config" / "cell" / "small.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert find_preset("cell/small") == path
    with pytest.raises(ValueError, match="cell/small"):
        find_preset("small")


def test_autoseg_is_bboost_and_the_large_xdecoder():
    config = load_preset("autoseg")
    assert (config.segmenter.name, config.discovery.name) == ("xdecoder", "bboost")
    assert config.segmenter.xdecoder.weights == "xdecoder/X-Decoder/xdecoder_focall_last.pt"
    assert config.discovery.captioner.weights == "Salesforce/blip-image-captioning-base"
    sizes = config.segmenter.xdecoder.short_side, config.segmenter.xdecoder.long_side
    assert sizes == (500, 1500)


def test_an_unknown_preset_lists_those_there_are():
    with pytest.raises(ValueError, match=r"one of .*robot_cell.* got nowhere"):
        find_preset("nowhere")


def test_presets_of_a_ros_installation(tmp_path, monkeypatch):
    folder = tmp_path / "share" / "ovseg_ros" / "config"
    folder.mkdir(parents=True)
    (folder / "installed.yaml").write_text(GOOD)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    assert find_preset("installed") == folder / "installed.yaml"
