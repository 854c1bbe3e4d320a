"""Reading people's own folders and the robot cell."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ovseg_ros.evaluation.datasets import (
    VOID,
    FolderDataset,
    RobotCellDataset,
    Sample,
    Segment,
    Segments,
    open_dataset,
)
from ovseg_ros.robot_cell.objects import category_names


def test_folder_reads_what_was_written(toy_folder, toy_data):
    data = FolderDataset(toy_folder)
    assert (data.name, data.classes, len(data)) == (str(toy_folder), ("floor", "mug", "duck"), 3)
    assert data.synonyms == {"floor": ("ground",), "mug": (), "duck": ()}
    for index in range(3):
        assert data[index].id == toy_data[index].id
        assert (data[index].image == toy_data[index].image).all()
        assert (data[index].labels == toy_data[index].labels).all()


def test_lines_without_a_value_are_numbered(toy_folder):
    (toy_folder / "classes.txt").write_text("Floor\n\nmug, cup\n")
    data = FolderDataset(toy_folder)
    assert data.classes == ("floor", "mug")
    cv2.imwrite(str(toy_folder / "masks" / "image0.png"), np.full((20, 30), 2, np.uint8))
    assert (data[0].labels == 2).all()


@pytest.mark.parametrize(
    ("lines", "values", "warned"),
    [
        ("floor\nmug\nduck", (0, 1, 2), True),  # the masks count from 0
        ("floor\nmug\nduck", (1, 2, 3), False),
        ("floor\nmug\nduck", (1, 2, 3, 0, 255), False),  # void is void
        ("floor\nmug\nduck", (1, 2), False),  # nothing is wrong with a rare class
        ("floor\nmug\nduck", (1, 2, 255), False),
        ("0: floor\n1: mug\n2: duck", (0, 1, 2), False),
        ("floor\nmug\nduck", (10, 20, 30), True),
        ("0: floor\n1: mug\n2: duck", (1, 2, 3), True),
    ],
)
def test_lists_that_count_otherwise_than_the_masks_are_noticed(
    tmp_path, caplog, lines, values, warned
):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    (tmp_path / "classes.txt").write_text(lines + "\n")
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((4, len(values), 3), np.uint8))
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.array([values] * 4, np.uint8))
    with caplog.at_level("WARNING"):
        FolderDataset(tmp_path)
    assert ("counts from 1" in caplog.text) == warned
    if warned:
        assert "without a class" in caplog.text
        assert "never occurs" in caplog.text


def test_values_that_no_line_names_are_named(toy_folder, caplog):
    (toy_folder / "classes.txt").write_text("floor\nmug\n")
    cv2.imwrite(
        str(toy_folder / "masks" / "image0.png"), np.array([[0, 1, 2, 9, 255] * 6] * 20, np.uint8)
    )
    with caplog.at_level("WARNING"):
        assert (FolderDataset(toy_folder)[0].labels[:, 3] == 0).all()
    assert "9, 1000, 65535 without a class in classes.txt: void" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: mug\n1: duck\n", "a mask value of its own"),
        ("one: mug\n", "a mask value of its own"),
        ("70000: mug\n", "a mask value of its own"),
        ("1: mug\n2: mug\n", "distinct classes, got 'mug' twice"),
        ("0 mug\n1 duck\n", "a colon after the value"),
        ("0,mug\n1,duck\n", "a colon after the value"),
        ("\n", "at least one class"),
        ("1: mug,,cup\n", None),
    ],
)
def test_a_bad_class_list_is_refused_with_its_path(toy_folder, text, message):
    (toy_folder / "classes.txt").write_text(text)
    expected = f"expected {message}" if message else "'1: mug,,cup': name: expected at least one"
    with pytest.raises(ValueError, match=f"classes.txt: {expected}"):
        FolderDataset(toy_folder)


def test_missing_parts_are_named(toy_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected images/, masks/ and"):
        FolderDataset(tmp_path)
    data = FolderDataset(toy_folder)
    (toy_folder / "masks" / "image1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"masks/image1\.png: no such file"):
        data[1]
    (toy_folder / "masks" / "image1.png").write_bytes(b"\x89PNG nothing else")
    with pytest.raises(ValueError, match=r"masks/image1\.png: not an image, or a damaged one"):
        data[1]
    cv2.imwrite(str(toy_folder / "masks" / "image1.png"), np.zeros((5, 5), np.uint8))
    message = r"masks/image1\.png: expected the size of .*images/image1\.png, \(20, 30\)"
    with pytest.raises(ValueError, match=message):
        data[1]
    cv2.imwrite(str(toy_folder / "masks" / "image1.png"), np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(ValueError, match="expected one channel"):
        data[1]


def test_an_empty_folder_is_refused(toy_folder):
    for path in (toy_folder / "images").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="at least one image"):
        FolderDataset(toy_folder)


def test_unknown_data_sets_are_refused():
    with pytest.raises(ValueError, match=r"dataset: expected robot_cell, voc20, .* or an existing"):
        open_dataset("imagenet")


def write_split(root, split, values):
    """Write a robot cell split of one frame whose label mask has the given columns."""
    folder = root / split
    for part in ("rgb", "labels", "instances"):
        (folder / part).mkdir(parents=True)
    labels = np.tile(np.array(values, np.uint8), (8, 1))
    cv2.imwrite(str(folder / "rgb" / "0_0.jpg"), np.zeros((8, len(values), 3), np.uint8))
    cv2.imwrite(str(folder / "labels" / "0_0.png"), labels)
    cv2.imwrite(str(folder / "instances" / "0_0.png"), labels + 10)
    classes = {"categories": list(category_names()), "synonyms": {}}
    (folder / "classes.json").write_text(json.dumps(classes))
    frame = {"name": "0_0", "captions": [], "instances": [], "depth": False}
    frame |= {"intrinsics": np.eye(3).tolist(), "camera_to_world": np.eye(4).tolist()}
    (folder / "frames.jsonl").write_text(json.dumps(frame) + "\n")


def test_robot_cell_has_the_classes_of_its_split(tmp_path):
    names = category_names()
    values = [names.index(name) for name in ("floor", "robot arm", "bunny")]
    for split in ("test", "novel"):
        write_split(tmp_path, split, values)
    test, novel = (RobotCellDataset(tmp_path, split) for split in ("test", "novel"))
    assert "bunny" in novel.classes
    assert "bunny" not in test.classes
    for data in (test, novel):
        found = [data.classes[v - 1] if v else "void" for v in data[0].labels[0]]
        expected = ["floor", "robot arm", "bunny" if data is novel else "void"]
        assert found == expected
    assert test.name == "robot_cell/test"
    floor, arm = (test.classes.index(name) + 1 for name in ("floor", "robot arm"))
    segments = test[0].segments
    assert segments.of == {
        values[0] + 10: Segment(floor, crowd=False),
        values[1] + 10: Segment(arm, crowd=False),
    }
    assert (segments.ids[0] == np.array(values) + 10).all()
    assert "robot arm" in test.things
    assert "floor" not in test.things
    assert "cup" in test.synonyms["mug"]


def test_robot_cell_says_when_frames_are_missing(tmp_path, caplog):
    write_split(tmp_path, "test", [1, 2])
    assert len(open_dataset("robot_cell", split="test", root=tmp_path)) == 1
    assert "has 1 of 200 frames" in caplog.text


def test_robot_cell_that_cannot_be_rendered_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pybullet", None)
    with pytest.raises(FileNotFoundError, match="ovseg render robot_cell --split val --root"):
        open_dataset("robot_cell", split="val", root=tmp_path)
    with pytest.raises(ValueError, match="split: expected one of train, val, test, novel"):
        open_dataset("robot_cell", split="tset", root=tmp_path)


def test_samples_are_checked():
    with pytest.raises(ValueError, match="x: the image is"):
        Sample(id="x", image=np.zeros((2, 2, 3), np.uint8), labels=np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match="the segments"):
        Sample(
            id="x",
            image=np.zeros((2, 2, 3), np.uint8),
            labels=np.zeros((2, 2), np.uint8),
            segments=Segments(ids=np.zeros((1, 2), np.int32), of={}),
        )
    assert VOID == 0


@pytest.mark.parametrize("layout", ["masks", "train/masks"])
def test_nothing_is_rendered_among_files_of_somebody(tmp_path: Path, layout: str):
    (tmp_path / layout).mkdir(parents=True)
    (tmp_path / layout).with_name("classes.txt").write_text("road\n")
    with pytest.raises(FileNotFoundError, match="nothing is rendered into it"):
        open_dataset("robot_cell", split="train", root=tmp_path)
    assert not list(tmp_path.rglob("frames.jsonl"))
