"""LMSeg as a whole, on tiny towers of the real classes."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.models.sam import SamNeck, load_sam_model
from ovseg_ros.pipeline import Pipeline
from ovseg_ros.segmenters.fisa.checkpoint import BASELINE
from ovseg_ros.segmenters.fisa.model import Classifier
from ovseg_ros.segmenters.fisa.towers import show_tower
from ovseg_ros.segmenters.lmseg import segmenter as lmseg_segmenter
from ovseg_ros.segmenters.lmseg.config import LmsegConfig
from ovseg_ros.segmenters.lmseg.features import Dense, dense_features
from ovseg_ros.segmenters.lmseg.segmenter import LmsegSegmenter, choose
from ovseg_ros.segmenters.lmseg.views import Window, crop_map, windows
from ovseg_ros.types import Vocabulary
from ovseg_ros.vocabulary.config import VocabularyConfig
from ovseg_ros.vocabulary.living import LivingVocabulary

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
NAMES = ("mug", "red mug", "floor", "wall", "xyzzy")


def make(weights: Path, **options: object) -> LmsegSegmenter:
    given = {"weights": str(weights), "canvas": 64, "window": 48, "stride": 16, **options}
    return LmsegSegmenter(LmsegConfig(**given), device="cpu", dtype="float32")


@pytest.fixture
def segmenter(weights: Path) -> LmsegSegmenter:
    return make(weights)


def test_masks_have_the_size_of_the_images(segmenter):
    found = segmenter.segment(np.stack([IMAGE, IMAGE[::-1]]), Vocabulary.of(*NAMES))
    assert found.labels.shape == (2, 40, 60)
    assert found.labels.min() >= 1
    assert found.left_out == ()
    alone = segmenter.segment(IMAGE[None], Vocabulary.of(*NAMES))
    np.testing.assert_array_equal(alone.labels[0], found.labels[0])


def test_the_order_of_names_changes_no_mask(segmenter):
    first = segmenter.segment(IMAGE[None], Vocabulary.of(*NAMES))
    second = segmenter.segment(IMAGE[None], Vocabulary.of(*NAMES[::-1]))
    named = [np.array(["", *v.vocabulary.names])[v.labels] for v in (first, second)]
    np.testing.assert_array_equal(*named)


def test_one_name_wins_everything(segmenter):
    assert (segmenter.segment(IMAGE[None], Vocabulary.of("mug")).labels == 1).all()


def test_no_name_labels_nothing(segmenter):
    assert not segmenter.segment(IMAGE[None], Vocabulary()).labels.any()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (300, 2)])
def test_slivers(segmenter, size):
    image = np.full((1, *size, 3), 90, np.uint8)
    assert segmenter.segment(image, Vocabulary.of("mug", "wall")).labels.shape == (1, *size)


def test_a_huge_image(segmenter):
    image = np.tile(IMAGE, (60, 60, 1))[None]  # 2400 x 3600
    found = segmenter.segment(image, Vocabulary.of("mug", "wall"))
    assert found.labels.shape == image.shape[:3]
    assert found.labels.min() >= 1


def test_unknown_words_and_odd_letters(segmenter):
    words = Vocabulary.of("xyzzy", "plugh {}", "größe", "{name}", "机器人", "a" * 64)
    assert segmenter.segment(IMAGE[None], words).labels.min() >= 1


def test_names_beyond_the_most_are_reported(weights, caplog):
    segmenter = make(weights, most=3)
    words = Vocabulary.of(*NAMES)
    with caplog.at_level(logging.WARNING):
        found = segmenter.segment(IMAGE[None], words)
        segmenter.segment(IMAGE[None], words)
    assert len(found.left_out) == 2
    assert not set(np.unique(found.labels)) & set(found.left_out)
    assert len(caplog.records) == 1  # once for a vocabulary
    assert all(words.categories[i - 1].name in caplog.text for i in found.left_out)


def test_names_left_out_are_those_of_every_image_by_itself(weights):
    """In a batch as alone: what one image keeps does not hide that another left it out."""
    segmenter, words = make(weights, most=3), Vocabulary.of(*NAMES)
    images = np.stack([IMAGE, np.full_like(IMAGE, 200), IMAGE[::-1, ::-1]])
    together = segmenter.segment(images, words)
    alone = [segmenter.segment(image[None], words) for image in images]
    assert together.left_out_of == tuple(one.left_out_of[0] for one in alone)
    assert all(len(own) == 2 for own in together.left_out_of)
    assert set(together.left_out) == set().union(*together.left_out_of)
    assert together.names_left_out(1) == tuple(
        words.categories[i - 1].name for i in together.left_out_of[1]
    )


def test_a_query_says_which_of_its_names_were_left_out(weights):
    living = LivingVocabulary(VocabularyConfig(mode="fixed", names=NAMES))
    pipeline = Pipeline(make(weights, most=2), None, living)
    asked = ["bottle", "cone", "tray"]
    found, answers = pipeline.query(IMAGE, asked)
    assert found.left_out  # two of eight are compared
    for label in found.left_out:
        assert not answers[label - 1].present
    assert set(found.names_left_out(0)) <= set(asked)


def test_three_hundred_names(weights):
    words = Vocabulary.of(*(f"thing {number}" for number in range(300)))
    found = make(weights).segment(IMAGE[None], words)
    assert len(found.left_out_of[0]) == 44
    assert found.labels.dtype == np.uint16 or found.labels.max() <= 254


def test_what_only_one_window_shows_may_be_chosen():
    costs = [torch.tensor([[[0.1]], [[0.9]], [[0.2]]]), torch.tensor([[[0.8]], [[0.0]], [[0.3]]])]
    assert choose(costs, 2).tolist() == [0, 1]
    assert choose(costs, 9).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("canvas", "window", "stride"), [(1, 48, 1), (31, 48, 48), (97, 48, 47), (145, 48, 48)]
)
def test_windows_leave_no_pixel_out(weights, canvas, window, stride):
    made = make(weights, canvas=canvas, window=window, stride=stride, whole=False)
    text = torch.from_numpy(made.embed(["mug", "wall"]))
    found, kept = made.probabilities(IMAGE, text)
    assert kept.tolist() == [0, 1]
    assert torch.isfinite(found).all()


def test_windows_with_gaps_are_refused():
    with pytest.raises(ValueError, match="stride: expected at most window 48, got 64"):
        LmsegConfig(window=48, stride=64)


def test_plain_prompts_ask_nobody(weights):
    made = make(weights, prompts="plain")
    made.enrichment.sentences = None  # would raise if it were called
    assert made.embed(["mug"]).shape[0] == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(weights, dtype):
    given = LmsegConfig(weights=str(weights), canvas=0, window=48)
    segmenter = LmsegSegmenter(given, device="cpu", dtype=dtype)
    assert segmenter.segment(IMAGE[None], Vocabulary.of("mug", "wall")).labels.any()


def test_a_threshold_leaves_pixels_unlabelled(weights):
    found = make(weights, threshold=0.999).segment(IMAGE[None], Vocabulary.of("mug", "wall"))
    assert (found.labels == 0).any()


def test_enrichment_swaps_the_whole_text(segmenter):
    before = segmenter.text.embed(NAMES)
    assert segmenter.text.embed(NAMES) is before  # nothing is encoded for every frame
    segmenter.enrichment.version += 1
    after = segmenter.text.embed(NAMES)
    np.testing.assert_array_equal(before, after)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, rtol=1e-5)


def test_a_name_is_the_mean_of_its_sentences(weights):
    rich, plain = make(weights), make(weights, prompts="plain")
    from ovseg_ros.segmenters.lmseg.enrichment import sentences

    vectors = rich.clip.encode(sentences("mug", None)).detach().numpy()
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = vectors.mean(0)
    np.testing.assert_allclose(rich.embed(["mug"])[0], mean / np.linalg.norm(mean), rtol=1e-4)
    np.testing.assert_allclose(plain.embed(["mug"])[0], vectors[0], rtol=1e-4)


def test_the_last_layer_of_clip_gives_values(segmenter):
    """Equal to open_clip's own blocks, the last one without its attention."""
    visual = segmenter.clip.model.visual
    pixels = torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        tower = show_tower(visual)
        found = dense_features(tower, pixels).features
        x = tower.embed(tower.patches(pixels))
        for block in visual.transformer.resblocks[:-1]:
            x = block(x)
        last = visual.transformer.resblocks[-1]
        weight, bias = last.attn.in_proj_weight[32:], last.attn.in_proj_bias[32:]
        value = last.ln_1(x) @ weight.T + bias
        x = x + last.attn.out_proj(value)
        x = x + last.mlp(last.ln_2(x))
        expected = (visual.ln_post(x) @ visual.proj)[0, 1:]
    torch.testing.assert_close(found[0].flatten(1).T, expected, atol=1e-5, rtol=1e-4)


def test_tokens_of_places_are_mask_tokens_of_one_patch(segmenter):
    """Equal to FISA's classifier, which knows nothing of places, asked for every patch."""
    clip = segmenter.clip
    pixels = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        tower = show_tower(clip.model.visual)
        found = dense_features(tower, pixels, readout="token").features
        height, width = found.shape[2:]
        masks = 2.0 * torch.eye(height * width).unflatten(1, (height, width)) - 1.0
        classifier = Classifier(clip.model, BASELINE, clip.width).eval()
        expected, _ = classifier(pixels, masks.expand(2, -1, -1, -1), torch.zeros(0))
    assert found.isfinite().all()
    torch.testing.assert_close(
        F.normalize(found, dim=1).flatten(2).transpose(1, 2), expected, atol=1e-5, rtol=1e-4
    )


def test_windows_cover_the_canvas():
    found = windows(640, 384, 256, whole=True)
    assert [(w.top, w.left, w.side) for w in found] == [
        (0, 0, 384), (0, 256, 384), (256, 0, 384), (256, 256, 384), (0, 0, 640),
    ]  # fmt: skip
    assert windows(300, 384, 256, whole=True) == [Window(0, 0, 300)]
    assert [w.left for w in windows(100, 60, 50, whole=False)][:2] == [0, 40]


def test_a_window_sees_its_part_of_the_map():
    features = torch.arange(64.0).view(1, 8, 8)
    torch.testing.assert_close(crop_map(features, Window(32, 0, 32), 64), features[:, 4:, :4])
    assert crop_map(features, Window(0, 0, 64), 64) is features


def test_all_views_go_through_clip_as_one_batch(weights, monkeypatch):
    """As good as one by one: batching is no approximation."""
    made = make(weights)
    text = torch.from_numpy(made.embed(NAMES))
    seen: list[int] = []
    run = lmseg_segmenter.dense_features

    def together(tower, images, **how):
        seen.append(len(images))
        return run(tower, images, **how)

    def alone(tower, images, **how):
        parts = [run(tower, image[None], **how) for image in images]
        return Dense(
            *(torch.cat([getattr(p, k) for p in parts]) for k in ("features", "early", "middle"))
        )

    monkeypatch.setattr(lmseg_segmenter, "dense_features", together)
    found, _ = made.probabilities(IMAGE, text)
    assert seen == [len(windows(64, 48, 16, whole=True))]
    monkeypatch.setattr(lmseg_segmenter, "dense_features", alone)
    torch.testing.assert_close(found, made.probabilities(IMAGE, text)[0], atol=1e-5, rtol=1e-4)


def test_segment_anything_runs_once_for_a_canvas(weights):
    made = make(weights)
    encoder = made._neck.model.image_encoder
    runs, image = encoder.runs, np.ascontiguousarray(IMAGE[:, ::-1])
    made.segment(image[None], Vocabulary.of(*NAMES))
    made.segment(image[None], Vocabulary.of("mug"))
    assert encoder.runs == runs + 1


def test_segment_anything_runs_once_for_a_frame(sam_folder):
    """LMSeg and the masks of discovery share the model and the features of its last image."""
    model = load_sam_model(str(sam_folder), device="cpu")
    assert load_sam_model(str(sam_folder), device="cpu") is model
    neck, image = SamNeck(model), 255 - IMAGE  # one that no other test has shown
    runs = model.image_encoder.runs
    first = neck.features(image)
    assert first.shape == (16, 3, 4)  # 40 x 60 in a grid of 4: what pads it is cut off
    torch.testing.assert_close(neck.features(image), first)
    assert model.image_encoder.runs == runs + 1
    from segment_anything import SamPredictor

    SamPredictor(model).set_image(image)
    assert model.image_encoder.runs == runs + 1
    neck.features(image[::-1])
    assert model.image_encoder.runs == runs + 2
