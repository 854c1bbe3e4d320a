"""The matcher's recipe: texts fit or miss by one absent noun, hidden patches show nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import BlipForImageTextRetrieval

from ovseg_ros.pyramid import PyramidTower
from ovseg_ros.training.blip import PROMPT, build_tokenizer
from ovseg_ros.training.blip_itm import (
    START,
    BlipItmRecipe,
    _Trainer,
    _Views,
    contrast_loss,
    find_names,
    hide,
    itm_config,
    look,
    match_losses,
    shown_categories,
    write_pairs,
)
from ovseg_ros.training.frames import Batch, Frames
from ovseg_ros.training.loop import LoopConfig

RECIPE = BlipItmRecipe(width=64, layers=2, heads=2, size=32, pairs=3)


@pytest.fixture(scope="module")
def batch(frames: Frames) -> Batch:
    """All four frames as they are: mug, duck, both, none."""
    generator = torch.Generator().manual_seed(0)
    return frames.crop(torch.arange(4), (48, 64), generator, zoom=(1.0, 1.0))


@pytest.fixture(scope="module")
def trainer(frames: Frames) -> _Trainer:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = BlipForImageTextRetrieval(itm_config(RECIPE, build_tokenizer(frames, START)))
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return _Trainer(model).eval()


def names_of(frames: Frames, row: torch.Tensor) -> set[str]:
    return {frames.categories[i] for i in torch.nonzero(row).flatten()}


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


@pytest.mark.parametrize("sentences", [0.0, 1.0])
def test_negatives_differ_by_one_absent_noun(frames: Frames, batch: Batch, sentences: float):
    shown, absent = shown_categories(batch, len(frames.categories))
    config = BlipItmRecipe(pairs=5, sentences=sentences)
    rng = np.random.default_rng(0)
    texts, rows, match = write_pairs(frames, batch, shown, absent, config, rng)
    assert match.tolist() == [1, 0] * (len(texts) // 2)
    assert rows.tolist() == [row for row in range(4) for _ in range(10)]
    for right, wrong, row in zip(texts[::2], texts[1::2], rows[::2].tolist(), strict=True):
        assert right.startswith(PROMPT)
        inside, outside = names_of(frames, shown[row]), names_of(frames, absent[row])
        assert not any(f" {name}" in right for name in outside)
        new = [name for name in outside if f" {name}" in wrong]
        assert new
        lost = [name for name in inside if right.count(name) > wrong.count(name)]
        assert len(lost) == 1


def test_views_that_are_kept_are_those_that_were_seen(frames: Frames):
    tower = PyramidTower("resnet10t", channels=(16, 16, 32, 32)).eval()
    config = BlipItmRecipe(size=64, loop=LoopConfig(batch=2))
    parts = [look(frames, tower, config, torch.Generator().manual_seed(k)) for k in range(3)]
    drawn, batch = _Views(parts).draw(5, torch.Generator().manual_seed(9))
    assert drawn.shape == (5, 3, 64, 64)
    for row in range(5):
        (where,) = [
            (part, k)
            for part, (seen, views) in enumerate(parts)
            for k in range(2)
            if torch.equal(seen[k].half(), drawn[row])
        ]
        views, k = parts[where[0]][1], where[1]
        assert batch.index[row] == views.index[k]
        for key in ("labels", "instances", "colours"):
            assert torch.equal(getattr(batch, key)[row], getattr(views, key)[k])
    with torch.no_grad():
        again = tower.draw(frames.normalise(parts[0][1].images))
    torch.testing.assert_close(parts[0][0].float(), again, rtol=0, atol=0.2)  # bfloat16


def test_nothing_is_asked_about_views_that_show_nothing(frames: Frames, batch: Batch):
    nothing = torch.zeros(4, len(frames.categories), dtype=torch.bool)
    shown, absent = nothing.clone(), ~nothing
    shown[2, 0] = True
    rng = np.random.default_rng(0)
    _, rows, _ = write_pairs(frames, batch, shown, absent, RECIPE, rng)
    assert set(rows.tolist()) == {2}


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_hidden_patches_show_nothing(batch: Batch, share: float):
    dark, seen = hide(batch, share, torch.Generator().manual_seed(1))
    assert dark.shape == (4, 1, 48, 64)
    assert float(dark.float().mean()) == share
    assert (seen.labels[dark[:, 0]] == 0).all()
    assert torch.equal(seen.labels[~dark[:, 0]], batch.labels[~dark[:, 0]])
    assert torch.equal(seen.instances > 0, ~dark[:, 0])
    patches = dark[:, 0].view(4, 3, 16, 4, 16).float().mean((2, 4))
    assert set(patches.unique().tolist()) <= {0.0, 1.0}


@torch.no_grad()
def test_losses_are_the_heads_own(frames: Frames, trainer: _Trainer):
    model, tokenizer = trainer.model, build_tokenizer(frames, START)
    memory = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(3))
    texts, match = ["a mug", "a red mug on a table"], torch.tensor([1, 0])
    fits = [{"mug": True, "duck": False}, {"table": False}]
    expected, words = [], []
    for row, text in enumerate(texts):
        ids = tokenizer(text, return_tensors="pt").input_ids
        ids[0, 0] = tokenizer.convert_tokens_to_ids("[ENC]")
        seen = []
        handle = model.text_encoder.encoder.layer[0].register_forward_hook(
            lambda module, inputs, output, seen=seen: seen.append(output)
        )
        states = model.text_encoder(input_ids=ids, encoder_hidden_states=memory[row : row + 1])[0]
        handle.remove()
        expected.append(-model.itm_head(states[:, 0]).log_softmax(-1)[0, match[row]])
        (name, right) = (("mug", 1), ("table", 0))[row]
        place = 1 + text.split().index(name)  # a token is a word, behind [ENC]
        words.append(-model.itm_head(seen[0][:, place]).log_softmax(-1)[0, right])
    found = match_losses(model, tokenizer, memory, texts, match, fits)
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


@torch.no_grad()
def test_contrast_is_the_cross_entropy_of_what_is_shown(frames: Frames, trainer: _Trainer):
    model, tokenizer = trainer.model, build_tokenizer(frames, START)
    first = torch.randn(2, 64, generator=torch.Generator().manual_seed(5))
    names = ["a mug", "a duck", "a table"]
    shown = torch.tensor([[True, False, True], [False, False, False]])
    found = contrast_loss(trainer, tokenizer, first, names, shown)
    texts = [model.text_proj(model.text_encoder(**tokenizer(n, return_tensors="pt"))[0][:, 0])
             for n in names]  # fmt: skip
    cosines = F.cosine_similarity(model.vision_proj(first[:1]), torch.cat(texts))
    odds = (10 * cosines).log_softmax(0)
    torch.testing.assert_close(found, -(odds[0] + odds[2]) / 2 / 2)  # two views, one shows nothing


def test_the_start_mark(frames: Frames):
    tokenizer = build_tokenizer(frames, START)
    config = itm_config(RECIPE, tokenizer)
    assert config.text_config.bos_token_id == tokenizer.convert_tokens_to_ids("[ENC]")
    assert tokenizer.convert_tokens_to_ids("[ENC]") != tokenizer.unk_token_id


@torch.no_grad()
def test_a_new_model_sees_differences(frames: Frames):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = BlipForImageTextRetrieval(itm_config(RECIPE, build_tokenizer(frames, START)))
        memory = model.vision_model(torch.randn(1, 3, 32, 32)).last_hidden_state
    assert float(memory[0, 1:].std(0).mean()) > 0.1
