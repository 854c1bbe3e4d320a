"""Zero-shot classification: crops around subjects, folders of pictures, and the numbers."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from PIL import Image

from ovseg_ros import cli
from ovseg_ros.evaluation.classification import (
    Picture,
    crops,
    evaluate_classification,
    folder_pictures,
    open_folder,
)
from ovseg_ros.evaluation.datasets.base import Sample
from ovseg_ros.segmenters import build


class Scene:
    """One image of 80x120: class 1 all over, a large and a small part of class 2, a speck of 3."""

    name = "scene"
    classes = ("wall", "mug", "speck")
    synonyms = MappingProxyType({})

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        labels = np.ones((80, 120), np.uint8)
        labels[:, :3] = 0
        labels[10:34, 20:36] = 2
        labels[70:74, 100:104] = 2
        labels[60:62, 60:62] = 3
        image = np.repeat(labels[..., None] * 60, 3, 2)
        return Sample(id=str(index), image=image, labels=labels)


def test_a_square_is_cut_around_every_subject():
    found = list(crops(Scene(), side=30, limit=1))
    assert [picture.subject for picture in found] == [0, 1]  # the speck is too small
    wall, mug = found
    assert wall.image.shape == mug.image.shape == (30, 30, 3)
    assert wall.visible == {0, 1}
    assert mug.visible == {0, 1}
    # 1.25 x 24 = 30 pixels around the middle (28, 22) of the larger part: not resized.
    expected = Scene()[0].image[7:37, 13:43]
    np.testing.assert_array_equal(mug.image, expected)


def test_all_images_by_default():
    assert len(list(crops(Scene(), side=8))) == 4


class Brightest:
    """Says the class whose number the middle pixel has."""

    def classify(self, images: np.ndarray, names: list[str]) -> np.ndarray:
        answers = images[:, 4, 4, 0].astype(int)
        return np.eye(9)[answers][:, : len(names)]


def picture(answer: int, subject: int, *visible: int) -> Picture:
    image = np.full((8, 8, 3), answer, np.uint8)
    return Picture(image=image, subject=subject, visible=frozenset({subject, *visible}))


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_numbers(batch: int):
    pictures = [picture(0, 0), picture(0, 0), picture(1, 0, 1), picture(2, 1, 0)]
    found = evaluate_classification(Brightest(), iter(pictures), ("a", "b", "c"), batch=batch)
    assert found == {
        "accuracy": 0.5,
        "class_accuracy": pytest.approx((2 / 3 + 0) / 2, abs=1e-6),
        "visible_accuracy": 0.75,
        "pictures": 4,
        "per_class": {"a": pytest.approx(2 / 3, abs=1e-6), "b": 0.0, "c": None},
    }


def test_no_pictures_have_no_accuracy():
    found = evaluate_classification(Brightest(), iter(()), ("a",))
    assert (found["accuracy"], found["visible_accuracy"], found["pictures"]) == (None, None, 0)


def write_folders(root: Path) -> Path:
    for number, name in enumerate(["n01", "Red_Mug"]):
        (root / name).mkdir(parents=True)
        pixels = np.zeros((20, 40, 3), np.uint8)
        pixels[:, 10:30] = number + 1
        Image.fromarray(pixels).save(root / name / "0.png")
    (root / "n01" / "notes.txt").write_text("no picture")
    return root


def test_a_folder_of_folders(tmp_path: Path):
    root = write_folders(tmp_path)
    (root / "classes.txt").write_text("n01: Tench\n")
    classes, files = open_folder(root)
    assert classes[1] == "tench"
    assert classes[0].startswith("red")
    found = list(folder_pictures(files, side=10))
    assert [int(p.image.min()) for p in found] == [int(p.image.max()) for p in found] == [2, 1]
    assert [p.subject for p in found] == [0, 1]
    with pytest.raises(FileNotFoundError, match="one sub-folder of pictures per class"):
        open_folder(tmp_path / "n01")


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(build, "build_segmenter", lambda *args, **options: Brightest())
    root = write_folders(tmp_path / "pictures")
    arguments = ["eval-classification", "--dataset", str(root), "--side", "16", "--json"]
    with pytest.raises(SystemExit) as done:
        cli.main([*arguments, str(tmp_path / "out" / "a.json")])
    out = capsys.readouterr().out
    assert done.value.code == 0
    assert "accuracy 1.0, mean over classes 1.0" in out
    assert json.loads((tmp_path / "out" / "a.json").read_text())["pictures"] == 2
