"""Merging proposals: rules by hand, chunks, and PQ against torchmetrics on what comes out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.detection import PanopticQuality

from ovseg_ros.evaluation.datasets.base import Segment as TrueSegment
from ovseg_ros.evaluation.datasets.base import Segments
from ovseg_ros.evaluation.metrics.panoptic import ClassCounts, mean_quality, score_segments
from ovseg_ros.segmenters.fisa import panoptic
from ovseg_ros.segmenters.fisa.panoptic import Rules, list_segments, merge_proposals

THINGS = torch.tensor([True, True, False])
"""Names 0 and 1 are countable, 2 is not."""


def boxes(*places: tuple[int, int, int, int], size: int = 8, sure: float = 6.0) -> Tensor:
    """Masks of boxes (top, bottom, left, right), (Q, size, size) logits."""
    masks = torch.full((len(places), size, size), -sure)
    for mask, (top, bottom, left, right) in zip(masks, places, strict=True):
        mask[top:bottom, left:right] = sure
    return masks


def odds(*names: tuple[int, float]) -> Tensor:
    """Probabilities (Q, 3): of one name, the rest shared among the others."""
    found = torch.zeros(len(names), 3)
    for row, (name, chance) in zip(found, names, strict=True):
        row[:] = (1 - chance) / 2
        row[name] = chance
    return found


def merge(
    masks: Tensor, chances: Tensor, *, size: int = 8, rules: Rules | None = None
) -> tuple[np.ndarray, list[tuple[int, float]]]:
    def enlarge(own: Tensor) -> Tensor:
        return F.interpolate(own, size=(size, size), mode="nearest")

    ids, found = merge_proposals(masks, chances, THINGS, enlarge, (size, size), rules or Rules())
    return ids.numpy(), found


def test_two_things_and_stuff():
    masks = boxes((0, 4, 0, 4), (4, 8, 4, 8), (0, 4, 4, 8))
    ids, found = merge(masks, odds((0, 0.9), (0, 0.8), (2, 0.7)))
    assert [name for name, _ in found] == [0, 0, 2]
    assert (ids[:4, :4] == 1).all()
    assert (ids[4:, 4:] == 2).all()
    assert (ids[:4, 4:] == 3).all()
    assert (ids[4:, :4] == 0).all()


def test_parts_of_stuff_are_one_segment_scored_by_area():
    masks = boxes((0, 6, 0, 8), (6, 8, 0, 8))
    ids, found = merge(masks, odds((2, 0.9), (2, 0.5)))
    assert (ids == 1).all()
    assert found == [(2, pytest.approx(0.9 * 0.75 + 0.5 * 0.25))]


def test_a_weak_name_is_no_segment():
    ids, found = merge(boxes((0, 8, 0, 8)), odds((0, 0.4)), rules=Rules(score=0.41))
    assert not ids.any()
    assert found == []


def test_a_mask_that_lost_too_much_is_dropped_and_leaves_its_pixels_empty():
    masks = boxes((0, 8, 0, 8), (0, 8, 0, 6))
    chances = odds((0, 0.5), (1, 0.9))
    ids, found = merge(masks, chances)
    assert [name for name, _ in found] == [1]  # the first keeps 16 of 64 pixels
    assert not ids[:, 6:].any()
    _, found = merge(masks, chances, rules=Rules(overlap=0.25))
    assert [name for name, _ in found] == [0, 1]


def test_a_pixel_outside_of_the_winners_mask_is_nobodys():
    masks = torch.full((1, 8, 8), -0.1)
    ids, found = merge(masks, odds((0, 0.9)))
    assert not ids.any()
    assert found == []
    ids, _ = merge(masks, odds((0, 0.9)), rules=Rules(mask=0.4))
    assert ids.all()


@pytest.mark.parametrize("count", [0, 1])
def test_no_proposals_or_an_empty_mask(count: int):
    ids, found = merge(
        torch.full((count, 8, 8), -9.0), torch.ones(count, 3) / 3, rules=Rules(score=0)
    )
    assert not ids.any()
    assert found == []


@given(seed=st.integers(0, 200), step=st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_chunks_change_nothing(seed: int, step: int):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randn(7, 8, 8, generator=generator)
    chances = torch.randn(7, 3, generator=generator).softmax(-1)
    whole = merge(masks, chances)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panoptic, "CHUNK_PIXELS", step * 64)
        parts = merge(masks, chances)
    assert np.array_equal(whole[0], parts[0])
    assert whole[1] == parts[1]


def test_segments_are_listed_with_boxes():
    ids = np.zeros((6, 9), np.uint16)
    ids[1:3, 2:7], ids[5, 8] = 1, 2
    first, second = list_segments(ids, [(0, 0.5), (2, 1.0000001)], np.array([4, 5, 9]))
    assert (first.id, first.category_id, first.area, first.box_xywh) == (1, 4, 10, (2, 1, 5, 2))
    assert (second.category_id, second.score, second.box_xywh) == (9, 1.0, (8, 5, 1, 1))


def random_truth(rng: np.random.Generator, size: int) -> Segments:
    """Boxes of things on stuff."""
    ids, of = np.full((size, size), 1, np.int32), {1: TrueSegment(3, crowd=False)}
    for number in range(2, 6):
        top, left = rng.integers(0, size - 6, 2)
        high, wide = rng.integers(4, 12, 2)
        ids[top : top + high, left : left + wide] = number
        of[number] = TrueSegment(int(rng.integers(1, 3)), crowd=False)
    return Segments(ids=ids, of={i: s for i, s in of.items() if (ids == i).any()})


def proposals_near(truth: Segments, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Shifted masks of the truth with names that are mostly right, and noise."""
    masks, chances = [], []
    for number, segment in truth.of.items():
        mask = np.roll(truth.ids == number, rng.integers(-1, 2, 2), (0, 1))
        masks.append(np.where(mask, 4.0, -4.0) + rng.normal(0, 0.5, mask.shape))
        name = segment.label - 1 if rng.random() < 0.8 else int(rng.integers(3))
        chances.append(odds((name, float(rng.uniform(0.4, 0.99))))[0])
    masks.append(rng.normal(0, 2, truth.ids.shape))
    chances.append(odds((int(rng.integers(3)), 0.5))[0])
    return torch.from_numpy(np.stack(masks)).float(), torch.stack(chances)


def coloured(ids: np.ndarray, labels: dict[int, int]) -> Tensor:
    """Return (1, H, W, 2): class, 4 for none, and instance as torchmetrics wants them."""
    label = np.vectorize(lambda number: labels.get(number, 4))(ids)
    instance = np.where(label >= 3, 0, ids)  # of stuff all is one
    return torch.from_numpy(np.stack([label, instance], -1))[None].long()


def test_pq_of_what_comes_out_is_torchmetrics_own():
    rng, size = np.random.default_rng(0), 32
    # Pixels of no segment are a class that nobody has: as void they would leave the true areas.
    theirs = PanopticQuality(things={1, 2}, stuffs={3, 4}, return_per_class=True)
    ours: dict[int, ClassCounts] = {}
    for _ in range(8):
        truth = random_truth(rng, size)
        ids, found = merge(*proposals_near(truth, rng), size=size)
        labels = {n: name + 1 for n, (name, _) in enumerate(found, start=1)}
        for label, counts in score_segments(truth, ids, labels).items():
            ours.setdefault(label, ClassCounts()).add(counts)

        true = {i: s.label for i, s in truth.of.items()}
        theirs.update(coloured(ids, labels), coloured(truth.ids, true))
    mine = [ours[label].quality for label in (1, 2, 3)]
    assert 0.3 < mean_quality(ours).pq < 0.95  # neither trivial
    assert mine == pytest.approx(theirs.compute()[0, :3].tolist(), abs=1e-6)
