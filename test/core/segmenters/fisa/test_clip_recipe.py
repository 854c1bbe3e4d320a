"""The small CLIP's recipe: its loss against a slow one, and what it is told of squares."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.robot_cell.captions import noun_phrase
from ovseg_ros.segmenters.fisa.clip_recipe import (
    ClipRecipe,
    Square,
    caption,
    caption_squares,
    pair_loss,
)
from ovseg_ros.segmenters.simzss.losses import caption_loss
from ovseg_ros.training.frames import Frames, load_frames


@pytest.fixture(scope="module")
def mini(cell: Path) -> Frames:
    """The mini cell's training frames."""
    return load_frames(cell, "train", 96)


def test_pairs_without_twins_are_clips_own_loss():
    torch.manual_seed(0)
    images, texts = F.normalize(torch.randn(6, 8), dim=-1), torch.randn(6, 8)
    scale = torch.tensor(math.log(20.0))
    found = pair_loss(images, texts, torch.arange(6), scale)
    assert torch.allclose(found, caption_loss(images, texts, scale), atol=1e-6)


def test_squares_of_one_caption_share_it():
    torch.manual_seed(0)
    images = F.normalize(torch.randn(4, 8, dtype=torch.float64), dim=-1)
    texts = torch.randn(3, 8, dtype=torch.float64)
    which = torch.tensor([0, 2, 0, 1])
    unit = F.normalize(texts, dim=-1)
    total = 0.0
    for row in range(4):
        scores = [math.exp(5.0 * float(images[row] @ text)) for text in unit]
        total -= math.log(scores[int(which[row])] / sum(scores)) / 4
    for number in range(3):
        scores = [math.exp(5.0 * float(unit[number] @ image)) for image in images]
        twins = [row for row in range(4) if which[row] == number]
        logs = [math.log(scores[row] / sum(scores)) for row in twins]
        total -= sum(logs) / len(twins) / 3
    found = pair_loss(images, texts, which, torch.tensor(math.log(5.0), dtype=torch.float64))
    assert float(found) == pytest.approx(total / 2, abs=1e-6)


def test_squares_are_captioned_by_what_they_show(mini: Frames):
    config = replace(ClipRecipe(), squares=(1, 2), views=3)
    squares = caption_squares(mini, [0, 1], config)
    assert [len(own) for own in squares] == [6, 6]
    for frame, own in enumerate(squares):
        whole = mini.crop(torch.tensor([frame]), mini.size_hw, torch.Generator(), zoom=(1.0, 1.0))
        for square in own:
            assert 0 <= square.row <= 6 - square.side
            assert 0 <= square.column <= 8 - square.side
            assert square.captions
            part = whole.instances[
                0,
                16 * square.row : 16 * (square.row + square.side),
                16 * square.column : 16 * (square.column + square.side),
            ]
            if square.most is not None:
                assert square.most.id == int(part.flatten().mode().values)


def test_a_caption_is_a_sentence_or_a_name(mini: Frames):
    most = mini.visible[0][0]
    square = Square(0, 0, 2, ["a long sentence"], most)
    generator = torch.Generator().manual_seed(0)
    words = {most.category: ("thingy",)}

    def said(**options: float) -> set[str]:
        config = replace(ClipRecipe(), **options)
        return {caption(square, config, words, generator) for _ in range(60)}

    assert said(short=0.0) == {"a long sentence"}
    assert said(short=1.0, synonyms=0.0) == {most.category, noun_phrase(most)}
    assert said(short=1.0, synonyms=1.0) == {"thingy", noun_phrase(most)}
    nameless = replace(square, most=None)
    assert caption(nameless, replace(ClipRecipe(), short=1.0), words, generator) == (
        "a long sentence"
    )
