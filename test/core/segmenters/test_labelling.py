"""From similarities to masks: what up-sampling all would give, at the cost of the winners."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.segmenters import labelling
from ovseg_ros.segmenters.labelling import CHIEF, label_pixels


def naive(
    logits: torch.Tensor,
    ids: np.ndarray,
    *,
    size_hw: tuple[int, int],
    temperature: float,
    background: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Bring every category to image size, take the best and its softmax, in float64."""
    maps = F.interpolate(logits.double(), size=size_hw, mode="bilinear").numpy()
    if background is not None:
        maps = np.concatenate([np.full_like(maps[:, :1], background), maps], 1)
        ids = np.concatenate([[0], ids])
    odds = np.exp((maps - maps.max(1, keepdims=True)) / temperature)
    share = odds.max(1) / odds.sum(1)
    return ids[maps.argmax(1)], np.rint(share * 255).astype(np.uint8)


def test_two_categories_side_by_side():
    logits = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])  # (1, 2, 1, 2)
    ids = np.array([3, 7], np.uint16)
    labels, confidence = label_pixels(logits, ids, size_hw=(2, 4), temperature=0.5)
    # The first category falls as 1, 0.75, 0.25, 0 along the row, and the second rises.
    far, near = (round(255 / (1 + math.exp(-gap / 0.5))) for gap in (1.0, 0.5))
    assert labels.tolist() == [[[3, 3, 7, 7]] * 2]
    assert confidence.tolist() == [[[far, near, near, far]] * 2]
    assert (labels.dtype, confidence.dtype) == (np.uint8, np.uint8)


def test_the_background_takes_what_nothing_resembles():
    logits = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    ids = np.array([3, 7], np.uint16)
    options = {"size_hw": (1, 4), "temperature": 0.5}
    labels, confidence = label_pixels(logits, ids, background=0.8, **options)
    assert labels.tolist() == [[[3, 0, 0, 7]]]
    expected = 1 / (1 + math.exp(-0.2 / 0.5) + math.exp(-1 / 0.5))
    assert confidence[0, 0, 0] == round(255 * expected)
    assert label_pixels(logits, ids, background=0.1, **options)[0].tolist() == [[[3, 3, 7, 7]]]
    assert label_pixels(logits, ids, background=2.0, **options)[0].tolist() == [[[0, 0, 0, 0]]]


@pytest.mark.parametrize("background", [None, 0.4])
@pytest.mark.parametrize(
    ("batch", "categories", "grid", "size_hw"),
    [
        (1, 1, (1, 1), (1, 1)),
        (1, 1, (3, 4), (1, 1)),
        (1, 5, (6, 8), (48, 64)),
        (3, 5, (6, 8), (37, 53)),
        (2, 16, (12, 12), (5, 90)),
        (1, 4, (6, 8), (2, 3)),
        (2, 3, (9, 7), (9, 7)),
    ],
)
def test_equals_bringing_all_categories_to_image_size(
    batch: int,
    categories: int,
    grid: tuple[int, int],
    size_hw: tuple[int, int],
    background: float | None,
):
    logits = torch.rand(batch, categories, *grid, generator=torch.Generator().manual_seed(1))
    winners = [len(set(image.argmax(0).flatten().tolist())) for image in logits]
    assert winners == [categories] * batch  # all of them win somewhere
    ids = np.arange(categories).astype(np.uint16) * 2 + 1
    options = {"size_hw": size_hw, "temperature": 0.1, "background": background}
    labels, confidence = label_pixels(logits, ids, **options)
    expected_labels, expected_confidence = naive(logits, ids, **options)
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_allclose(confidence, expected_confidence, atol=1)  # float32 rounds


def test_a_batch_is_labelled_like_its_images_alone():
    logits = torch.rand(3, 40, 6, 8, generator=torch.Generator().manual_seed(2)) * 0.5
    logits[0, :12] += 1  # three images with other winners each, more than 16 in all,
    logits[1, 12:30] += 1
    logits[2, 35] += 1  # of which the last has one only
    ids = np.arange(1, 41).astype(np.uint16)
    options = {"size_hw": (24, 32), "temperature": 0.1}
    labels, confidence = label_pixels(logits, ids, **options)
    for row in range(3):
        alone = label_pixels(logits[row : row + 1], ids, **options)
        np.testing.assert_array_equal(labels[row], alone[0][0])
        np.testing.assert_array_equal(confidence[row], alone[1][0])
    assert len(np.unique(labels[:2])) > CHIEF
    assert np.unique(labels[2]).tolist() == [36]
    assert (confidence[2] == 255).all()


@pytest.mark.parametrize(
    ("ids", "dtype"),
    [([1, 254], np.uint8), ([1, 255], np.uint16), ([300, 65_534], np.uint16)],
)
def test_masks_are_16_bit_where_an_id_of_the_vocabulary_needs_it(ids: list[int], dtype: type):
    logits = torch.tensor([[[[1.0]], [[0.0]]]])  # also where that id wins nothing
    for order in (ids, ids[::-1]):
        labels, confidence = label_pixels(
            logits, np.array(order, np.uint16), size_hw=(2, 2), temperature=0.1
        )
        assert labels.dtype == dtype
        assert (labels == order[0]).all()
        assert confidence.dtype == np.uint8


def test_what_the_background_surpasses_everywhere_is_no_competition():
    generator = torch.Generator().manual_seed(0)
    logits, ids = torch.rand(2, 20, 6, 8, generator=generator), np.arange(1, 21, dtype=np.uint16)
    logits[:, 10:] = 0.4 - 0.1 * logits[:, 10:]  # never labelled
    how = {"size_hw": (48, 64), "temperature": 0.05, "background": 0.4}
    alone = label_pixels(logits[:, :10], ids[:10], **how)
    for found, expected in zip(label_pixels(logits, ids, **how), alone, strict=True):
        np.testing.assert_array_equal(found, expected)
    for background in (0.4, 0.5, 0.165 + 0.3, 0.7):
        labels, _ = label_pixels(logits[:, 10:], ids[10:], **{**how, "background": background})
        assert not labels.any()


def test_ties_go_to_the_smaller_id():
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 2, 0, 0] = 1
    logits[0, 1, 0, 1] = 1
    labels, confidence = label_pixels(
        logits, np.array([4, 5, 6], np.uint16), size_hw=(1, 1), temperature=0.1
    )
    assert labels.tolist() == [[[5]]]
    assert confidence.tolist() == [[[128]]]


def test_what_wins_no_patch_may_win_between_two():
    """Between two patches the second best of both can be the best."""
    logits = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]], [[0.6, 0.6]]]])
    ids = np.array([1, 2, 3], np.uint16)
    options = {"size_hw": (1, 64), "temperature": 0.1}
    labels, _ = label_pixels(logits, ids, **options)
    expected, _ = naive(logits, ids, **options)
    assert np.unique(labels).tolist() == [1, 2, 3]
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("background", [None, 0.7])
@pytest.mark.parametrize("size_hw", [(60, 80), (61, 43), (7, 90), (5, 5), (20, 30)])
@pytest.mark.parametrize("kind", ["noise", "objects", "ties"])
@pytest.mark.parametrize("categories", [CHIEF + 1, 60, 400])
def test_any_number_of_categories_is_labelled(
    categories: int, kind: str, size_hw: tuple[int, int], background: float | None
):
    """Equal to bringing all to image size, whether few or all win, and on any grid."""
    generator = torch.Generator().manual_seed(categories)
    logits = torch.rand(2, categories, 9, 13, generator=generator)
    if kind == "objects":  # smooth maps with many small objects
        logits = F.interpolate(logits[..., :4, :5], (9, 13), mode="bicubic")
    if kind == "ties":
        logits = (logits * 4).round() / 4
    ids = np.arange(1, categories + 1).astype(np.uint16)
    options = {"size_hw": size_hw, "temperature": 0.1, "background": background}
    labels, confidence = label_pixels(logits, ids, **options)
    # Rounding decides between nearly equal ones, so it is the value that must be the best.
    maps = F.interpolate(logits.double(), size=size_hw, mode="bilinear")
    nothing = torch.full_like(maps[:, :1], -1.0 if background is None else background)
    maps = torch.cat([nothing, maps], 1)
    own = maps.gather(1, torch.from_numpy(labels.astype(np.int64))[:, None])[:, 0]
    torch.testing.assert_close(own, maps.amax(1), atol=1e-6, rtol=0)
    assert (confidence > 0).all()


def test_small_objects_do_not_vanish_among_many():
    """A hundred categories with one patch each, on a floor that fills the rest."""
    logits = torch.zeros(1, 101, 30, 30)
    logits[0, 0] = 0.5
    where = torch.arange(100)
    logits[0, 1 + where, 3 * (where // 10), 3 * (where % 10)] = 1.0
    ids = np.arange(1, 102).astype(np.uint16)
    labels, _ = label_pixels(logits, ids, size_hw=(240, 240), temperature=0.1)
    assert len(np.unique(labels)) == 101


def test_chunks_bound_the_memory_and_change_nothing(monkeypatch: pytest.MonkeyPatch):
    logits = torch.rand(1, 80, 12, 9, generator=torch.Generator().manual_seed(0))
    ids = np.arange(1, 81).astype(np.uint16)
    options = {"size_hw": (50, 41), "temperature": 0.1}
    whole = label_pixels(logits, ids, **options)
    monkeypatch.setattr(labelling, "CHUNK", 200)
    for one, other in zip(label_pixels(logits, ids, **options), whole, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("categories", "enlarged"), [(3, 3), (30, CHIEF), (300, CHIEF), (1000, CHIEF)]
)
def test_the_cost_at_image_size_does_not_grow_with_the_vocabulary(
    monkeypatch: pytest.MonkeyPatch, categories: int, enlarged: int
):
    channels: list[int] = []
    real = labelling._enlarge

    def counting(maps: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
        channels.append(len(maps))
        return real(maps, size_hw)

    monkeypatch.setattr(labelling, "_enlarge", counting)
    logits = torch.zeros(1, categories, 30, 40)
    many = torch.arange(1200).sqrt().long().flip(0) % categories  # the first win most patches
    logits.view(categories, -1)[many, torch.arange(1200)] = 1
    ids = np.arange(1, categories + 1).astype(np.uint16)
    labels, _ = label_pixels(logits, ids, size_hw=(60, 80), temperature=0.1)
    assert channels == [enlarged]
    assert len(np.unique(labels)) == min(categories, 35)
