"""Batches, texts and passes give what a plain loop gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ovseg_ros.segmenters.pnp_ovss.config import SaliencyConfig
from ovseg_ros.segmenters.pnp_ovss.matchers import Matcher
from ovseg_ros.segmenters.pnp_ovss.prompts import write_prompts
from ovseg_ros.segmenters.pnp_ovss.saliency import blacken, drop, group_rows, salience_maps

NAMES = ["mug", "teddy bear", "robot arm"]
CONFIG = SaliencyConfig(layer=2, head=3, passes=3, dropped=5)


def plain(
    matcher: Matcher,
    pixels: torch.Tensor,
    names: list[str],
    config: SaliencyConfig,
    end: bool = False,
):
    """One image, as the paper puts it; returns maps and the dropped patches in their order."""
    (prompt,) = write_prompts(
        matcher.tokenizer,
        names,
        opening=config.opening,
        limit=matcher.text_limit,
        first=matcher.first_token,
    )
    side = matcher.grid
    total, gone = torch.zeros(len(names), side * side), []
    for _ in range(config.passes):
        seen = pixels.clone()
        for patch in gone:
            row, column = divmod(patch, side)
            seen[:, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 0
        attention, gradient = matcher.attend(
            matcher.encode(seen[None]), [0], [prompt], config.layer
        )
        maps = attention[0, config.head - 1]
        if config.gradcam:
            maps = maps * torch.relu(gradient[0, config.head - 1])
        summed = torch.zeros(side * side)
        for k in range(len(names)):
            own = maps[: prompt.words.shape[1]][prompt.words[k] > 0]
            total[k] += own.mean(0)
            summed += own.sum(0)
        if end:
            summed += maps[len(prompt.ids) - 1]
        order = summed.argsort(descending=True, stable=True).tolist()
        gone += [patch for patch in order if patch not in gone][: config.dropped]
    return total.view(-1, side, side), gone


def test_as_released_pass_one_counts_twice_and_dropped_patches_not_at_all(
    matcher: Matcher, images: np.ndarray, lively_head
):
    head = lively_head(matcher, NAMES, ["duck"])
    config = SaliencyConfig(layer=2, head=head, passes=3, dropped=5)
    pixels = matcher.prepare(images[:1])
    side = matcher.grid
    single, gone = plain(matcher, pixels[0], NAMES, replace(config, passes=1))
    expected = 2 * single.flatten(1)
    for number in (1, 2):  # each pass by itself, without what was dropped before it
        upto, gone = plain(matcher, pixels[0], NAMES, replace(config, passes=number + 1))
        before, _ = plain(matcher, pixels[0], NAMES, replace(config, passes=number))
        one = (upto - before).flatten(1)
        one[:, gone[: 5 * number]] = 0
        expected += one
    (paper,) = salience_maps(matcher, pixels, [NAMES], config)
    (released,) = salience_maps(matcher, pixels, [NAMES], config, as_released=True)
    torch.testing.assert_close(released, expected.view(-1, side, side), rtol=1e-3, atol=1e-6)
    assert not torch.allclose(paper, released, rtol=1e-2)
    (once,) = salience_maps(matcher, pixels, [NAMES], replace(config, passes=1), as_released=True)
    torch.testing.assert_close(once, 2 * single, rtol=1e-3, atol=1e-6)


def test_the_end_mark_of_shorter_texts_votes_as_released(
    blip: Matcher, images: np.ndarray, lively_head
):
    head = lively_head(blip, NAMES, ["duck"])
    config = SaliencyConfig(layer=2, head=head, passes=2, dropped=5, gradcam=False)
    pixels = blip.prepare(images)
    votes = {end: plain(blip, pixels[1], ["duck"], config, end)[1][:5] for end in (False, True)}
    assert votes[False] != votes[True]
    alone = salience_maps(blip, pixels[1:], [["duck"]], config, as_released=True)[0]
    longest, shorter = salience_maps(blip, pixels, [NAMES, ["duck"]], config, as_released=True)
    first = salience_maps(blip, pixels[:1], [NAMES], config, as_released=True)[0]
    torch.testing.assert_close(longest, first, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(shorter, alone, rtol=1e-2)
    every = replace(config, end_votes=True)
    found = salience_maps(blip, pixels[1:], [["duck"]], every, as_released=True)[0]
    torch.testing.assert_close(found, shorter, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("gradcam", [True, False])
def test_batches_equal_the_plain_loop(
    matcher: Matcher, images: np.ndarray, gradcam: bool, lively_head
):
    head = lively_head(matcher, NAMES, ["duck"])
    config = SaliencyConfig(layer=2, head=head, passes=3, dropped=5, gradcam=gradcam)
    pixels = matcher.prepare(images)
    names = [NAMES, ["duck"]]
    found = salience_maps(matcher, pixels, names, config)
    for image in range(2):
        expected, gone = plain(matcher, pixels[image], names[image], config)
        assert len(set(gone)) == 15
        assert found[image].shape == (len(names[image]), 6, 6)
        assert float(expected.max()) > 0
        torch.testing.assert_close(
            found[image], expected, rtol=1e-3, atol=1e-4 * float(expected.max())
        )


def test_passes_complete_the_maps(blip: Matcher, images: np.ndarray):
    pixels = blip.prepare(images)
    one, two = (
        salience_maps(
            blip, pixels, [NAMES] * 2, SaliencyConfig(layer=2, head=3, passes=n, dropped=5)
        )
        for n in (1, 2)
    )
    assert all((after >= before).all() and after.sum() > before.sum()
               for before, after in zip(one, two, strict=True))  # fmt: skip


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_how_many_rows_share_a_pass_changes_nothing(matcher: Matcher, images, rows: int):
    many = [f"robot {chr(97 + k)}" for k in range(20)]  # several texts for the tiny BLIP
    pixels = matcher.prepare(images)
    expected = salience_maps(matcher, pixels, [many, NAMES], CONFIG)
    config = SaliencyConfig(layer=2, head=3, passes=3, dropped=5, rows=rows)
    found = salience_maps(matcher, pixels, [many, NAMES], config)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.max()))
    bare = SaliencyConfig(layer=2, head=3, passes=1, gradcam=False, rows=rows)
    found = salience_maps(matcher, pixels, [many, NAMES], bare)
    assert all(float(one.min()) > 0 for one in found[0])  # no name is lost between texts


def test_no_names(blip: Matcher, images: np.ndarray):
    first, second = salience_maps(blip, blip.prepare(images), [[], ["mug"]], CONFIG)
    assert first.shape == (0, 6, 6)
    assert second.shape == (1, 6, 6)


def test_dropping_takes_the_most_salient_of_what_is_left():
    summed = torch.tensor([[5.0, 4.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    gone = torch.tensor([[True, False, False, False], [False, True, False, False]])
    assert drop(gone, summed, 2).tolist() == [[True, True, True, False], [True, True, True, False]]
    assert drop(gone, summed, 9).all()


def test_blackening():
    pixels = torch.ones(1, 3, 4, 4)
    found = blacken(pixels, torch.tensor([[False, True, False, False]]))
    assert found[0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert pixels.all()


def test_groups():
    assert group_rows([1, 1, 1], 2) == [[0, 1], [2]]
    assert group_rows([0, 5, 0, 1], 2) == [[1], [3]]
    assert group_rows([], 2) == []


@pytest.mark.parametrize(("layer", "head", "reason"), [
    (4, 1, r"layer: expected 1..3, got 4"), (1, 5, r"head: expected 1..4, got 5"),
])  # fmt: skip
def test_a_place_that_the_model_lacks(blip: Matcher, images, layer: int, head: int, reason: str):
    with pytest.raises(ValueError, match=reason):
        salience_maps(
            blip, blip.prepare(images), [NAMES] * 2, SaliencyConfig(layer=layer, head=head)
        )
