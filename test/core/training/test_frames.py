"""Training frames: image, labels, instances and captions stay together through every crop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ovseg_ros.robot_cell.dataset import RobotCell
from ovseg_ros.robot_cell.objects import category_id
from ovseg_ros.training.data import ATTRIBUTES
from ovseg_ros.training.frames import Frames, load_frames

RGB = {
    "wall": (230, 230, 230),
    "table": (140, 90, 40),
    "mug": (200, 20, 20),
    "duck": (240, 220, 20),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_split_is_in_memory(frames: Frames):
    assert len(frames) == 4
    assert frames.summary() == "robot cell, split train, 4 frames 64x48"
    assert frames.captions[1][1] == "a photo of a duck"
    assert "mug" in frames.categories
    assert "bunny" not in frames.categories  # only the novel split knows it


def test_a_missing_split_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="data: expected robot_cell, NAME:ROOT"):
        load_frames(tmp_path, "train")


def test_data_of_another_catalogue_is_refused(cell: Path, tmp_path: Path):
    shutil.copytree(cell / "train", tmp_path / "train")
    table = json.loads((cell / "train" / "classes.json").read_text())
    table["categories"][5:7] = reversed(table["categories"][5:7])
    (tmp_path / "train" / "classes.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match="data: expected the categories of this version"):
        load_frames(tmp_path, "train")


def test_whole_frames_come_as_they_are(frames: Frames, cell: Path):
    index = torch.tensor([2, 0])
    batch = frames.crop(index, (48, 64), generator(), zoom=(1.0, 1.0))
    for row, number in enumerate(index.tolist()):
        frame = RobotCell(cell, "train")[number]
        image = torch.from_numpy(frame.image).permute(2, 0, 1) / 255
        torch.testing.assert_close(batch.images[row], image, rtol=0, atol=2e-4)
        assert batch.labels[row].equal(torch.from_numpy(frame.labels).long())
        assert batch.instances[row].equal(torch.from_numpy(frame.instance_mask).long())
    assert batch.index is index
    assert batch.images.dtype == torch.float32


def test_whole_frames_may_be_squeezed(frames: Frames):
    batch = frames.crop(torch.tensor([0]), (24, 24), generator(), zoom=(1.0, 1.0))
    assert batch.images.shape == (1, 3, 24, 24)
    whole = frames.crop(torch.tensor([0]), (48, 64), generator(), zoom=(1.0, 1.0))
    shares = [float((b.labels == category_id("mug")).float().mean()) for b in (batch, whole)]
    assert shares[0] == pytest.approx(shares[1], abs=0.02)


@pytest.mark.parametrize("size", [(48, 64), (40, 40), (96, 128)])
def test_crops_keep_colours_and_names_together(frames: Frames, size: tuple[int, int]):
    index = torch.arange(4).repeat(8)
    batch = frames.crop(index, size, generator(1), zoom=(0.4, 1.0))
    assert batch.images.shape == (32, 3, *size)
    assert batch.labels.shape == batch.instances.shape == batch.colours.shape == (32, *size)
    assert batch.images.min() >= 0
    assert batch.images.max() <= 1
    for row in range(32):
        shown = {instance.id: instance for instance in frames.visible[int(index[row])]}
        for number in batch.instances[row].unique().tolist():
            where = batch.instances[row] == number
            instance = shown[number]
            assert (batch.labels[row][where] == category_id(instance.category)).all()
            word = ATTRIBUTES.index(instance.attribute) + 1
            assert (batch.colours[row][where] == word).all()
            if where.sum() > 60:  # edges are blended, and the views are tinted
                seen = batch.images[row][:, where].median(1).values * 255
                assert (seen - torch.tensor(RGB[instance.category])).abs().max() < 75


def test_crops_are_random_and_repeatable(frames: Frames):
    index = torch.tensor([0, 0])
    first = frames.crop(index, (48, 64), generator(7))
    again = frames.crop(index, (48, 64), generator(7))
    other = frames.crop(index, (48, 64), generator(8))
    assert first.images.equal(again.images)
    assert not first.images.equal(other.images)
    assert not first.labels[0].equal(first.labels[1])


def test_zoom_bounds_what_is_left_in_sight(frames: Frames):
    mugs = torch.zeros(200, dtype=torch.int64)
    batch = frames.crop(mugs, (48, 64), generator(3), zoom=(0.5, 0.5))
    whole = frames.crop(mugs[:1], (48, 64), generator(), zoom=(1.0, 1.0))
    count = (whole.labels == category_id("mug")).sum()
    seen = (batch.labels == category_id("mug")).flatten(1).sum(1)
    assert seen.max() <= count / (0.5 * 0.5 * 0.85) * 1.15
    assert seen.min() < count  # it may be cut off
    left = (batch.labels == category_id("mug")).float().mean(0)
    assert left[:, :32].mean() > 0  # mirrored, it stands on either side
    assert left[:, 32:].mean() > 0.2 * left[:, :32].mean()


def test_objects_of_the_novel_split_are_unlabelled(cell: Path, tmp_path: Path):
    shutil.copytree(cell / "train", tmp_path / "train")
    path = tmp_path / "train" / "labels" / "00000_0.png"
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    labels[labels == category_id("mug")] = category_id("bunny")
    cv2.imwrite(str(path), labels)
    batch = load_frames(tmp_path, "train").crop(
        torch.tensor([0]), (48, 64), generator(), zoom=(1.0, 1.0)
    )
    assert batch.labels.unique().tolist() == [0, category_id("wall"), category_id("table")]


def test_rare_categories_weigh_more(frames: Frames):
    weights = frames.rarity()
    assert weights.shape == (len(frames.categories) + 1,)
    assert weights[0] == 0
    assert weights[category_id("mug")] > weights[category_id("table")] > 0
    assert weights[category_id("robot arm")] == 0  # none is in these frames
    labels = torch.cat([frames._labels[i, ::4, ::4].flatten() for i in range(4)]).long()
    assert float(weights[labels].mean()) == pytest.approx(1.0)
    tables, mugs = (int((labels == category_id(name)).sum()) for name in ("table", "mug"))
    ratio = float(weights[category_id("mug")] / weights[category_id("table")])
    assert ratio == pytest.approx((tables / mugs) ** 0.5, rel=1e-5)


def test_unlabelled_pixels_weigh_nothing(cell: Path, tmp_path: Path):
    shutil.copytree(cell / "train", tmp_path / "train")
    for path in (tmp_path / "train" / "labels").iterdir():
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        labels[:, ::2] = 0
        labels[:, ::8] = category_id("wall")
        cv2.imwrite(str(path), labels)
    frames = load_frames(tmp_path, "train")
    weights = frames.rarity()
    assert weights[0] == 0
    labels = frames._labels[:, ::4, ::4].flatten().long()
    assert float(weights[labels[labels > 0]].mean()) == pytest.approx(1.0)


def test_images_are_normalised_like_clips(frames: Frames):
    images = torch.rand(2, 3, 4, 4)
    expected = torch.stack(
        [(images[:, c] - OPENAI_CLIP_MEAN[c]) / OPENAI_CLIP_STD[c] for c in range(3)], dim=1
    )
    torch.testing.assert_close(frames.normalise(images), expected)


def test_views_know_which_instances_they_show(frames: Frames):
    batch = frames.crop(torch.arange(4).repeat(6), (48, 64), generator(5), zoom=(0.3, 0.6))
    for row in range(24):
        shown = frames.instances(batch, row)
        counts = {i: int((batch.instances[row] == i).sum()) for i in range(1, 6)}
        assert {i.id: i.pixels for i in shown} == {i: n for i, n in counts.items() if n}


def test_captions_name_only_what_a_view_shows(frames: Frames):
    index = torch.tensor([2]).repeat(60)  # a mug left, a duck right
    batch = frames.crop(index, (48, 64), generator(2), zoom=(0.3, 0.5))
    everywhere = slice(None), slice(None), 0.0
    captions = [frames.describe_part(batch, row, *everywhere) for row in range(60)]
    assert captions == [frames.describe_part(batch, row, *everywhere) for row in range(60)]
    missing = 0
    for row, texts in enumerate(captions):
        assert texts
        for name in ("mug", "duck", "table", "wall"):
            visible = bool((batch.labels[row] == category_id(name)).any())
            missing += not visible
            assert visible or not any(name in text for text in texts)
        named = " ".join(texts)
        for text in texts:
            assert "tray" not in text
        assert any(name in named for name in ("mug", "duck", "table", "wall"))
    assert missing > 30  # there was something to leave out


def test_drawing_covers_all_frames(frames: Frames):
    drawn = frames.draw(200, generator())
    assert drawn.unique().tolist() == [0, 1, 2, 3]


def test_captions_of_a_part_name_what_the_part_shows(frames: Frames):
    batch = frames.crop(torch.tensor([2]), (48, 64), torch.Generator(), zoom=(1.0, 1.0))
    said = " ".join(frames.describe_part(batch, 0, slice(20, 36), slice(8, 24), 0.02))
    assert "mug" in said
    assert not any(word in said for word in ("duck", "wall", "table"))
    both = " ".join(frames.describe_part(batch, 0, slice(16, 36), slice(8, 52), 0.02))
    assert "mug" in both
    assert "duck" in both
    largest = " ".join(frames.describe_part(batch, 0, slice(0, 48), slice(0, 64), 0.9))
    assert "mug" not in largest
    assert "wall" in largest or "table" in largest
