"""The criterion by hand: what is matched, what counts, what does not."""

from __future__ import annotations

import math

import pytest
import torch

from ovseg_ros.segmenters.fisa.losses import fisa_losses


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Masks of four proposals, two of them the left and the right half, and those as targets."""
    halves = torch.zeros(2, 8, 8)
    halves[0, :, :4], halves[1, :, 4:] = 1.0, 1.0
    masks = torch.full((1, 4, 8, 8), -12.0)
    masks[0, 1], masks[0, 3] = 24 * halves[0] - 12, 24 * halves[1] - 12
    return masks, halves


def test_right_names_on_right_masks_cost_nothing():
    masks, halves = scene()
    logits = torch.zeros(1, 4, 4)
    logits[0, 1, 2], logits[0, 3, 0] = 50.0, 50.0
    found = fisa_losses(logits, masks, [halves], [torch.tensor([2, 0])], points=64)
    assert float(found["class"]) < 1e-6
    # Points are sampled where masks are least sure, between pixels: at the border of the halves.
    assert float(found["mask"]) < 1.5
    wrong = fisa_losses(logits, masks, [halves], [torch.tensor([0, 2])], points=64)
    assert float(wrong["class"]) > 40


def test_only_matched_proposals_are_named():
    """Of four proposals two belong to segments; what the others say does not matter."""
    masks, halves = scene()
    logits = torch.zeros(1, 4, 4)
    found = fisa_losses(logits, masks, [halves], [torch.tensor([2, 0])], points=64)
    assert float(found["class"]) == pytest.approx(math.log(4))
    logits[0, 0] = torch.tensor([90.0, -90.0, 9.0, 0.0])
    again = fisa_losses(logits, masks, [halves], [torch.tensor([2, 0])], points=64)
    assert float(again["class"]) == pytest.approx(math.log(4))


def test_parts_are_weighed_2_5_5():
    torch.manual_seed(0)
    masks, halves = scene()
    masks = masks / 10 + torch.randn_like(masks)
    logits = torch.randn(1, 4, 4)
    found = fisa_losses(logits, masks, [halves], [torch.tensor([1, 1])], points=64)
    whole = 2 * found["class"] + 5 * found["mask"] + 5 * found["dice"]
    assert float(found["loss"]) == pytest.approx(float(whole), rel=1e-6)


def test_images_without_segments_cost_nothing_and_keep_the_graph():
    masks, halves = scene()
    masks = masks.repeat(2, 1, 1, 1).requires_grad_()
    logits = torch.zeros(2, 4, 4, requires_grad=True)
    nothing = torch.zeros(0, 8, 8), torch.zeros(0, dtype=torch.int64)
    one = fisa_losses(
        logits, masks, [halves, nothing[0]], [torch.tensor([2, 0]), nothing[1]], points=64
    )
    one["loss"].backward()
    assert logits.grad is not None
    assert not logits.grad[1].any()
    none = fisa_losses(logits, masks, [nothing[0]] * 2, [nothing[1]] * 2, points=64)
    none["loss"].backward()
    assert float(none["loss"].detach()) == 0.0
