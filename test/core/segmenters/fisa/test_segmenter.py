"""FISA from end to end on tiny models: what goes in and out, and the edges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ovseg_ros.pipeline import build_pipeline
from ovseg_ros.presets import pipeline_options
from ovseg_ros.segmenters.fisa.checkpoint import load_fisa
from ovseg_ros.segmenters.fisa.pyramid import PyramidMaps
from ovseg_ros.types import Segmentation, Vocabulary

WORDS = ("mug", "duck", "floor", "robot arm")


def picture(height: int = 72, width: int = 96, count: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    return small.repeat(-(-height // 6), 1).repeat(-(-width // 8), 2)[:, :height, :width]


def check(found: Segmentation, images: np.ndarray) -> None:
    """What every result promises."""
    assert found.labels.shape == images.shape[:3]
    assert found.segment_ids is not None
    known = {category.id for category in found.vocabulary.categories}
    for ids, segments in zip(found.segment_ids, found.segments, strict=True):
        assert [s.id for s in segments] == list(range(1, len(segments) + 1))
        for segment in segments:
            where = ids == segment.id
            assert segment.area == where.sum()
            assert segment.category_id in known
            rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
            x, y, width, height = segment.box_xywh
            assert (x, y) == (columns[0], rows[0])
            assert (x + width - 1, y + height - 1) == (columns[-1], rows[-1])
        assert set(np.unique(ids).tolist()) - {0} == {s.id for s in segments}
    stuff = {c.id for c in found.vocabulary.categories if not c.is_thing}
    for segments in found.segments:
        merged = [s.category_id for s in segments if s.category_id in stuff]
        assert len(merged) == len(set(merged))


def test_labels_and_segments(build: Any):
    images = picture(count=2)
    words = Vocabulary.of(*WORDS, stuff=["floor"])
    found = build(score=0.0, overlap=0.0).segment(images, words)
    check(found, images)
    assert set(np.unique(found.labels)) <= {1, 2, 3, 4}
    assert any(found.segments)


@pytest.mark.parametrize("upsample", ["masks", "winners"])
def test_a_batch_is_labelled_as_its_images_alone(build: Any, upsample: str):
    segmenter, images = build(upsample=upsample, score=0.0), picture(count=2)
    images[1] = images[1, ::-1]
    words = Vocabulary.of(*WORDS)
    both = segmenter.segment(images, words)
    for row in range(2):
        alone = segmenter.segment(images[row : row + 1], words)
        assert (both.labels[row] == alone.labels[0]).mean() > 0.999
        assert len(both.segments[row]) == len(alone.segments[0])


def test_the_order_of_the_names_changes_no_mask(build: Any):
    segmenter, images = build(score=0.0), picture()
    first = segmenter.segment(images, Vocabulary.of(*WORDS))
    other = segmenter.segment(images, Vocabulary.of(*WORDS[::-1]))
    assert np.array_equal(first.labels, 5 - other.labels)
    assert np.array_equal(first.confidence, other.confidence)
    assert np.array_equal(first.segment_ids, other.segment_ids)
    assert [5 - s.category_id for s in first.segments[0]] == [
        s.category_id for s in other.segments[0]
    ]


def test_no_name_and_one_name(build: Any):
    segmenter, images = build(), picture()
    assert not segmenter.segment(images, Vocabulary()).labels.any()
    found = segmenter.segment(images, Vocabulary.of("mug"))
    check(found, images)
    assert (found.labels == 1).all()


def test_a_thousand_names(build: Any):
    images = picture()
    words = Vocabulary.of(*(f"thing {number}" for number in range(1000)))
    found = build(score=0.0).segment(images, words)
    check(found, images)
    assert found.labels.dtype == np.uint16


@pytest.mark.parametrize("size", [(1, 1), (2, 200), (300, 3), (20, 20)])
def test_tiny_and_sliver_images(build: Any, size: tuple[int, int]):
    images = picture(*size)
    check(build(score=0.0).segment(images, Vocabulary.of(*WORDS)), images)


def test_a_huge_image(build: Any):
    images = picture(2000, 3000)
    found = build(upsample="winners").segment(images, Vocabulary.of(*WORDS))
    check(found, images)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(build: Any, dtype: str):
    images, words = picture(), Vocabulary.of(*WORDS)
    found = build(dtype=dtype, score=0.0).segment(images, words)
    check(found, images)
    full = build(score=0.0).segment(images, words)
    assert (found.labels == full.labels).mean() > 0.9


def test_nothing_certain_is_no_segment(build: Any):
    images = picture()
    found = build(score=1.0).segment(images, Vocabulary.of(*WORDS))
    check(found, images)
    assert found.segments == ((),)
    assert found.labels.any()


def test_empty_masks_win_nothing(build: Any, monkeypatch: pytest.MonkeyPatch):
    segmenter, images = build(score=0.0), picture()
    generator = segmenter.model.generator
    empty = torch.full((1, 6, 24, 32), -30.0), torch.ones(1, 6)
    monkeypatch.setattr(type(generator), "propose", lambda self, images: empty)
    found = segmenter.segment(images, Vocabulary.of(*WORDS))
    check(found, images)
    assert found.segments == ((),)


def test_no_proposals_at_all(build: Any, monkeypatch: pytest.MonkeyPatch):
    segmenter, images = build(), picture()
    generator = segmenter.model.generator
    none = torch.zeros(1, 0, 24, 32), torch.zeros(1, 0)
    monkeypatch.setattr(type(generator), "propose", lambda self, images: none)
    found = segmenter.segment(images, Vocabulary.of(*WORDS))
    assert found.segments == ((),)
    assert not found.confidence.any()


def test_panoptic_labels_are_those_of_the_segments(build: Any):
    images = picture()
    found = build(labels="panoptic", score=0.3).segment(images, Vocabulary.of(*WORDS))
    check(found, images)
    for segment in found.segments[0]:
        inside = found.segment_ids[0] == segment.id
        assert (found.labels[0][inside] == segment.category_id).all()
        assert (found.confidence[0][inside] == round(255 * segment.score)).all()
    assert not found.labels[0][found.segment_ids[0] == 0].any()


def test_what_other_wins_is_unlabelled(build: Any, monkeypatch: pytest.MonkeyPatch):
    segmenter, images = build(other=True, score=0.0), picture()
    propose = segmenter.propose
    masks, probabilities, sizes = propose(images, WORDS)
    assert probabilities.shape[-1] == len(WORDS) + 1
    sure = torch.zeros(probabilities.shape)
    sure[..., -1] = 1.0
    monkeypatch.setattr(segmenter, "propose", lambda *args: (masks, sure, sizes))
    found = segmenter.segment(images, Vocabulary.of(*WORDS))
    assert not found.labels.any()
    assert found.segments == ((),)


@torch.inference_mode()
def test_names_count_by_the_generators_belief(build: Any):
    plain, weighed = build(), build(objectness=True)
    canvas, _ = plain.canvas(picture())
    sure = plain.model.generator.propose(canvas)[1]
    masks, odds, _ = plain.propose(picture(), WORDS)
    again, less, _ = weighed.propose(picture(), WORDS)
    assert torch.equal(masks, again)
    assert torch.allclose(less, odds * sure[..., None], atol=1e-6)
    assert torch.allclose(less.sum(-1), sure, atol=1e-5)
    check(weighed.segment(picture(), Vocabulary.of(*WORDS)), picture())


def test_segments_may_be_left_out(build: Any):
    found = build(segments=False).segment(picture(), Vocabulary.of(*WORDS))
    assert found.segment_ids is None
    assert found.segments == ()


def test_text_comes_from_the_cache(build: Any):
    segmenter, words = build(), Vocabulary.of(*WORDS)
    segmenter.segment(picture(), words)
    assert segmenter.text.encoded == len(WORDS) + 1  # and "other"
    segmenter.segment(picture(), words)
    again = build()
    again.segment(picture(), words)
    assert segmenter.text.encoded == len(WORDS) + 1
    assert again.text.encoded == 0


def test_both_halves_ask_one_pyramid(build: Any):
    segmenter = build()
    calls: list[int] = []
    pyramids = {id(p): p for p in segmenter.model.modules() if isinstance(p, PyramidMaps)}
    assert len(pyramids) == 1
    pyramid = next(iter(pyramids.values()))
    see = pyramid.see
    pyramid.see = lambda images: (calls.append(1), see(images))[1]
    segmenter.segment(picture(), Vocabulary.of(*WORDS))
    segmenter.segment(picture(), Vocabulary.of(*WORDS))
    assert len(calls) == 2


def test_clip_may_see_a_square_of_its_own(build: Any):
    images = picture()
    found = build(clip_side=64, score=0.0).segment(images, Vocabulary.of(*WORDS))
    check(found, images)


def test_without_weights_it_is_the_baseline(build: Any):
    segmenter = build(weights="")
    assert not segmenter.model.trained()
    check(segmenter.segment(picture(), Vocabulary.of(*WORDS)), picture())


def test_weights_of_other_models_are_refused(folders: dict[str, str], tmp_path: Path):
    config = json.loads((Path(folders["weights"]) / "config.json").read_text())
    config["adaptation"]["seve_width"] = 9
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = (Path(folders["weights"]) / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(ValueError, match=r"was trained with .* does not fit .*\.seve\.0"):
        load_fisa(str(tmp_path), folders["generator"], folders["clip"])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="those of `ovseg train fisa`"):
        load_fisa(str(tmp_path), folders["generator"], folders["clip"])
    with pytest.raises(FileNotFoundError, match="open_clip"):
        load_fisa("", folders["generator"], folders["generator"])


def test_the_weights_that_ship_stand_on_one_tower():
    options = pipeline_options("robot_cell/fisa", [], device="cpu", discovery__name="none")
    segmenter: Any = build_pipeline(options).segmenter
    assert (
        len({id(part) for part in segmenter.model.modules() if isinstance(part, PyramidMaps)}) == 1
    )
    assert len(segmenter.model.trained()) > 0
    check(segmenter.segment(picture(), Vocabulary.of(*WORDS)), picture())
