"""X-Decoder's losses: by hand, and against torch's own pieces."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.segmenters.xdecoder.losses import (
    Segments,
    class_loss,
    find_segments,
    mask_losses,
    match_queries,
    pixel_loss,
    summed_loss,
)


def two_halves() -> Segments:
    """Text 1 on the left half, text 0 on the right one; text 2 nowhere."""
    shares = torch.zeros(1, 4, 4, 3)
    shares[0, :, :2, 1] = 1.0
    shares[0, :, 2:, 0] = 1.0
    return find_segments(shares, least=1.0)


def draw(queries: int, texts: int) -> tuple[torch.Tensor, torch.Tensor, Segments]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, queries, texts + 1, generator=generator)
    masks = torch.randn(2, queries, 4, 6, generator=generator)
    shares = torch.randn(2, 4, 6, texts, generator=generator).softmax(-1)
    return logits, masks, Segments(shares, [torch.tensor([0, 2]), torch.tensor([1])])


def test_segments_are_what_covers_enough():
    segments = two_halves()
    assert [present.tolist() for present in segments.present] == [[0, 1]]
    masks = segments.masks(0)
    assert masks.shape == (2, 4, 4)
    assert masks[0, :, 2:].min() == 1
    assert masks[0, :, :2].max() == 0
    assert find_segments(segments.shares, least=9.0).present[0].tolist() == []


def test_halves_are_means():
    shares = torch.rand(1, 4, 6, 2)
    small = Segments(shares, [torch.tensor([0])]).halved().shares
    assert small.shape == (1, 2, 3, 2)
    torch.testing.assert_close(small[0, 1, 2], shares[0, 2:4, 4:6].mean((0, 1)))


def test_the_cheapest_pairs_are_found():
    logits, masks, segments = draw(queries=4, texts=3)
    pairs = match_queries(logits, masks, segments)

    def cost(row: int, query: int, text: int) -> float:
        target, found = segments.shares[row, ..., text], masks[row, query]
        inside = found.sigmoid()
        dice = 1 - (2 * (inside * target).sum() + 1) / (inside.sum() + target.sum() + 1)
        cross = F.binary_cross_entropy_with_logits(found, target)
        return float(5 * cross + 5 * dice - 2 * logits[row, query].softmax(0)[text])

    for row, (queries, numbers) in enumerate(pairs):
        texts = segments.present[row]
        choices = itertools.permutations(range(4), len(texts))
        best = min(
            choices, key=lambda c: sum(cost(row, q, int(t)) for q, t in zip(c, texts, strict=True))
        )
        found = {int(texts[n]): int(q) for q, n in zip(queries, numbers, strict=True)}
        assert found == dict(zip(texts.tolist(), best, strict=True))


def test_mask_losses_by_hand():
    segments = two_halves()
    masks = torch.zeros(1, 3, 4, 4)
    masks[0, 2, :, :2], masks[0, 2, :, 2:] = 20.0, -20.0  # text 1, perfectly
    pairs = [(torch.tensor([0, 2]), torch.tensor([0, 1]))]  # query 0 knows nothing of text 0
    cross, dice = mask_losses(masks, segments, pairs)
    assert float(cross) == pytest.approx(math.log(2) / 2, abs=1e-5)
    assert float(dice.detach()) == pytest.approx((1 - (2 * 4 + 1) / (8 + 8 + 1)) / 2, abs=1e-5)


def test_no_segments_cost_nothing_and_have_a_gradient():
    masks = torch.randn(1, 3, 4, 4, requires_grad=True)
    segments = find_segments(torch.zeros(1, 4, 4, 2), least=1.0)
    logits = torch.zeros(1, 3, 3)
    pairs = match_queries(logits, masks, segments)
    assert [len(queries) for queries, _ in pairs] == [0]
    cross, dice = mask_losses(masks, segments, pairs)
    assert float(cross.detach()) == float(dice.detach()) == 0
    (cross + dice).backward()
    assert summed_loss(logits, masks.detach(), segments, torch.ones(2)) == 0
    assert pixel_loss(torch.randn(1, 4, 4, 2), segments, torch.ones(2)) == 0
    assert float(class_loss(logits, segments, pairs)) == pytest.approx(math.log(3))


def test_unmatched_queries_are_background():
    logits, _, segments = draw(queries=4, texts=3)
    pairs = [
        (torch.tensor([1, 3]), torch.tensor([1, 0])),
        (torch.tensor([0]), torch.tensor([0])),
    ]
    wanted = torch.tensor([[3, 2, 3, 0], [1, 3, 3, 3]])
    losses = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
    weights = torch.where(wanted.flatten() == 3, 0.1, 1.0)
    expected = (losses * weights).sum() / weights.sum()
    torch.testing.assert_close(class_loss(logits, segments, pairs), expected)


def test_the_summed_map_is_the_one_that_inference_reads():
    logits, masks, segments = draw(queries=4, texts=3)
    rarity = torch.tensor([1.0, 2.0, 0.5])
    total = weight = 0.0
    for row, i, j in itertools.product(range(2), range(4), range(6)):
        inside = masks[row, :, i, j].sigmoid()
        for text in range(3):
            odds = logits[row].softmax(-1)[:, text]
            shares = segments.shares[row, i, j]
            rare = (shares * rarity).sum() / shares.sum()  # the cell's, not the text's
            share = shares[text] * rare
            total -= float(
                share * torch.log(((odds * inside).sum() + 1e-4) / (inside.sum() + 1e-3))
            )
            weight += float(share)
    found = summed_loss(logits, masks, segments, rarity)
    assert float(found) == pytest.approx(total / weight, rel=1e-4)


def test_a_rare_text_counts_more_but_does_not_take_the_cells_on_its_border():
    segments = find_segments(torch.tensor([0.7, 0.3]).expand(1, 4, 4, 2), least=1.0)
    rarity = torch.tensor([1.0, 9.0])
    torch.testing.assert_close(
        segments.weights(rarity)[0, 0, 0], torch.tensor([0.7, 0.3]) * (0.7 + 0.3 * 9)
    )
    best = torch.zeros(2, requires_grad=True)
    for _ in range(200):
        (slope,) = torch.autograd.grad(pixel_loss(best.expand(1, 4, 4, 2), segments, rarity), best)
        best = (best - slope).detach().requires_grad_()
    torch.testing.assert_close(best.softmax(0), torch.tensor([0.7, 0.3]), atol=1e-3, rtol=0)


def test_pixels_have_weighted_cross_entropy():
    _, _, segments = draw(queries=4, texts=3)
    logits = torch.randn(2, 4, 6, 3)
    rarity = torch.tensor([1.0, 2.0, 0.5])
    shares = segments.shares.flatten(0, 2)
    rare = shares @ rarity / shares.sum(1)
    losses = rare @ F.cross_entropy(logits.flatten(0, 2), shares, reduction="none")
    expected = losses / (rare @ shares.sum(1))
    torch.testing.assert_close(pixel_loss(logits, segments, rarity), expected)
