"""The matcher's recipe: texts fit as far as their names do, hidden patches show nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import BlipForImageTextRetrieval

from ovseg_ros.discovery.captioner_recipe import PROMPT, build_tokenizer
from ovseg_ros.models.pyramid import PyramidTower
from ovseg_ros.segmenters.pnp_ovss.recipe import (
    START,
    BlipItmRecipe,
    RandomMass,
    find_names,
    itm_config,
    match_losses,
    shown_categories,
    write_pairs,
)
from ovseg_ros.segmenters.pnp_ovss.samples import cut_windows, draw_patches, draw_views, hide
from ovseg_ros.training.frames import Batch, Frames
from ovseg_ros.training.loop import LoopConfig

RECIPE = BlipItmRecipe(width=64, heads=2, size=64, views=3, windows=(2, 4), pairs=3, attributes=0.0)


@pytest.fixture(scope="module")
def batch(frames: Frames) -> Batch:
    """All four frames as they are: mug, duck, both, none."""
    generator = torch.Generator().manual_seed(0)
    return frames.crop(torch.arange(4), (48, 64), generator, zoom=(1.0, 1.0))


@pytest.fixture(scope="module")
def model(frames: Frames) -> BlipForImageTextRetrieval:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = BlipForImageTextRetrieval(itm_config(RECIPE, build_tokenizer(frames, START)))
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture(scope="module")
def tower() -> PyramidTower:
    return PyramidTower("resnet10t", channels=(16, 16, 32, 32)).eval()


def names_of(frames: Frames, row: torch.Tensor) -> set[str]:
    return {frames.categories[i] for i in torch.nonzero(row).flatten()}


def pairs_of(
    frames: Frames, batch: Batch, config: BlipItmRecipe
) -> tuple[torch.Tensor, torch.Tensor, list[str], torch.Tensor, torch.Tensor]:
    shown, absent = shown_categories(batch, len(frames.categories))
    texts, rows, fit = write_pairs(frames, batch, shown, absent, config, np.random.default_rng(0))
    return shown, absent, texts, rows, fit


def test_what_frames_show(frames: Frames, batch: Batch):
    shown, absent = shown_categories(batch, len(frames.categories))
    assert names_of(frames, shown[0]) == {"wall", "table", "mug"}
    assert names_of(frames, shown[3]) == {"wall", "table"}
    assert torch.equal(absent, ~shown)


def test_a_few_pixels_are_neither_shown_nor_absent(frames: Frames, batch: Batch):
    labels = torch.where(batch.labels == batch.labels[0, 0, 0], batch.labels, 0)
    labels[:, 5, 5] = 1 + frames.categories.index("duck")
    few = Batch(batch.index, batch.images, labels, batch.colours, batch.instances)
    shown, absent = shown_categories(few, len(frames.categories))
    duck = frames.categories.index("duck")
    assert not shown[0, duck]
    assert not absent[0, duck]


def test_a_worse_text_fits_as_far_as_its_names_do(frames: Frames, batch: Batch):
    shown, absent, texts, rows, fit = pairs_of(frames, batch, replace(RECIPE, pairs=5))
    assert rows.tolist() == [row for row in range(4) for _ in range(10)]
    assert fit[::2].tolist() == [1.0] * 20
    assert (fit[1::2] < 1).all()
    for text, row, share in zip(texts, rows.tolist(), fit.tolist(), strict=True):
        assert text.startswith(PROMPT)
        said = [name for name in frames.categories if f" {name} " in f"{text} "]
        inside, outside = names_of(frames, shown[row]), names_of(frames, absent[row])
        assert set(said) <= inside | outside
        assert len(inside & set(said)) / len(said) == pytest.approx(share)


def test_names_are_said_with_their_attributes(frames: Frames, batch: Batch):
    _, _, texts, rows, _ = pairs_of(frames, batch, replace(RECIPE, pairs=20, attributes=1.0))
    (mug,) = {i.attribute for i in frames.instances(batch, 0) if i.category == "mug"}
    assert mug
    mugs = [text for text, row in zip(texts, rows, strict=True) if row == 0 and "mug" in text]
    assert mugs
    assert all(f"{mug} mug" in text for text in mugs)
    others = [text for text, row in zip(texts, rows, strict=True) if row == 3 and "mug" in text]
    assert not any(f"{mug} mug" in text for text in others)  # what is absent has no colour


def test_windows_are_cut_from_what_the_tower_drew(frames: Frames, tower: PyramidTower):
    views = draw_views(frames, tower, RECIPE)
    assert views.images.shape == (3, 3, 64, 64)
    config = replace(RECIPE, patches=64, loop=LoopConfig(batch=9))
    sides = set()
    for seed in range(20):
        cut = cut_windows(views, frames, config, np.random.default_rng(seed))
        side = cut.images.shape[-1] // 8
        sides.add(side)
        assert len(cut.index) == min(9, 64 // side**2)
        for row in range(len(cut.index)):
            found = [
                (view, top, left)
                for view in range(3)
                for top in range(9 - side)
                for left in range(9 - side)
                if torch.equal(
                    cut.images[row],
                    views.images[view, :, 8 * top : 8 * (top + side), 8 * left : 8 * (left + side)],
                )
            ]
            assert found
            view, top, left = found[0]
            where = np.s_[8 * top : 8 * (top + side), 8 * left : 8 * (left + side)]
            assert cut.index[row] == views.index[view]
            assert torch.equal(cut.labels[row], views.labels[view][where].long())
            assert torch.equal(cut.instances[row], views.instances[view][where].long())
    assert sides == {2, 3, 4}


def test_nothing_is_asked_about_views_that_show_nothing(frames: Frames, batch: Batch):
    nothing = torch.zeros(4, len(frames.categories), dtype=torch.bool)
    shown, absent = nothing.clone(), ~nothing
    shown[2, 0] = True
    rng = np.random.default_rng(0)
    _, rows, _ = write_pairs(frames, batch, shown, absent, RECIPE, rng)
    assert set(rows.tolist()) == {2}


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_hidden_patches_show_nothing(batch: Batch, share: float):
    seen = hide(batch, share, torch.Generator().manual_seed(1))
    dark = (seen.images == 0).all(1)
    assert float(dark.float().mean()) == share
    assert (seen.labels[dark] == 0).all()
    assert torch.equal(seen.labels[~dark], batch.labels[~dark])
    assert torch.equal(seen.instances > 0, ~dark)
    patches = dark.view(4, 6, 8, 8, 8).float().mean((2, 4))
    assert set(patches.unique().tolist()) <= {0.0, 1.0}


def test_random_mass_has_mean_one_and_leaves_inference_alone():
    mass, attention = RandomMass(), torch.rand(4, 3, 500, 7)
    scaled = mass(attention) / attention
    torch.testing.assert_close(scaled, scaled[..., :1].expand_as(scaled))  # a factor per query
    assert 0.9 < float(scaled.mean()) < 1.1
    assert float(scaled.std()) > 0.5
    assert mass.eval()(attention) is attention


@torch.no_grad()
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_are_the_heads_own(
    frames: Frames, model: BlipForImageTextRetrieval, smoothing: float
):
    tokenizer = build_tokenizer(frames, START)
    memory = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(3))
    texts, fit = ["a mug", "a red mug on a table"], torch.tensor([1.0, 0.25])
    names: list[Mapping[str, bool]] = [{"mug": True, "duck": False}, {"table": False}]

    def judge(states: torch.Tensor, target: float) -> torch.Tensor:
        log = model.itm_head(states)[0].log_softmax(-1)
        target = (1 - smoothing) * target + smoothing / 2
        return -target * log[1] - (1 - target) * log[0]

    expected, words = [], []
    for row, text in enumerate(texts):
        ids = tokenizer(text, return_tensors="pt").input_ids
        ids[0, 0] = tokenizer.convert_tokens_to_ids("[ENC]")
        seen: list[torch.Tensor] = []
        handle = model.text_encoder.encoder.layer[0].register_forward_hook(
            lambda module, inputs, output, seen=seen: seen.append(output)
        )
        states = model.text_encoder(input_ids=ids, encoder_hidden_states=memory[row : row + 1])[0]
        handle.remove()
        expected.append(judge(states[:, 0], float(fit[row])))
        (name, right) = (("mug", 1.0), ("table", 0.0))[row]
        place = 1 + text.split().index(name)  # a token is a word, behind [ENC]
        words.append(judge(seen[0][:, place], right))
    found = match_losses(model, tokenizer, memory, texts, fit, names, smoothing)
    torch.testing.assert_close(found["match"], torch.stack(expected).mean())
    torch.testing.assert_close(found["words"], torch.stack(words).mean())


def test_names_are_found_whole(frames: Frames):
    tokenizer = build_tokenizer(frames, START)
    texts = ["a soccer ball", "ball mug", "the wall"]
    tokens = tokenizer(texts, padding=True, return_tensors="pt", return_offsets_mapping=True)
    fits = [{"ball": False, "soccer ball": True}, {"ball": True, "mug": False}, {"mug": True}]
    where, words, right = find_names(texts, tokens.offset_mapping, fits)
    assert where.tolist() == [0, 1, 1]
    assert right.tolist() == [1, 1, 0]
    said = [
        tokenizer.decode(tokens.input_ids[text][own > 0]).replace(" ", "")
        for text, own in zip(where, words, strict=True)
    ]
    assert said == ["soccerball", "ball", "mug"]
    torch.testing.assert_close(words.sum(1), torch.ones(3))


def test_the_start_mark(frames: Frames):
    tokenizer = build_tokenizer(frames, START)
    config = itm_config(RECIPE, tokenizer)
    assert config.text_config.bos_token_id == tokenizer.convert_tokens_to_ids("[ENC]")
    assert tokenizer.convert_tokens_to_ids("[ENC]") != tokenizer.unk_token_id


def test_patches_know_nothing_of_each_other(frames: Frames, model: BlipForImageTextRetrieval):
    drawn = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    other = drawn.clone()
    other[:, :, :8, :8] = 0
    with torch.no_grad():
        first, second = (
            model.vision_model(x, interpolate_pos_encoding=True).last_hidden_state
            for x in (drawn, other)
        )
    assert first.shape == (1, 65, 64)
    changed = (first != second).any(-1)[0]
    assert changed.tolist() == [False, True] + [False] * 63
    assert float(first[0, 1:].std(0).mean()) > 0.1


def test_regions_are_distinct_patches_in_order():
    generator = torch.Generator().manual_seed(0)
    regions = draw_patches(40, (15, 20), 120, generator)
    assert regions.shape == (40, 120)
    assert (regions.diff(dim=1) > 0).all()
    assert regions.min() >= 0
    assert regions.max() < 300
    mask = torch.zeros(40, 300).scatter(1, regions, 1.0).view(40, 15, 20)
    alike = (mask[:, :, 1:] == mask[:, :, :-1]).float().mean((1, 2))
    assert (alike > 0.8).any()  # some hang together,
    assert (alike < 0.65).any()  # some are scattered
    every = draw_patches(3, (4, 5), 20, generator)
    assert every.tolist() == [list(range(20))] * 3
