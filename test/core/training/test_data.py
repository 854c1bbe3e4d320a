"""What --data may name: the cell, a public data set, anybody's folder; all become frames."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from ovseg_ros.evaluation.datasets import Sample, Segment, Segments
from ovseg_ros.training import frames as in_memory
from ovseg_ros.training.data import (
    DatasetSource,
    has_split,
    open_regions,
    open_source,
    read_captions,
    regions,
)
from ovseg_ros.training.frames import load_frames
from ovseg_ros.training.pairs import open_pairs


def write_folder(root: Path, *, count: int = 3, size: tuple[int, int] = (48, 64)) -> Path:
    """A lab's own data: a road, a car in two pieces, the rest void; no order of names."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    (root / "classes.txt").write_text("3: road\n7: car, auto\n9: dog\n")
    for number in range(count):
        mask = np.full(size, 255, np.uint8)
        mask[size[0] // 2 :] = 3
        mask[30:40, 4:20] = 7
        mask[32:36, 40:44] = 7
        image = np.zeros((*size, 3), np.uint8)
        image[mask == 3], image[mask == 7] = (90, 90, 90), (200, 20, 20)
        cv2.imwrite(str(root / "images" / f"f{number}.jpg"), image[..., ::-1])
        cv2.imwrite(str(root / "masks" / f"f{number}.png"), mask)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "lab")


@pytest.mark.parametrize("name", ["{cell}", "robot_cell:{cell}"])
def test_the_cell(cell: Path, name: str):
    source = open_source(name.format(cell=cell), "train")
    assert source.title == "robot cell, split train"
    assert "mug" in source.categories
    assert source.colours
    assert not source.written
    assert source[0].instances[2].category == "mug"


def test_the_cell_in_its_usual_place(cell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "robot_cell").symlink_to(cell)
    monkeypatch.setenv("OVSEG_DATA", str(tmp_path))
    assert len(open_source("robot_cell", "train")) == 4


def test_a_folder(folder: Path):
    source = open_source(folder, "train")
    assert source.categories == ("road", "car", "dog")
    assert source.synonyms["car"] == ("auto",)
    assert source.colours == ()
    example = source[0]
    assert set(np.unique(example.labels)) == {0, 1, 2}
    found = {instance.category: instance for instance in example.instances}
    assert set(found) == {"road", "car"}
    assert found["car"].bbox_xyxy == (4, 30, 20, 40)  # of the larger piece
    assert found["car"].pixels == 10 * 16 + 4 * 4
    assert (example.instance_mask == found["car"].id).sum() == found["car"].pixels
    said = " ".join(example.captions)
    assert "car" in said
    assert "dog" not in said
    assert "cars" not in said  # nobody knows how many
    assert source[0].captions == example.captions


@pytest.mark.parametrize("split", ["train", "val"])
def test_splits_of_a_folder(tmp_path: Path, split: str):
    for name, count in (("train", 2), ("val", 1)):
        write_folder(tmp_path / name, count=count)
    assert len(open_source(tmp_path, split)) == {"train": 2, "val": 1}[split]
    assert has_split(tmp_path, "val")
    assert not has_split(tmp_path / "train", "val")  # a plain folder is all train
    assert not has_split(tmp_path / "nowhere", "val")


def test_a_public_data_set(tmp_path: Path):
    for place in ("leftImg8bit", "gtFine"):
        (tmp_path / "cityscapes" / place / "train" / "ulm").mkdir(parents=True)
    stem = tmp_path / "cityscapes"
    Image.new("RGB", (8, 4)).save(stem / "leftImg8bit/train/ulm/ulm_0_0_leftImg8bit.png")
    mask = np.full((4, 8), 255, np.uint8)
    mask[2:] = 0
    Image.fromarray(mask).save(stem / "gtFine/train/ulm/ulm_0_0_gtFine_labelTrainIds.png")
    source = open_source(f"cityscapes:{tmp_path}", "train")
    assert [instance.category for instance in source[0].instances] == ["road"]


@pytest.mark.parametrize("name", ["nowhere", "voc99:/data", "cityscapes"])
def test_what_is_not_there_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OVSEG_DATA", raising=False)
    with pytest.raises((ValueError, FileNotFoundError), match=r"data: expected robot_cell|--root"):
        open_source(name, "train")


def test_instances_of_a_panoptic_data_set():
    labels = np.ones((4, 6), np.uint8)
    ids = np.repeat([[7, 7, 9, 9, 9, 0]], 4, 0).astype(np.int32)
    segments = Segments(ids=ids, of={7: Segment(1, False), 9: Segment(1, False)})
    sample = Sample(id="a", image=np.zeros((4, 6, 3), np.uint8), labels=labels, segments=segments)
    mask, found = regions(sample, labels, ["car"])
    assert [(i.id, i.category, i.pixels) for i in found] == [(1, "car", 12), (2, "car", 8)]
    assert (mask[0] == [2, 2, 1, 1, 1, 0]).all()


def test_regions_of_the_cell_are_its_instances(cell: Path):
    data, source = open_regions(f"robot_cell:{cell}", "train"), open_source(cell, "train")
    segments = data[0].segments
    assert segments is not None
    assert {data.classes[s.label - 1] for s in segments.of.values()} == {
        instance.category for instance in source[0].instances
    }


def test_regions_of_a_folder_are_one_per_class(folder: Path):
    data = open_regions(folder, "train")
    segments = data[1].segments
    assert segments is not None
    shown = {data.classes[s.label - 1]: (segments.ids == i).sum() for i, s in segments.of.items()}
    assert shown == {"road": (data[1].labels == 1).sum(), "car": 10 * 16 + 4 * 4}


def test_background_is_no_region(tmp_path: Path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("a\n")
    Image.new("RGB", (6, 4)).save(root / "JPEGImages/a.jpg")
    mask = Image.fromarray(np.repeat([[0, 0, 0, 1, 1, 255]], 4, 0).astype(np.uint8), "P")
    mask.putpalette([0] * 768)
    mask.save(root / "SegmentationClass/a.png")
    data = open_regions(f"voc21:{tmp_path}", "train")
    segments = data[0].segments
    assert segments is not None
    assert [data.classes[s.label - 1] for s in segments.of.values()] == ["aeroplane"]


def test_nobody_says_background():
    sample = Sample(
        id="a",
        image=np.zeros((4, 4, 3), np.uint8),
        labels=np.repeat([[1, 1, 2, 2]], 4, 0).astype(np.uint8),
    )

    class Data:
        name, classes, synonyms = "toy", ("background", "cat"), {"background": (), "cat": ()}
        words, background, things = classes, "background", frozenset({"cat"})

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Sample:
            return sample

    example = DatasetSource(Data(), "toy")[0]
    assert set(np.unique(example.labels)) == {0, 2}
    assert all("background" not in text for text in example.captions)


class TestCaptions:
    @pytest.mark.parametrize("place", ["captions.jsonl", "images/captions.jsonl"])
    def test_written_ones_come_first(self, folder: Path, place: str):
        lines = [
            {"image": "f1.jpg", "captions": ["A car on  the road.", "an auto"]},
            {"image": "f2.jpg", "caption": "Road"},
        ]
        (folder / place).write_text("\n".join(map(json.dumps, lines)) + "\n\n")
        source = open_source(folder, "train")
        assert source[1].captions == ("a car on the road.", "an auto")
        assert source[2].captions == ("road",)
        assert source[0].captions != ("road",)
        assert source.written == {1, 2}
        frames = load_frames(folder, "train")
        batch = frames.crop(torch.tensor([1, 0]), (48, 64), torch.Generator().manual_seed(0))
        rng = np.random.default_rng(0)
        assert frames.describe(batch, 0, rng) == ["a car on the road.", "an auto"]
        assert "auto" not in " ".join(frames.describe(batch, 1, rng))

    @pytest.mark.parametrize(
        ("line", "error"),
        [
            ("{", "line 1: expected JSON"),
            ("[1]", "line 1: expected an object"),
            ('{"image": "f0.jpg"}', "line 1: expected {"),
            ('{"image": "f0.jpg", "captions": [" "]}', "say something"),
            ('{"image": "f0.jpg", "captions": [1]}', "say something"),
            ('{"image": "nowhere.jpg", "caption": "a"}', "nowhere.jpg is not there"),
            ("", "expected captions in"),
        ],
    )
    def test_mistakes_name_file_and_line(self, folder: Path, line: str, error: str):
        (folder / "captions.jsonl").write_text(f"{line}\n")
        with pytest.raises((ValueError, FileNotFoundError), match=error):
            read_captions(folder)

    def test_pairs(self, folder: Path):
        pairs = open_pairs(str(folder))
        assert len(pairs) == 3
        assert "car" in " ".join(pairs.captions(0))
        assert pairs.picture(0).size == (64, 48)
        (folder / "captions.jsonl").write_text('{"image": "f1.jpg", "caption": "A Car"}\n')
        pairs = open_pairs(str(folder))
        assert (len(pairs), pairs.captions(0)) == (1, ("a car",))
        assert pairs.picture(0).size == (64, 48)
        for part in ("masks", "classes.txt"):  # captions are enough
            (folder / part).rename(folder.parent / part)
        assert len(open_pairs(str(folder))) == 1


class TestFrames:
    def test_a_folder_in_memory(self, folder: Path):
        frames = load_frames(folder, "train", 24)
        assert frames.size_hw == (24, 32)
        assert frames.summary() == "lab, split train, 3 frames 32x24"
        batch = frames.crop(
            torch.tensor([0]), (24, 32), torch.Generator().manual_seed(0), zoom=(1.0, 1.0)
        )
        assert set(batch.labels.unique().tolist()) == {0, 1, 2}
        assert not batch.colours.any()
        names = {instance.category for instance in frames.instances(batch, 0)}
        assert names == {"road", "car"}
        weights = frames.rarity()
        assert weights.shape == (4,)
        assert weights[2] > weights[1] > 0 == weights[3]
        sky = frames.describe_part(batch, 0, slice(0, 4), slice(0, 4), 0.1)
        assert sky == ["something"]

    def test_images_of_several_sizes(self, folder: Path):
        write_folder(folder.parent / "wide", count=1, size=(50, 100))
        for part, suffix in (("images", "jpg"), ("masks", "png")):
            source = folder.parent / "wide" / part / f"f0.{suffix}"
            source.rename(folder / part / f"g0.{suffix}")
        assert load_frames(folder, "train").size_hw == (48, 64)

    def test_hundreds_of_categories(self, folder: Path):
        names = [f"{n}: thing {n}" for n in range(300)]
        (folder / "classes.txt").write_text("\n".join(names))
        for path in (folder / "masks").iterdir():
            cv2.imwrite(str(path), np.full((48, 64), 299, np.uint16))
        frames = load_frames(folder, "train")
        batch = frames.crop(torch.tensor([0]), (8, 8), torch.Generator().manual_seed(0))
        assert batch.labels.unique().tolist() == [300]

    def test_too_much_for_the_machine_is_refused(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(in_memory, "os", SimpleNamespace(sysconf=lambda _: 64))
        with pytest.raises(ValueError, match="height: 3 images of 64x48 take"):
            load_frames(folder, "train")
