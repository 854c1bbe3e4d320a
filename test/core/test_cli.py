"""The command line: what it prints, writes and refuses; models are replaced by toys."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovseg_ros import cli
from ovseg_ros.commands import presets, train
from ovseg_ros.commands.options import image_size
from ovseg_ros.config import Config, option, override, parse
from ovseg_ros.pipeline import Pipeline, PipelineConfig
from ovseg_ros.training.recipes import load_recipe, recipes
from ovseg_ros.types import Discovery, Proposal, Segmentation
from ovseg_ros.vocabulary.living import LivingVocabulary


class ToySegmenter:
    """Gives the upper half to the first name and the lower half to the last."""

    cadence = "frame"
    name = "toy"
    device = "cpu"
    dtype = "float32"

    def segment(self, images, vocabulary):
        labels = np.zeros(images.shape[:3], np.uint8)
        if len(vocabulary):
            middle = images.shape[1] // 2
            labels[:, :middle], labels[:, middle:] = 1, len(vocabulary)
        return Segmentation(
            labels=labels, confidence=np.full_like(labels, 51), vocabulary=vocabulary
        )


class ToyDiscoverer:
    name = "toy"
    device = "cpu"

    def discover(self, image, *, seed=0):
        mug = Proposal(name="mug", score=1.0, synonyms=("cup",))
        clusters = np.zeros((2, 2), np.int64)
        return Discovery(
            proposals=(mug, Proposal(name="sky", score=0.2)),
            captions=("a mug",),
            clusters=clusters,
            cluster_names=("mug",),
        )


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """Put toys where models would be loaded; return the configurations they were built from."""
    built = []

    def build_pipeline(config):
        built.append(config)
        return Pipeline(ToySegmenter(), ToyDiscoverer(), LivingVocabulary())

    monkeypatch.setattr("ovseg_ros.pipeline.build_pipeline", build_pipeline)
    monkeypatch.setattr(
        "ovseg_ros.discovery.build.build_discoverer", lambda *_, **__: ToyDiscoverer()
    )
    monkeypatch.setattr("ovseg_ros.presets.load_preset", lambda name: PipelineConfig())
    return built


@pytest.fixture
def ovseg(capsys):
    """Run the command line; return exit code, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in words])
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def photographs(tmp_path):
    """Real people's images: every mode, a tiny one, a turned one, and one cut off."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 4), dtype=np.uint8)
    Image.fromarray(noise[..., :3]).save(folder / "color.jpg")
    Image.fromarray(noise[..., 0]).save(folder / "gray.png")
    Image.fromarray(noise).save(folder / "alpha.png")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(noise[:1, :1, :3]).save(folder / "tiny.png")
    Image.fromarray(noise[..., :3]).convert("P").save(folder / "palette.gif")
    Image.fromarray(noise[..., :3]).convert("CMYK").save(folder / "print.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(noise[..., :3]).save(folder / "turned.jpg", exif=exif)
    whole = (folder / "color.jpg").read_bytes()
    (folder / "corrupt.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no image")
    return folder


def read(path):
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_help_is_fast_and_imports_no_torch():
    code = (
        "import sys, ovseg_ros.cli as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'cv2', 'numpy', 'transformers', 'rclpy', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in (
        "demo",
        "up",
        "segment",
        "discover",
        "eval",
        "render",
        "train",
        "bench",
        "pull",
    ):
        assert f"\n  {command} " in done.stdout
    assert time.perf_counter() - start < 10  # a second; more only where the machine is busy


def test_segment_discovers_and_writes_three_files(ovseg, photographs, tmp_path):
    code, out, _ = ovseg("segment", photographs / "color.jpg", "--out", tmp_path / "out")
    assert code == 0
    assert "color.jpg: mug 50%, sky 50%" in out
    labels = read(tmp_path / "out" / "color.labels.png")
    assert (labels[:24] == 1).all()
    assert (labels[24:] == 2).all()
    data = json.loads((tmp_path / "out" / "color.json").read_text())
    assert (data["width"], data["height"]) == (64, 48)
    assert data["captions"] == ["a mug"]
    assert data["categories"][1] == {
        "id": 2,
        "name": "sky",
        "score": 0.2,
        "pixels": 1536,
        "share": 0.5,
        "confidence": 0.2,
    }
    assert read(tmp_path / "out" / "color.overlay.png").shape[1] > 64


def test_given_names_need_no_discovery(ovseg, photographs, tmp_path, toys):
    code, out, _ = ovseg(
        "segment", photographs / "gray.png", "--names", "Red Mug, duck", "--out", tmp_path
    )
    assert code == 0
    assert "red mug 50%, duck 50%" in out
    assert toys[0].discovery.name == "none"


def test_a_folder_of_all_kinds_of_images_goes_through(ovseg, photographs, tmp_path):
    """Corrupt ones are named, the others done, and the exit code says that some failed."""
    code, out, err = ovseg("segment", photographs, "--out", tmp_path / "out")
    assert code == 1
    assert "corrupt.jpg: not an image, or a damaged one" in err
    assert "text.png: not an image, or a damaged one" in err
    assert "2 of 10 images failed" in err
    assert "Traceback" not in err
    done = {path.name.split(".")[0] for path in (tmp_path / "out").glob("*.labels.png")}
    assert done == {"color", "gray", "alpha", "deep", "tiny", "palette", "print", "turned"}
    assert read(tmp_path / "out" / "turned.labels.png").shape == (64, 48)
    assert read(tmp_path / "out" / "tiny.labels.png").shape == (1, 1)
    assert len(out.splitlines()) == 8


def test_large_images_are_segmented_small_and_masks_keep_their_size(ovseg, photographs, tmp_path):
    ovseg("segment", photographs / "color.jpg", "--max-side", "16", "--out", tmp_path)
    labels = read(tmp_path / "color.labels.png")
    assert labels.shape == (48, 64)
    assert set(np.unique(labels)) == {1, 2}


def test_images_of_one_name_do_not_overwrite_each_other(ovseg, photographs, tmp_path):
    other = photographs / "other"
    other.mkdir()
    Image.new("RGB", (5, 5)).save(other / "color.png")
    files = [photographs / "color.jpg", other / "color.png"]
    assert ovseg("segment", *files, "--out", tmp_path)[0] == 0
    assert json.loads((tmp_path / "color.json").read_text())["width"] == 64
    assert json.loads((tmp_path / "color_2.json").read_text())["width"] == 5


def test_a_run_that_was_interrupted_goes_on(ovseg, photographs, tmp_path):
    """Ctrl-C in the middle of a picture: nothing half is left, and the rest is done later."""
    files = [photographs / name for name in ("color.jpg", "gray.png", "deep.png")]
    save, calls = Image.Image.save, []

    def interrupted(self, path, **options):
        calls.append(path)
        if len(calls) == 4:
            Path(path).write_bytes(b"half")
            raise KeyboardInterrupt
        save(self, path, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "save", interrupted)
        assert ovseg("segment", *files, "--out", tmp_path)[0] == 130
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        *(f"color{suffix}" for suffix in (".json", ".labels.png", ".overlay.png")),
        "gray.overlay.png",
    }
    stamp = (tmp_path / "color.labels.png").stat().st_mtime_ns
    code, out, _ = ovseg("segment", *files, "--out", tmp_path)
    assert (code, out.count("(made before)")) == (0, 1)
    assert (tmp_path / "color.labels.png").stat().st_mtime_ns == stamp
    assert json.loads((tmp_path / "deep.json").read_text())["categories"]
    for changed in (["--seed", "1"], ["--names", "duck"], ["--max-side", "32"], ["--again"]):
        code, out, _ = ovseg("segment", *files, "--out", tmp_path, *changed)
        assert (code, out.count("(made before)")) == (0, 0), changed


def test_what_was_damaged_or_changed_is_made_anew(ovseg, photographs, tmp_path):
    words = ("segment", photographs / "color.jpg", "--out", tmp_path)
    ovseg(*words)
    whole = (tmp_path / "color.labels.png").read_bytes()
    for name, content in {
        "color.labels.png": whole[:-9],
        "color.overlay.png": b"",
        "color.json": b"{",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert "(made before)" not in ovseg(*words)[1], name
        assert "(made before)" in ovseg(*words)[1]
    assert (tmp_path / "color.labels.png").read_bytes() == whole
    Image.new("RGB", (9, 9)).save(photographs / "color.jpg")
    assert "(made before)" not in ovseg(*words)[1]


def test_results_inside_the_folder_of_photographs_are_no_photographs(ovseg, tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    Image.new("RGB", (9, 9)).save(photographs / "a.png")
    for out in (photographs / "out", photographs, tmp_path / "elsewhere"):
        for _ in range(2):
            code, printed, _ = ovseg("segment", photographs, "--out", out)
            assert (code, len(printed.splitlines())) == (0, 1)
    mine = photographs / "out" / "a.overlay.png"  # unless it is meant
    assert ovseg("segment", mine, "--out", tmp_path / "third")[0] == 0
    assert (tmp_path / "third" / "a.overlay.json").is_file()
    code, _, err = ovseg("segment", photographs / "out", "--out", tmp_path / "fourth")
    assert code == 2
    assert "found only results of earlier runs" in err


def test_one_file_given_twice_loses_nothing(ovseg, photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(photographs)
    code, out, _ = ovseg("segment", "color.jpg", photographs / "color.jpg", "--out", tmp_path)
    assert (code, len(out.splitlines())) == (0, 1)
    assert (tmp_path / "color.json").is_file()
    assert not (tmp_path / "color_2.json").exists()


def test_another_photograph_of_that_name_overwrites_nothing(ovseg, photographs, tmp_path):
    """Not even in another run; and every run finds its own results again."""
    other = photographs / "other"
    other.mkdir()
    Image.new("RGB", (5, 5)).save(other / "color.png")
    for _ in range(2):
        for path in (photographs / "color.jpg", other / "color.png"):
            assert ovseg("segment", path, "--out", tmp_path)[0] == 0
    assert json.loads((tmp_path / "color.json").read_text())["width"] == 64
    assert json.loads((tmp_path / "color_2.json").read_text())["width"] == 5
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_photograph_whose_name_is_no_text(ovseg, tmp_path):
    """As archives of old systems hold them: the name is shown with its bytes escaped."""
    for name in (b"caf\xe9.png", b"good.png"):
        Image.new("RGB", (64, 48)).save(tmp_path / os.fsdecode(name))
    (tmp_path / os.fsdecode(b"d\xe9ja.png")).write_bytes(b"no image")
    code, out, err = ovseg("segment", tmp_path, "-o", tmp_path / "out")
    assert code == 1
    assert "caf\\udce9.png: " in out
    assert "good.png: " in out
    assert "d\\udce9ja.png: not an image" in err
    assert (tmp_path / "out" / os.fsdecode(b"caf\xe9.labels.png")).is_file()


def test_discover_prints_names_and_json(ovseg, photographs):
    code, out, _ = ovseg("discover", photographs / "gray.png", "--captions")
    assert code == 0
    assert "1.00  mug, cup" in out
    assert "'a mug'" in out
    code, out, _ = ovseg("discover", photographs / "gray.png", "--json")
    assert json.loads(out)["names"][0] == {"name": "mug", "score": 1.0, "synonyms": ["cup"]}


@pytest.fixture
def folder(tmp_path):
    """A data set of two images whose upper half is a mug and whose lower half is sky."""
    root = tmp_path / "data"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(root / "images" / f"{name}.png")
        mask = np.repeat(np.array([[1], [2]], np.uint8), [8], axis=1).repeat(4, axis=0)
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    (root / "classes.txt").write_text("mug\nsky\n")
    return root


@pytest.mark.parametrize("vocabulary", ["gt", "auto"])
def test_eval_prints_and_writes_its_numbers(ovseg, folder, tmp_path, vocabulary, toys):
    file, page = tmp_path / "out" / "x.json", tmp_path / "out" / "x.html"
    code, out, _ = ovseg(
        "eval", "--dataset", folder, "--vocabulary", vocabulary, "--json", file, "--html", page
    )
    assert code == 0
    assert "mIoU                  1.0000  (detectron2)" in out
    data = json.loads(file.read_text())
    keys = {"miou", "c_miou", "per_category", "vocabulary_precision", "vocabulary_recall"}
    assert keys | {"protocol", "images"} <= set(data)
    assert data["images"] == 2
    assert data["per_category"] == {"mug": 1.0, "sky": 1.0}
    assert data["vocabulary_recall"] == (1.0 if vocabulary == "auto" else None)
    assert page.read_text().startswith("<!doctype html>")
    assert (toys[0].discovery.name == "none") == (vocabulary == "gt")


def test_eval_of_clusters(ovseg, folder, tmp_path):
    words = ["--vocabulary", "auto", "--segmentation", "clusters", "--json", tmp_path / "x.json"]
    assert ovseg("eval", "--dataset", folder, *words)[0] == 0
    data = json.loads((tmp_path / "x.json").read_text())
    assert data["per_category"] == {"mug": 0.5, "sky": 0.0}
    assert data["c_miou"] == 0.5


@pytest.mark.parametrize(
    ("words", "dtype"),
    [
        ([], "float32"),
        (["--set", "dtype=bfloat16"], "bfloat16"),
        (["--set", "dtype=auto"], None),
    ],
)
def test_eval_is_in_float32_unless_asked_and_says_so(ovseg, folder, words, dtype):
    import torch

    from ovseg_ros.models.device import resolve_dtype

    fastest = str(resolve_dtype("auto", torch.device("cpu"))).removeprefix("torch.")
    code, out, err = ovseg("eval", "--dataset", folder, "--device", "cpu", *words)
    assert code == 0, err
    assert f" on cpu in {dtype or fastest}, seed 0" in out


def test_eval_names_what_it_leaves_out(ovseg, folder, tmp_path):
    (folder / "masks" / "b.png").write_text("no image")
    words = ["--dataset", folder, "--json", tmp_path / "x.json", "--html", tmp_path / "x.html"]
    code, out, _ = ovseg("eval", *words)
    assert code == 1
    assert "masks/b.png: not an image, or a damaged one" in out.splitlines()[-1]
    assert json.loads((tmp_path / "x.json").read_text())["images"] == 1
    assert "masks/b.png" in (tmp_path / "x.html").read_text()
    code, _, err = ovseg("eval", *words, "--strict")
    assert code == 2
    assert "masks/b.png: not an image, or a damaged one" in err


def test_eval_takes_every_option_of_the_protocol(ovseg, folder, tmp_path):
    words = ["--protocol", "boundary_px=1", "--protocol", "asked_share=0.6", "--vocabulary", "auto"]
    words += ["--temporal", "--discover-every", "1", "--json", tmp_path / "x.json"]
    code, out, _ = ovseg("eval", "--dataset", folder, *words)
    assert code == 0
    assert "mIoU off the borders  1.0000" in out
    assert "vocabulary jaccard    1.0000" in out
    data = json.loads((tmp_path / "x.json").read_text())
    assert data["protocol"]["asked_share"] == 0.6
    assert data["vocabulary_recall"] is None  # nothing covers 60 % of an image
    assert data["temporal"]["label_churn"] == 0


def test_eval_can_be_stopped_and_says_how_to_go_on(ovseg, folder, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ToySegmenter, "segment", stop)
    code, _, err = ovseg("eval", "--dataset", folder, "--resume", tmp_path / "r")
    assert code == 130
    assert f"--resume {tmp_path / 'r'}" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["segment", "nowhere.jpg"], "nowhere.jpg: no such file or folder"),
        (["segment", "a.mcap", "b.jpg"], "images: expected one bag and nothing else, got 2 paths"),
        (["segment", "{images}", "--topic", "/x"], "--topic: expected a ROS bag"),
        (["layout", "paper"], "layout: expected rviz or foxglove, got 'paper'"),
        (["segment", "{images}", "--names", " , "], "--names: expected words with commas"),
        (["segment", "{images}", "--names", ""], "--names: expected words with commas"),
        (
            ["segment", "{images}", "--names", "a,b, A"],
            "--names: names: expected no repeats, got 'a'",
        ),
        (["segment", "a.mcap", "--names", "a,a"], "--names: names: expected no repeats, got 'a'"),
        (["segment", "{images}", "--names", "x" * 65], "--names: name: expected at most 64"),
        (["segment", "{images}", "--set", "discovery.name=none"], "this preset discovers none"),
        (["segment", "{images}", "--set", "segmenter.title=x"], "segmenter.title: no such option"),
        (["segment", "{images}", "--set", "device"], "--set: expected KEY=VALUE, got 'device'"),
        (["eval", "--vocabulary", "all"], "vocabulary: expected one of 'gt', 'auto', got 'all'"),
        (["eval", "--dataset", "imagenet"], "dataset: expected robot_cell, voc20, "),
        (["eval", "--segmentation", "clusters"], "clusters have discovered names"),
        (["render", "kitchen"], "dataset: expected robot_cell, got 'kitchen'"),
        (["render", "--size", "640"], "--size: expected WIDTHxHEIGHT"),
        (["train", "gpt"], "recipe: expected one of "),
        (["bench", "all", "--vocabulary-sizes", "x"], "--vocabulary-sizes: expected numbers"),
        (["bench", "all", "--vocabulary-sizes", "1,1O"], "--vocabulary-sizes: expected numbers"),
        (["eval", "--protocol", "seed=3"], "--protocol: seed has an option of its own"),
        (["bench", "training"], "name: expected one of segment, stages, discovery"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(ovseg, photographs, words, message):
    code, _, err = ovseg(*(word.format(images=photographs) for word in words))
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_debug_shows_the_error_itself():
    with pytest.raises(FileNotFoundError):
        cli.main(["segment", "nowhere.jpg", "--debug"])


def test_wrong_usage_is_refused(ovseg):
    code, _, err = ovseg("segment")
    assert code == 2
    assert "Missing argument" in err


def test_render_without_pybullet_says_what_to_install(ovseg, monkeypatch):
    monkeypatch.setitem(sys.modules, "pybullet", None)
    code, _, err = ovseg("render")
    assert code == 2
    assert "pip install pybullet" in err


def test_demo_and_up_pass_their_options_on(ovseg, monkeypatch, tmp_path):
    calls = []

    class Demo:
        @staticmethod
        def run_demo(*words, **options):
            calls.append((words, options))
            return 1

    class Up:
        @staticmethod
        def run_graph(*words, **options):
            calls.append((words, options))
            return 0

    monkeypatch.setitem(sys.modules, "ovseg_ros.demo.run", Demo)
    monkeypatch.setitem(sys.modules, "ovseg_ros.nodes.up", Up)
    assert ovseg("demo", "--out", tmp_path, "--seconds", "5")[0] == 1
    assert calls[0] == ((tmp_path,), {"seconds": 5.0, "preset": "robot_cell"})
    assert ovseg("up", "--image", "/front", "--camera", "sim", "--set", "admit:=3")[0] == 0
    assert calls[1][0] == ("robot_cell", ["admit:=3"])
    assert calls[1][1]["image"] == "/front"
    assert calls[1][1]["camera"] == "sim"


def test_without_ros_the_graph_says_what_is_missing(ovseg, monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("ovseg_ros.nodes", "ovseg_ros.demo"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rclpy", None)
    code, _, err = ovseg("demo")
    assert code == 2
    assert "this needs ROS 2 and the built package" in err


@dataclass(frozen=True, kw_only=True)
class InnerConfig(Config):
    steps: int = option(10, "steps")
    lr: float = option(1e-3, "rate")


@dataclass(frozen=True, kw_only=True)
class OuterConfig(Config):
    data: str = option("", "data")
    out: str = option("out", "out")
    sizes: tuple[int, ...] = option((1, 2), "sizes")
    names: tuple[str, ...] = option((), "names")
    fast: bool = option(False, "fast")
    loop: InnerConfig = InnerConfig()


def test_train_runs_the_recipe_with_its_options(ovseg, monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(train, "load_recipe", lambda name: (OuterConfig(), ran.append))
    code, _, _ = ovseg(
        "train", "pyramid", "--data", tmp_path, "--steps", "7", "--set", "loop.lr=1e-4"
    )
    assert code == 0
    assert ran == [OuterConfig(data=str(tmp_path), loop=InnerConfig(steps=7, lr=1e-4))]
    code, out, _ = ovseg("train", "pyramid", "--options", "--set", "fast=true")
    assert "fast = True  fast" in out
    assert len(ran) == 1


@pytest.mark.parametrize("name", list(recipes()))
def test_every_recipe_takes_the_common_options(name):
    config, run = load_recipe(name)
    assert callable(run)
    changed = override(config, ["loop.steps=3"], {"data": "d", "out": "o", "loop.batch": 2})
    assert (changed.data, changed.out, changed.loop.steps) == ("d", "o", 3)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("data=7", {"data": "7"}),
        ("sizes=3,4", {"sizes": (3, 4)}),
        ("sizes=[5]", {"sizes": (5,)}),
        ("names=red mug, duck", {"names": ("red mug", "duck")}),
        ("fast=true", {"fast": True}),
    ],
)
def test_set_reads_values_as_what_the_option_is(entry, expected):
    assert override(OuterConfig(), [entry]) == OuterConfig(**expected)


def test_set_refuses_values_of_another_type():
    with pytest.raises(ValueError, match=r"loop\.steps: expected int, got 'many'"):
        override(OuterConfig(), ["loop.steps=many"])
    assert parse("a: [", 1) == "a: ["
    assert image_size("640X480") == (640, 480)


def test_presets_are_listed(ovseg):
    code, out, _ = ovseg("presets")
    assert code == 0
    assert "robot_cell" in out
    assert "(default)" in out
    lines = out.splitlines()
    starts = {len(line) - len(line.split(maxsplit=1)[1]) for line in lines}
    assert len(starts) == 1
    assert all(line.endswith(".") for line in lines)  # the first sentence of the file, all of it


def test_pull_downloads_what_is_public_and_only_what_is_used(ovseg, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(presets, "download", lambda name: asked.append(name) or "/cache/x")
    code, out, _ = ovseg("pull", "p", "--set", f"segmenter.simzss.weights={tmp_path}")
    assert code == 0
    assert asked == ["Salesforce/blip-image-captioning-base"]
    assert f"segmenter.simzss.weights: {tmp_path} is here" in out
    asked.clear()
    words = ["--set", "discovery.name=none", "--set", "segmenter.simzss.weights=org/model"]
    assert ovseg("pull", "p", *words)[0] == 0
    assert asked == ["org/model"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vlm", ["llava-hf/llava-1.5-7b-hf"]),
        ("sam_blip", ["Salesforce/blip-image-captioning-base"]),
        ("none", []),
    ],
)
def test_pull_takes_what_the_discoverer_needs(ovseg, monkeypatch, tmp_path, name, expected):
    asked = []
    monkeypatch.setattr(presets, "download", lambda name: asked.append(name) or "/cache/x")
    words = [f"segmenter.simzss.weights={tmp_path}", f"discovery.name={name}"]
    assert ovseg("pull", "p", *(w for word in words for w in ("--set", word)))[0] == 0
    assert asked == expected


def test_pull_fetches_one_file_of_a_repository(ovseg, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda *names: asked.append(names) or "/cache/x.pt"
    )
    words = ["--set", "segmenter.name=xdecoder", "--set", "discovery.name=none"]
    words += ["--set", "segmenter.xdecoder.weights=owner/repository/x.pt"]
    code, out, _ = ovseg("pull", "p", *words)
    assert code == 0
    assert asked == [("owner/repository", "x.pt")]
    assert "owner/repository/x.pt is in /cache/x.pt" in out


def test_pull_of_a_file_without_network_is_one_line(ovseg):
    words = ["--set", "segmenter.name=xdecoder", "--set", "discovery.name=none"]
    words += ["--set", "segmenter.xdecoder.weights=owner/repository/x.pt"]
    code, _, err = ovseg("pull", "p", *words)  # tests are offline
    assert code == 2
    assert "owner/repository/x.pt: cannot be downloaded" in err


def test_pull_without_network_is_one_line(ovseg, monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise RuntimeError("no route to host\nlong story")

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", unreachable)
    code, _, err = ovseg("pull", "p", "--set", f"segmenter.simzss.weights={tmp_path}")
    assert code == 2
    assert "blip-image-captioning-base: cannot be downloaded (no route to host)" in err


def test_bench_measures_and_writes(ovseg, monkeypatch, tmp_path):
    from ovseg_ros.bench import stages as stage_bench
    from ovseg_ros.bench import timing as bench
    from ovseg_ros.discovery import bench as discovery_bench

    monkeypatch.setattr(bench, "build_segmenter", lambda *_, **__: ToySegmenter())
    monkeypatch.setattr(stage_bench, "build_segmenter", lambda *_, **__: ToySegmenter())
    monkeypatch.setattr(discovery_bench, "build_discoverer", lambda *_, **__: ToyDiscoverer())
    monkeypatch.setitem(sys.modules, "ovseg_ros.nodes.message_bench", None)  # as without ROS
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path))
    words = ["--size", "32x24", "--runs", "5", "--vocabulary-sizes", "1,200"]
    code, out, _ = ovseg("bench", "all", *words, "--json", tmp_path / "b.json")
    assert code == 0
    assert "segment, 200 names" in out
    assert "decode, message build and publish are left out" in out
    data = json.loads((tmp_path / "b.json").read_text())
    assert [row["stage"] for row in data["stages"]] == [
        "segment, 1 name",
        "segment, 200 names",
        "frame, 10 names",
        "discovery (toy)",
    ]
    for row in data["stages"]:
        assert 0 < row["median_ms"] <= row["p95_ms"]
        assert row["peak_mib"] > 1
    assert data["image_hw"] == [24, 32]
