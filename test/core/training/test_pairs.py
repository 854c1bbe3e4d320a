"""Image-caption pairs by position: shards, COCO captions, and draws that repeat exactly."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ovseg_ros.training.pairs import (
    CocoPairs,
    Views,
    clean,
    draw_box,
    load_views,
    open_pairs,
)

from ..small_pairs import CAPTIONS, picture, write_coco


def write_shards(root: Path) -> Path:
    """Two shards with text and JSON captions, files that are no pairs, and a sub-folder."""
    root.mkdir(parents=True)
    for shard, numbers in enumerate([(0, 1), (2, 3, 4)]):
        with tarfile.open(root / f"{shard:05d}.tar", "w") as archive:

            def add(name: str, content: bytes, archive: tarfile.TarFile = archive) -> None:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))

            add("readme.txt", b"no picture")
            for number in numbers:
                file = io.BytesIO()
                picture(number).save(file, "PNG")
                add(f"a/{number:09d}.PNG", file.getvalue())
                if number % 2:
                    add(f"a/{number:09d}.txt", CAPTIONS[number].encode())
                else:
                    add(f"a/{number:09d}.json", json.dumps({"caption": CAPTIONS[number]}).encode())
            add("a/999.png", b"no caption")
    return root


@pytest.mark.parametrize("kind", ["coco", "shards", "pattern"])
def test_pictures_come_with_their_captions(kind: str, tmp_path: Path):
    if kind == "coco":
        folder, file = write_coco(tmp_path)
        pairs = open_pairs(str(folder), str(file))
    else:
        root = write_shards(tmp_path / "shards")
        pairs = open_pairs(str(root if kind == "shards" else root / "0*.tar"))
    assert len(pairs) == 5
    for number in range(5):
        assert pairs.captions(number)[0] == clean(CAPTIONS[number])
        assert pairs.picture(number).size == (40 + number, 30)
        assert pairs.picture(number).getpixel((3, 3)) == (40 * number, 10, 20)
    assert len(pairs.captions(0)) == (2 if kind == "coco" else 1)


def test_captions_are_cleaned():
    assert clean(" A Red\n Mug ") == "a red mug"


def test_what_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"matches no tar file.*captions=FILE\.json"):
        open_pairs(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_pairs(str(tmp_path), str(tmp_path / "nowhere.json"))
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(ValueError, match="captions: expected COCO captions"):
        CocoPairs(tmp_path, tmp_path / "empty.json")
    with tarfile.open(tmp_path / "0.tar", "w"):
        pass
    with pytest.raises(ValueError, match="data: expected pictures with captions in 1 shards"):
        open_pairs(str(tmp_path))


@pytest.fixture
def views(tmp_path: Path) -> Views:
    return Views(open_pairs(*map(str, write_coco(tmp_path))), size=16, scale=(0.9, 1.0), seed=3)


def colour(view: torch.Tensor) -> int:
    """Return which picture a view shows."""
    red = view[0, 8, 8] * 0.26862954 + 0.48145466
    return round(float(red) * 255 / 40)


def test_an_epoch_shows_every_picture_once(views: Views):
    epochs = [[colour(views[number][0]) for number in range(5 * e, 5 * e + 5)] for e in range(4)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    view, caption = views[7]
    assert view.shape == (3, 16, 16)
    assert "mug" in caption
    assert torch.equal(view, views[7][0])


def test_views_go_to_other_processes(views: Views):
    assert torch.equal(pickle.loads(pickle.dumps(views))[7][0], views[7][0])


def drawn(views: Views, *, first: int = 0, rank: int = 0, world: int = 1, batch: int = 2):
    loader = load_views(views, first=first, steps=4, batch=batch, rank=rank, world=world, workers=0)
    return [([colour(view) for view in images], captions) for images, captions in loader]


def test_a_run_goes_on_with_the_pairs_it_would_have_seen(views: Views):
    assert drawn(views, first=2) == drawn(views)[2:]
    assert len(drawn(views)) == 4


def test_processes_share_the_batch(views: Views):
    parts = [drawn(views, rank=rank, world=2) for rank in range(2)]
    together = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(*parts, strict=True)]
    assert together == drawn(views, batch=4)


@pytest.mark.parametrize("size", [(640, 480), (30, 100), (7, 7), (1000, 10)])
def test_crops_lie_inside_and_have_the_area_asked_for(size: tuple[int, int]):
    rng = np.random.default_rng(0)
    for _ in range(50):
        x0, y0, x1, y1 = draw_box(size, (0.5, 0.8), rng)
        assert -1e-9 <= x0 < x1 <= size[0] + 1e-9
        assert -1e-9 <= y0 < y1 <= size[1] + 1e-9
        share = (x1 - x0) * (y1 - y0) / (size[0] * size[1])
        whole = (x0, y0, x1, y1) == (0, 0, *size)
        assert whole or 0.5 - 1e-9 <= share <= 0.8 + 1e-9
        assert whole or 0.74 < (x1 - x0) / (y1 - y0) < 1.34
