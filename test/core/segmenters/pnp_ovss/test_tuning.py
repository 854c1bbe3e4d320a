"""The search: its reward by hand, its memory, and that it never sees a mask."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ovseg_ros.cli import app
from ovseg_ros.segmenters.pnp_ovss import tuning
from ovseg_ros.segmenters.pnp_ovss.config import (
    FilterConfig,
    MaskConfig,
    PnpOvssConfig,
    SaliencyConfig,
)
from ovseg_ros.segmenters.pnp_ovss.landscape import draw_landscape
from ovseg_ros.segmenters.pnp_ovss.segmenter import PnpOvssSegmenter
from ovseg_ros.segmenters.pnp_ovss.tuning import (
    SIGMAS,
    THRESHOLDS,
    Judge,
    SearchConfig,
    Setting,
    Trial,
    best,
    draw_settings,
    read_trials,
    search,
    with_setting,
)
from ovseg_ros.types import Vocabulary


class ByColour:
    """Names are primary colours, images point where their mean colour does."""

    size, device = 8, "cpu"

    def names(self, names):
        return torch.eye(3)[: len(names)]

    def prepare(self, images):
        return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255

    def images(self, pixels):
        mean = pixels.mean((2, 3)) + 1e-6
        return mean / mean.norm(dim=-1, keepdim=True)


IMAGE = np.zeros((4, 6, 3), np.uint8)
IMAGE[:, :3, 0] = IMAGE[:, 3:, 1] = 255  # red left, green right
LEFT, RIGHT = (np.repeat(np.arange(6)[None] // 3 == side, 4, 0) for side in (0, 1))


@pytest.mark.parametrize(
    ("labels", "names", "reward"),
    [
        (1 * LEFT + 2 * RIGHT, [0, 1], 2),  # both masks show their names
        (2 * LEFT + 1 * RIGHT, [0, 1], 0),  # both show the other's: less than a black image
        (1 * LEFT + 0 * RIGHT, [0, 1], 1),  # an empty mask is a black image, no more
        (1 * LEFT + 1 * RIGHT, [2, 1], 0),  # nothing is blue
        (0 * LEFT, [0, 1], 0),
    ],
)
def test_reward_by_hand(labels, names, reward):
    for odds in ("image", "vocabulary"):
        judge = Judge(ByColour(), ["red", "green", "blue"], odds=odds)
        assert judge.reward(IMAGE, labels, names) == reward


@pytest.mark.parametrize(("odds", "over"), [("image", [0, 2]), ("vocabulary", [0, 1, 2])])
def test_odds_are_equation_5(odds, over):
    judge = Judge(ByColour(), ["red", "green", "blue"], odds=odds)
    pixels = torch.tensor([0.5, 0.49, 0.48]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    cosines = np.array([0.5, 0.49, 0.48]) / np.linalg.norm([0.5, 0.49, 0.48])
    powers = np.exp(cosines / 0.01)
    expected = powers[[0, 2]] / powers[over].sum()  # K(I) is red and blue
    found, black = judge.odds(pixels, [0, 2])
    np.testing.assert_allclose(found[0], expected, rtol=1e-3)
    np.testing.assert_allclose(black, 1 / len(over), rtol=1e-5)


def test_an_image_of_one_name_is_rewarded_by_the_vocabulary_only():
    """The softmax over one name is 1, of the masked image as of the black one."""
    rewards = {
        odds: Judge(ByColour(), ["red", "green"], odds=odds).reward(IMAGE, 1 * LEFT, [0])
        for odds in ("image", "vocabulary")
    }
    assert rewards == {"image": 0, "vocabulary": 1}


def test_settings_are_random_distinct_and_repeatable():
    every = draw_settings(2, 3, SearchConfig(trials=1000))
    assert len(set(every)) == len(every) == 2 * 3 * len(THRESHOLDS) * len(SIGMAS)
    some = draw_settings(2, 3, SearchConfig(trials=9))
    assert some == every[:9]
    assert some != draw_settings(2, 3, SearchConfig(trials=9, seed=1))
    assert {setting.layer for setting in every} == {1, 2}
    assert {setting.head for setting in every} == {1, 2, 3}


class Masks:
    """Masks that are right at one threshold only."""

    images = (IMAGE, IMAGE)
    kept = ([0, 1], [0])

    def __init__(self):
        self.asked = []

    def labels(self, setting):
        self.asked.append(setting)
        right = 1 * LEFT + 2 * RIGHT
        return [right, right] if setting.threshold == 0.25 else [0 * right, 1 * LEFT]


def test_a_search_goes_on_where_it_was(tmp_path: Path):
    judge = Judge(ByColour(), ["red", "green"], odds="vocabulary")
    log = tmp_path / "trials.jsonl"
    settings = [Setting(1, 1, t, 0.05) for t in (0.05, 0.25, 0.45)]
    masks, told = Masks(), []
    first = search(masks, judge, settings[:2], log, report=told.append)
    assert [trial.reward for trial in first] == [1 / 3, 1.0]
    assert told == first
    log.write_text(log.read_text() + '{"setting": {"layer"')  # killed while it wrote
    again = search(masks, judge, settings, log)
    assert again[:2] == first
    assert masks.asked == settings  # each once
    assert best(again) == Trial(settings[1], 1.0)
    assert read_trials(log) == again
    for damage in ("{\n", "[1]\n", "null\n", '{"setting": {"layer": 1}, "reward": 1}\n'):
        log.write_text(log.read_text().splitlines(keepends=True)[0] + damage)
        with pytest.raises(ValueError, match=r"log: .*trials\.jsonl, line 2 is damaged"):
            read_trials(log)


def test_no_name_anywhere(tmp_path: Path):
    masks = Masks()
    masks.kept = ([], [])
    with pytest.raises(ValueError, match="at least one name that an image shows"):
        search(masks, Judge(ByColour(), ["red"]), [Setting(1, 1, 0.05, 0.05)], tmp_path / "log")


def test_the_landscape_is_drawn(tmp_path: Path):
    settings = draw_settings(2, 3, SearchConfig(trials=12))
    draw_landscape([Trial(s, i / 12) for i, s in enumerate(settings)], tmp_path / "a" / "l.png")
    assert cv2.imread(str(tmp_path / "a" / "l.png")).std() > 10


@pytest.fixture
def data(tmp_path: Path, images: np.ndarray) -> Path:
    """A data set as people have them: images and, beside them, masks."""
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{index}.png")
        mask = np.full(image.shape[:2], index, np.uint8)
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{index}.png")
    (tmp_path / "data" / "classes.txt").write_text("mug\nduck\n")
    return tmp_path / "data"


def tune(data: Path, blip_folder: Path, out: Path, *more: str):
    options = {
        "weights": blip_folder, "image_size": 48, "filter.name": "none",
        "saliency.layer": 1, "saliency.head": 1, "saliency.passes": 2,
    }  # fmt: skip
    sets = [part for k, v in options.items() for part in ("--set", f"segmenter.pnp_ovss.{k}={v}")]
    arguments = ["tune", "pnp_ovss", "--images", str(data / "images"), "--names", "mug,duck,table"]
    arguments += ["--trials", "6", "--scorer", str(blip_folder), "--out", str(out), *sets, *more]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_a_search_makes_the_masks_that_the_segmenter_makes(
    blip_folder: Path, images: np.ndarray, lively_head
):
    """As released, too: its weights of the passes are those of ``as_released``."""
    names = ["mug", "duck", "table"]
    found = {}
    for as_released in (False, True):
        config = PnpOvssConfig(
            weights=str(blip_folder),
            image_size=48,
            filter=FilterConfig(name="none"),
            saliency=SaliencyConfig(layer=2, head=1, dropped=5),
            masks=MaskConfig(crf=False),
            as_released=as_released,
        )
        segmenter = PnpOvssSegmenter(config, device="cpu", dtype="float32")
        setting = Setting(2, lively_head(segmenter.matcher, names), 0.25, 0.01)
        segmenter.config = with_setting(config, setting)
        masks = tuning.Masks(segmenter, images, names, SearchConfig())
        found[as_released] = np.stack(list(masks.labels(setting)))
        theirs = segmenter.label(images, Vocabulary.of(*names)).labels
        np.testing.assert_array_equal(found[as_released], theirs)
    assert (found[False] != found[True]).any()


def test_no_mask_is_ever_read(
    data: Path, blip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every way to open an image is watched, and masks that lie leave the result as it is."""
    opened: list[str] = []

    def watched(original):
        def call(path, *args, **kwargs):
            opened.append(str(path))
            return original(path, *args, **kwargs)

        return call

    for module, name in ((builtins, "open"), (Image, "open"), (cv2, "imread"), (np, "load")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    assert tune(data, blip_folder, tmp_path / "a").exit_code == 0
    assert any("images" in Path(path).parts for path in opened)
    assert not [p for p in opened if "masks" in Path(p).parts or p.endswith("classes.txt")]
    for mask in (data / "masks").iterdir():
        mask.write_bytes(b"no image")
    assert tune(data, blip_folder, tmp_path / "b").exit_code == 0
    results = [json.loads((tmp_path / x / "best.json").read_text()) for x in "ab"]
    assert results[0] == results[1]


def test_the_command(data: Path, blip_folder: Path, tmp_path: Path):
    result = tune(data, blip_folder, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "best.json").read_text())
    assert f"best reward {found['reward']:.4f} of 6 trials, 2 images" in result.output
    for key, value in found["options"].items():
        assert f"--set {key}={value}" in result.output
    assert (tmp_path / "out" / "landscape.png").is_file()
    (log,) = (tmp_path / "out").glob("trials-*.jsonl")
    assert len(log.read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["simzss", "--names", "a,b"], "segmenter: expected pnp_ovss"),
        (["pnp_ovss", "--names", "mug"], "--names: expected at least two names"),
    ],
)
def test_mistakes(data: Path, arguments: list[str], reason: str):
    with pytest.raises(ValueError, match=reason):
        CliRunner().invoke(
            app, ["tune", "--images", str(data / "images"), *arguments], catch_exceptions=False
        )
