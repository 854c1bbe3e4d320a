"""Filters keep what they should, whoever decides."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from ovseg_ros.segmenters.pnp_ovss.config import FilterConfig
from ovseg_ros.segmenters.pnp_ovss.filters import (
    ChatFilter,
    FileFilter,
    MatchFilter,
    SimilarityFilter,
    build_filter,
    read_answer,
)
from ovseg_ros.segmenters.pnp_ovss.lists import read_list
from ovseg_ros.segmenters.pnp_ovss.matchers import Matcher
from ovseg_ros.segmenters.pnp_ovss.prompts import write_prompts
from ovseg_ros.segmenters.pnp_ovss.scorers import Scorer

NAMES = ["mug", "teddy bear", "robot arm", "duck", "table"]


def build(matcher: Matcher, **options):
    return build_filter(
        FilterConfig(**options), matcher, opening="a picture of", rows=3, device="cpu",
        dtype="float32",
    )  # fmt: skip


def test_the_matchers_scores_are_one_by_one(blip: Matcher, images: np.ndarray):
    one = MatchFilter(blip, 0.5, opening="a picture of", rows=3)
    scores = one.scores(images, NAMES)
    for image in range(2):
        seen = blip.encode(blip.prepare(images[image : image + 1]))
        for k, name in enumerate(NAMES):
            (prompt,) = write_prompts(
                blip.tokenizer, [name], opening="a picture of", limit=24, first=blip.first_token
            )
            assert scores[image, k] == pytest.approx(float(blip.fit(seen, [0], [prompt])), abs=1e-5)
    for threshold in (0.0, float(np.median(scores)), 1.0):
        kept = MatchFilter(blip, threshold, opening="a picture of", rows=3).keep(images, NAMES)
        assert kept == [np.flatnonzero(row >= threshold).tolist() for row in scores]


def test_similarity_keeps_names_near_the_best():
    class Scores(Scorer):
        def __init__(self):
            pass

        def prepare(self, images):
            return images

        def images(self, pixels):
            return torch.tensor([[1.0, 0.0], [0.0, 1.0]])

        def names(self, names):
            return torch.tensor([[0.30, 0.20], [0.28, 0.20], [0.10, 0.20]])

        encode_pixels = encode_tokens = None

    # exp(-0.02 / 0.01) = 0.135
    found = SimilarityFilter(Scores(), 0.1).keep(np.zeros((2, 1, 1, 3)), NAMES[:3])
    assert found == [[0, 1], [0, 1, 2]]
    assert SimilarityFilter(Scores(), 0.2).keep(np.zeros((2, 1, 1, 3)), NAMES[:3])[0] == [0]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('["Mug", "teddy bear"]', [0, 1]),
        ("I see two ducks on a table.", [3, 4]),
        ("Tablecloth, smug faces", []),
        ("a bear", []),
        ("", []),
        ("robot   arm", []),
    ],
)
def test_answers(answer: str, expected: list[int]):
    assert read_answer(answer, NAMES) == expected


def test_parts_of_longer_names_do_not_count():
    assert read_answer("a soccer ball", ["ball", "soccer ball"]) == [1]
    assert read_answer("a soccer ball and a ball", ["ball", "soccer ball"]) == [0, 1]


def test_chat_is_asked_about_every_image(images: np.ndarray):
    asked = []

    def ask(image, question):
        asked.append((image.shape, question))
        return "mug" if len(asked) == 1 else "teddy bear, duck"

    assert ChatFilter(ask).keep(images, NAMES) == [[0], [1, 3]]
    assert asked[0][0] == (60, 80, 3)
    assert all(name in asked[0][1] for name in NAMES)


def test_one_list_for_all(tmp_path: Path, images: np.ndarray, blip: Matcher):
    path = tmp_path / "names.json"
    path.write_text(json.dumps(["Duck", "mug", "moon"]))
    assert build(blip, name="file", file=str(path)).keep(images, NAMES) == [[0, 3]] * 2


def test_a_list_for_each_image(tmp_path: Path, images: np.ndarray):
    big = [cv2.resize(image, (640, 480)) for image in images]
    for index, image in enumerate(big):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"0.png": ["mug"], "1.png": ["table", "duck"]}))
    found = FileFilter(path)
    assert found.keep(np.stack(big)[::-1], NAMES) == [[3, 4], [0]]
    smaller = np.stack([cv2.resize(image, (320, 240)) for image in big])
    assert found.keep(smaller, NAMES) == [[0], [3, 4]]
    with pytest.raises(ValueError, match="does not list this image"):
        found.keep(255 - images, NAMES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "expected JSON"), ('{"a": 3}', "lists of names"), ("[1]", "lists of names")],
)
def test_a_wrong_file(tmp_path: Path, text: str, reason: str):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=reason):
        FileFilter(tmp_path / "x.json")


def test_the_authors_lists_are_read_as_they_are(tmp_path: Path):
    """What GPT-4o wrote, by image id; the images lie elsewhere."""
    rng = np.random.default_rng(0)
    pictures = tmp_path / "JPEGImages"
    pictures.mkdir()
    images = rng.integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    for name, image in zip(("2007_000033", "2007_000042", "2007_000061"), images, strict=True):
        big = cv2.resize(image, (240, 160), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(pictures / f"{name}.png"), cv2.cvtColor(big, cv2.COLOR_RGB2BGR))
    lists = {
        "2007_000033": "[20: 'tvmonitor', 15: 'person', 11: 'diningtable'], [90, 10, 71]",
        "2007_000042": "[19: train], [100%]",
        "2007_000061": "[15: 'person'], [70%]",
    }
    path = tmp_path / "voc_classification_noboundary.json"
    path.write_text(json.dumps(lists))
    names = ["aeroplane", "person", "train", "dining table", "tv monitor"]
    big = np.stack([cv2.resize(i, (240, 160), interpolation=cv2.INTER_NEAREST) for i in images])
    found = FileFilter(path, pictures)
    assert found.keep(big, names) == [[3, 4], [2], [0]]  # nobody is sure: the first name
    theirs = ["aeroplane", "person", "train", "table", "tvmonitor"]
    assert found.keep(big, theirs) == [[3, 4], [2], [0]]
    with pytest.raises(FileNotFoundError, match=r"filter.images: expected the image 2007_000033"):
        FileFilter(path)


TELEVISION = "television;television;receiver;television;set;tv;tv;set;idiot;box"
ADE = ["monitor", "wall", "sconce", "hovel", "chandelier"]


@pytest.mark.parametrize(
    ("written", "vocabulary", "expected"),
    [
        ("[1: 'a', 2: 'b'], [100, 60]", ["a", "b"], [0]),
        ("[1: a, 2: b]\n\n[100%, 71%]", ["a", "b"], [0, 1]),
        ("[1: a, 2: b], [0.9, 0.5]", ["a", "b"], [0]),  # shares instead of per cent
        ("[1: a, 2: b, 3: c], [90, 90]", ["a", "b", "c"], [0, 1]),  # as the authors read it
        (f"[90: '{TELEVISION}'], [100]", ["box", "televisionreceiver"], [1]),
        (f"[90: '{TELEVISION}'], [100]", ["monitor", "wall", "box", "television", "sink"], [3]),
        (f"[90: '{TELEVISION}'], [100]", [*ADE, "televisionreceiver"], [5]),  # VOC has monitors
        ("[139: 'ashcan;trash;can;garbage;can;bin'], [100]", ["barrel", "trashcan"], [1]),
        ("[1: a, 2: b]", ["a", "b"], [0, 1]),  # no word of how sure
        ("[], []", ["a", "b"], [0]),
        ("", ["a", "b"], [0]),
        ("[15: 'door;double;door'], [100%]", ["wall", "door"], [1]),
        ("[65: 'coffee;table;cocktail;table'], [100%]", ["table", "coffee table"], [1]),
        ("[65: 'coffee;table;cocktail;table'], [100%]", ["table", "coffeetable"], [1]),
        ("[2: 'building;edifice', 14: 'earth;ground'], [90%, 80%]", ["ground", "building"], [0, 1]),
        ("[112: door-stuff, 96: building-other], [100%, 80%]", ["building", "door"], [0, 1]),
        ("[64: potted plant], [100]", ["pottedplant"], [0]),
        ("[3: 'zebra'], [100]", ["a", "b"], [0]),
        (["B", "c"], ["a", "b"], [1]),
        (["c"], ["a", "b"], []),  # a list of somebody's own may be empty
    ],
)
def test_entries_of_lists(written, vocabulary, expected):
    assert read_list(written).find(vocabulary) == expected


def test_what_is_missing_is_said(blip: Matcher, tmp_path: Path):
    with pytest.raises(ValueError, match=r"filter.weights: expected a model for 'clip'"):
        build(blip, name="clip")
    with pytest.raises(FileNotFoundError, match=r"filter.file: expected a JSON file"):
        build(blip, name="file", file=str(tmp_path / "no.json"))
    with pytest.raises(FileNotFoundError, match=r"weights: expected an image-text-to-text model"):
        build(blip, name="chat", weights=str(tmp_path))


def test_none_keeps_all(blip: Matcher, images: np.ndarray):
    assert build(blip, name="none").keep(images, NAMES) == [[0, 1, 2, 3, 4]] * 2
