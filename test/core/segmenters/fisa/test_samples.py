"""Large-scale jitter: image and segments stay together, crops and padding are where they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ovseg_ros.evaluation.datasets import Sample
from ovseg_ros.evaluation.datasets.base import Segment, Segments
from ovseg_ros.segmenters.fisa.samples import PanopticViews


def sample() -> Sample:
    """A picture (40, 60) whose colours are its segments: 50 everywhere, a box of 200."""
    ids = np.full((40, 60), 7, np.int32)
    ids[10:30, 20:50] = 300
    ids[:3] = 9  # a crowd
    image = np.where(ids == 300, 200, 50).astype(np.uint8)[..., None].repeat(3, 2)
    of = {7: Segment(2, False), 300: Segment(1, False), 9: Segment(1, True)}
    return Sample(
        id="one", image=image, labels=np.ones((40, 60), np.uint8), segments=Segments(ids=ids, of=of)
    )


def views(crop: tuple[int, int] = (32, 32), **options: Any) -> PanopticViews:
    return PanopticViews([sample()], crop, options.pop("scale", (0.5, 2.0)), **options)


@pytest.mark.parametrize("draws", [(0.0, 0, 0, 0.9), (1.0, 0.5, 0.5, 0.9), (0.6, 1.0, 0.0, 0.1)])
def test_segments_lie_where_the_image_shows_them(draws: tuple[float, ...]):
    found = views().view(sample(), draws)
    assert found.image.shape == (3, 32, 32)
    assert found.ids.shape == (32, 32)
    masks = found.masks()
    for label, mask in zip(found.labels.tolist(), masks, strict=True):
        colours = found.image[0][mask > 0].float()
        want = 200.0 if label == 0 else 50.0
        assert (colours - want).abs().median() < 1
    assert set(found.labels.tolist()) <= {0, 1}


def test_what_is_small_is_padded_and_belongs_to_nobody():
    found = views(scale=(0.5, 0.5)).view(sample(), (0, 0, 0, 0.9))
    height, width = round(40 * 32 / 60 * 0.5), 16
    assert not found.ids[height:].any()
    assert not found.ids[:, width:].any()
    assert (found.image[:, height:] == 124).all()


def test_crowds_are_not_learnt():
    found = views(scale=(1.0, 1.0)).view(sample(), (0, 0, 0, 0.9))
    assert sorted(found.labels.tolist()) == [0, 1]
    assert not found.ids[0].any()


def test_slivers_are_left_out():
    found = views(scale=(1.0, 1.0), least=400).view(sample(), (0, 0, 0, 0.9))
    assert found.labels.tolist() == [1]  # the box has 16 x 11 pixels, what is around it more


def test_a_flip_mirrors_both():
    plain = views(scale=(1.0, 1.0)).view(sample(), (0, 0, 0, 0.9))
    mirrored = views(scale=(1.0, 1.0)).view(sample(), (0, 0, 0, 0.1))
    assert torch.equal(plain.image[..., :32].flip(2), mirrored.image[..., :32])
    assert torch.equal(plain.ids.flip(1), mirrored.ids)


def test_the_same_generator_draws_the_same_view():
    first, other = (views().draw(torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first.image, other.image)
    assert torch.equal(first.ids, other.ids)


def test_data_without_segments_is_refused():
    plain = Sample(id="two", image=np.zeros((4, 4, 3), np.uint8), labels=np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="panoptic ground truth, two has none"):
        views().view(plain, (0, 0, 0, 0))
