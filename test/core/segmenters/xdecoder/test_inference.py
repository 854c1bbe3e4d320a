"""Label masks from queries: the published sum, computed pixel by pixel, and its shortcuts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.segmenters.xdecoder import inference
from ovseg_ros.segmenters.xdecoder.inference import Sizes, contenders, label_queries


def draw(
    batch: int, queries: int, texts: int, padded: tuple[int, int], seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    masks = 4 * torch.randn(batch, queries, padded[0] // 4, padded[1] // 4, generator=generator)
    odds = (3 * torch.randn(batch, queries, texts + 1, generator=generator)).softmax(-1)
    return masks, odds


def published(masks: torch.Tensor, odds: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """Scores (B, K, H, W) of all texts but the background."""
    large = F.interpolate(masks, size=sizes.padded, mode="bicubic", antialias=True)
    large = large[..., : sizes.inner[0], : sizes.inner[1]]
    large = F.interpolate(large, size=sizes.outer, mode="bicubic", antialias=True)
    return torch.einsum("bqk,bqhw->bkhw", odds[..., :-1], large.sigmoid())


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes((64, 96), (64, 96), (64, 96)),
        Sizes((64, 96), (50, 75), (50, 75)),
        Sizes((64, 96), (50, 75), (100, 150)),
        Sizes((64, 96), (33, 66), (17, 34)),
    ],
)
@pytest.mark.parametrize("chunk", [1, 2**25])
def test_it_is_the_published_sum(sizes: Sizes, chunk: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inference, "CHUNK_PIXELS", chunk)  # 1: query by query
    masks, odds = draw(2, 9, 5, sizes.padded)
    ids = np.array([3, 4, 9, 11, 12], np.uint16)
    labels, confidence = label_queries(masks, odds[..., :-1], ids, sizes)
    scores = published(masks, odds, sizes)
    best, second = scores.topk(2, 1).values.unbind(1)
    sure = (best - second) > 1e-4
    assert sure.float().mean() > 0.95
    np.testing.assert_array_equal(labels[sure], ids[scores.argmax(1).numpy()][sure])
    whole = published(masks, torch.ones(2, 9, 2), sizes)[:, 0]
    np.testing.assert_allclose(confidence, 255 * best / whole, atol=0.51)


def test_by_hand():
    """Two queries on two halves; a third one says background everywhere."""
    masks = torch.full((1, 3, 8, 8), -20.0)
    masks[0, 0, :, :4] = masks[0, 1, :, 4:] = masks[0, 2] = 20.0
    odds = torch.tensor([[[0.8, 0.1], [0.3, 0.6], [0.1, 0.0]]])  # the rest is background
    sizes = Sizes((32, 32), (32, 32), (32, 32))
    labels, confidence = label_queries(masks, odds, np.array([5, 2], np.uint16), sizes)
    assert labels.dtype == confidence.dtype == np.uint8
    assert (labels[0, :, :12] == 5).all()
    assert (labels[0, :, 20:] == 2).all()
    # Left 0.8 + 0.1 of two masks, right 0.6 of two masks.
    assert (confidence[0, :, :12] == round(255 * 0.9 / 2)).all()
    assert (confidence[0, :, 20:] == round(255 * 0.6 / 2)).all()


def test_large_ids_need_16_bit():
    masks, odds = draw(1, 4, 2, (32, 32))
    sizes = Sizes((32, 32), (32, 32), (32, 32))
    labels, _ = label_queries(masks, odds[..., :-1], np.array([7, 300], np.uint16), sizes)
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) <= {7, 300}


def test_upsampling_scores_is_nearly_the_same():
    sizes = Sizes((128, 160), (120, 160), (240, 320))
    masks, odds = draw(2, 9, 5, (32, 40))  # smooth masks: random at stride 16
    masks = F.interpolate(masks, size=(32, 40), mode="bicubic")
    ids = np.arange(1, 6, dtype=np.uint16)
    exact, sure = label_queries(masks, odds[..., :-1], ids, sizes)
    fast, also = label_queries(masks, odds[..., :-1], ids, sizes, exact=False)
    assert fast.shape == exact.shape == (2, 240, 320)
    assert (fast == exact).mean() > 0.9
    assert np.abs(sure.astype(int) - also.astype(int)).mean() < 10


@pytest.mark.parametrize("exact", [True, False])
def test_padding_wins_nothing(exact: bool):
    """A text that wins on the padding only is no candidate."""
    masks = torch.full((1, 2, 16, 16), -9.0)
    masks[0, 0, :8] = 9.0
    masks[0, 1, 8:] = 9.0
    odds = torch.tensor([[[0.5, 0.0], [0.0, 1.0]]])
    sizes = Sizes((64, 64), (32, 64), (32, 64))
    labels, _ = label_queries(masks, odds, np.array([1, 2], np.uint16), sizes, exact=exact)
    assert (labels == 1).all()


def test_losers_of_one_image_do_not_win_there_because_they_win_in_another():
    scores = torch.zeros(2, 4, 2, 2)
    scores[0, 1], scores[1, 2], scores[1, 3, 0, 0] = 1.0, 1.0, 2.0
    winners, won = contenders([scores], 1.0)
    assert winners.shape == (2, 2)
    assert won.sum(1).tolist() == [1, 2]
    assert winners[0][won[0]].tolist() == [1]
    assert winners[1].tolist() == [2, 3]


@pytest.mark.parametrize("chunk", [4096, 2**25])
@pytest.mark.parametrize("exact", [True, False])
def test_any_number_of_categories_is_labelled(
    exact: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
):
    """Sixty queries on sixty places, each for a category of its own."""
    monkeypatch.setattr(inference, "CHUNK_PIXELS", chunk)
    masks = torch.full((1, 60, 16, 16), -12.0)
    for query in range(60):
        row, column = 2 * (query // 8), 2 * (query % 8)
        masks[0, query, row : row + 2, column : column + 2] = 12.0
    odds = 0.9 * torch.eye(60)[None] + 0.001
    sizes = Sizes((64, 64), (64, 64), (64, 64))
    ids = np.arange(1, 61, dtype=np.uint16)
    labels, _ = label_queries(masks, odds, ids, sizes, exact=exact)
    assert len(np.unique(labels)) == 60
    scores = published(masks, torch.cat([odds, odds[..., :1]], -1), sizes)
    best, second = scores.topk(2, 1).values.unbind(1)
    sure = (best - second) > 1e-4
    agree = (labels == ids[scores.argmax(1).numpy()])[sure]
    assert sure.float().mean() > 0.9
    assert agree.mean() > (0.999 if exact else 0.9)


def test_what_is_weak_at_every_place_may_win_where_two_masks_meet():
    masks = torch.full((1, 3, 8, 8), 1.3)
    masks[0, 0, :, 4:] = masks[0, 1, :, :4] = -1.3
    masks[0, 2] = 0.45  # 0.61 everywhere, between 0.79 and 0.21 of the others
    sizes = Sizes((32, 32), (32, 32), (32, 32))
    scores = published(masks, torch.eye(3, 4)[None], sizes)
    labels, _ = label_queries(masks, torch.eye(3)[None], np.array([1, 2, 3], np.uint16), sizes)
    assert np.unique(labels).tolist() == [1, 2, 3]
    np.testing.assert_array_equal(labels, scores.argmax(1).numpy() + 1)


@pytest.mark.parametrize("texts", [60, 150])
def test_many_categories_on_noise(texts: int):
    sizes = Sizes((160, 208), (150, 200), (120, 160))
    masks, odds = draw(1, 101, texts, sizes.padded)
    ids = np.arange(1, texts + 1, dtype=np.uint16)
    scores = published(masks, odds, sizes)
    best, second = scores.topk(2, 1).values.unbind(1)
    sure = (best - second) > 1e-4
    labels, _ = label_queries(masks, odds[..., :-1], ids, sizes)
    assert sure.float().mean() > 0.95
    np.testing.assert_array_equal(labels[sure], ids[scores.argmax(1).numpy()][sure])


@pytest.mark.parametrize("exact", [True, False])
def test_only_contenders_are_brought_to_image_size(exact: bool, monkeypatch: pytest.MonkeyPatch):
    masks, odds = draw(1, 6, 300, (32, 32))
    odds[..., 5:-1] /= 100  # five of three hundred can win
    sizes = Sizes((32, 32), (32, 32), (64, 64))
    shapes = []
    original = F.interpolate

    def spy(x: torch.Tensor, **options: object) -> torch.Tensor:
        shapes.append(x.shape[1])
        return original(x, **options)

    monkeypatch.setattr(F, "interpolate", spy)
    label_queries(masks, odds[..., :-1], np.arange(1, 301, dtype=np.uint16), sizes, exact=exact)
    assert max(shapes) <= 10
