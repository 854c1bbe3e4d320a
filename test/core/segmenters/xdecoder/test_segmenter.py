"""X-Decoder segments: sizes, prompts, background, batches; words only once; errors that help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.config import from_mapping
from ovseg_ros.segmenters.build import SegmenterConfig, build_segmenter
from ovseg_ros.segmenters.dense import resize_bytes, round_by_axis, shortest_edge_hw
from ovseg_ros.segmenters.prompts import templates
from ovseg_ros.segmenters.xdecoder.checkpoint import load_xdecoder
from ovseg_ros.segmenters.xdecoder.segmenter import XDecoderSegmenter, spoken_name
from ovseg_ros.types import Category, Vocabulary

MakeSegmenter = Callable[..., XDecoderSegmenter]
NAMES = ("mug", "duck", "wooden table", "robot arm", "wall")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@torch.no_grad()
def by_hand(
    weights: Path, image: np.ndarray, size_hw: tuple[int, int], names: Sequence[str]
) -> torch.Tensor:
    """Scores (K, H, W) of one image, from the model alone."""
    model, tokenizer = load_xdecoder(weights)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, size=size_hw, mode="bilinear", antialias=True)
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    padded = torch.zeros(1, 3, *(-(-side // 32) * 32 for side in size_hw))
    padded[..., : size_hw[0], : size_hw[1]] = (pixels - mean) / std
    decoded, features = model(padded)
    prompts = [f"a photo of a {name}." for name in (*names, "background")]
    text = F.normalize(model.text(tokenizer(prompts)), dim=-1)
    unit = F.normalize(decoded[-1].embeddings[0], dim=-1)
    odds = (model.logit_scale.exp() * unit @ text.T).softmax(-1)[:, :-1]
    masks = torch.einsum("qc,chw->qhw", decoded[-1].kernels[0], features[0])[None]
    masks = F.interpolate(masks, size=padded.shape[2:], mode="bicubic", antialias=True)
    masks = masks[..., : size_hw[0], : size_hw[1]]
    masks = F.interpolate(masks, size=image.shape[:2], mode="bicubic", antialias=True)[0]
    return torch.einsum("qk,qhw->khw", odds, masks.sigmoid())


@pytest.mark.parametrize(
    ("options", "image_hw", "input_hw"),
    [
        ({"short_side": 0}, (40, 64), (40, 64)),
        ({"short_side": 48}, (24, 40), (48, 80)),
        ({"short_side": 48, "long_side": 64}, (30, 60), (32, 64)),
        ({"short_side": 33}, (70, 50), (46, 33)),
    ],
)
def test_masks_are_those_of_the_model(
    make_segmenter: MakeSegmenter,
    weights: Path,
    options: dict[str, int],
    image_hw: tuple[int, int],
    input_hw: tuple[int, int],
):
    image = noise(*image_hw)
    result = make_segmenter(**options).segment(image[None], Vocabulary.of(*NAMES))
    scores = by_hand(weights, image, input_hw, NAMES)
    best, second = scores.topk(2, 0).values
    sure = ((best - second) > 1e-3).numpy()
    assert sure.mean() > 0.3
    wrong = result.labels[0][sure] != scores.argmax(0).numpy()[sure] + 1
    assert wrong.mean() < 0.01  # a text that wins less than a cell may be left out


@pytest.mark.parametrize("upsample", ["masks", "winners"])
@pytest.mark.parametrize("image_hw", [(37, 53), (1, 1), (2, 90), (64, 64)])
def test_masks_have_the_size_of_the_image(
    make_segmenter: MakeSegmenter, image_hw: tuple[int, int], upsample: str
):
    segmenter = make_segmenter(short_side=32, long_side=64, upsample=upsample)
    result = segmenter.segment(noise(2, *image_hw), Vocabulary.of(*NAMES))
    assert result.labels.shape == result.confidence.shape == (2, *image_hw)
    assert 1 <= result.labels.min() <= result.labels.max() <= 5


def test_a_batch_equals_its_images(make_segmenter: MakeSegmenter):
    segmenter, images, words = make_segmenter(short_side=0), noise(3, 40, 64), Vocabulary.of(*NAMES)
    together = segmenter.segment(images, words)
    for row in range(3):
        alone = segmenter.segment(images[row : row + 1], words)
        assert (together.labels[row] != alone.labels[0]).mean() < 0.02  # rounding of matmuls
        np.testing.assert_allclose(together.confidence[row], alone.confidence[0], atol=3)


def test_labels_are_the_ids_of_the_vocabulary(make_segmenter: MakeSegmenter):
    segmenter, images = make_segmenter(short_side=0), noise(1, 40, 64)
    plain = segmenter.segment(images, Vocabulary.of("mug", "duck"))
    spread = Vocabulary(categories=(Category(id=7, name="mug"), Category(id=300, name="duck")))
    result = segmenter.segment(images, spread)
    assert result.labels.dtype == np.uint16
    np.testing.assert_array_equal(result.labels, np.array([0, 7, 300])[plain.labels])


def test_the_background_is_a_text_that_may_win_if_asked(make_segmenter: MakeSegmenter):
    images, words = noise(1, 40, 64), Vocabulary.of("mug", "duck")
    logits = torch.zeros(1, 7, 3)
    logits[..., 0], logits[..., 2] = 2.0, 4.0
    for background, expected in ((False, 1), (True, 0)):
        segmenter = make_segmenter(short_side=0, background=background)
        masks, _, sizes = segmenter.decode(images, words.names)
        with mock.patch.object(segmenter, "decode", return_value=(masks / 100, logits, sizes)):
            assert (segmenter.segment(images, words).labels == expected).all()


def test_the_last_text_is_the_plain_word_background(make_segmenter: MakeSegmenter):
    segmenter = make_segmenter(short_side=0)
    _, logits, _ = segmenter.decode(noise(1, 40, 64), ("mug", "background"))
    assert logits.shape == (1, 7, 3)
    torch.testing.assert_close(logits[..., 1], logits[..., 2])


def test_as_released_the_last_noun_is_lost_and_the_paper_loses_none(make_segmenter: MakeSegmenter):
    images, names = noise(1, 40, 64), ("mug", "duck", "wall")
    logits = {}
    for released in (False, True):
        segmenter = make_segmenter(short_side=0, as_released=released)
        logits[released] = segmenter.decode(images, names)[1]
        strong = torch.zeros_like(logits[released])
        strong[..., 2] = 9.0  # every query means the wall
        masks, _, sizes = segmenter.decode(images, names)
        with mock.patch.object(segmenter, "decode", return_value=(masks / 100, strong, sizes)):
            labels = segmenter.segment(images, Vocabulary.of(*names)).labels
        assert (labels == 3).all() != released
        assert (set(np.unique(labels)) <= {1, 2}) == released
    assert (logits[False].shape[-1], logits[True].shape[-1]) == (4, 3)
    torch.testing.assert_close(logits[True], logits[False][..., :3])
    alone = make_segmenter(as_released=True).segment(images, Vocabulary.of("mug"))
    assert not alone.labels.any()  # the only noun is the last one
    with pytest.raises(ValueError, match="background: expected false"):
        make_segmenter(as_released=True, background=True)


def test_no_names_leave_everything_unlabelled_and_cost_nothing(make_segmenter: MakeSegmenter):
    segmenter = make_segmenter()
    with mock.patch.object(segmenter, "_model", side_effect=AssertionError):
        result = segmenter.segment(noise(2, 20, 30), Vocabulary())
    assert result.labels.shape == (2, 20, 30)
    assert not result.labels.any()
    assert not result.confidence.any()


def test_cocos_suffixes_are_no_words(make_segmenter: MakeSegmenter):
    assert spoken_name("wall-other-merged") == "wall"
    assert spoken_name("water-other") == "water"
    assert spoken_name("teddy bear") == "teddy bear"
    _, logits, _ = make_segmenter(short_side=0).decode(noise(1, 40, 64), ("mug-stuff", "mug"))
    torch.testing.assert_close(logits[..., 0], logits[..., 1])


def test_the_templates_are_81():
    found = templates("xdecoder")
    assert len(found) == len(set(found)) == 81
    assert found[0] == "{}."
    assert {"a photo of a {}.", "itap of my {}.", "a tattoo of the {}."} < set(found)


def test_known_words_are_encoded_once(make_segmenter: MakeSegmenter):
    segmenter, images = make_segmenter(short_side=0), noise(1, 40, 64)
    segmenter.segment(images, Vocabulary.of("mug", "duck"))
    segmenter.segment(images, Vocabulary.of("duck", "wall", "mug"))
    assert segmenter.text.encoded == 4  # and the background
    again = make_segmenter(short_side=0)
    again.segment(images, Vocabulary.of("mug", "wall"))
    assert again.text.encoded == 0


def test_half_precision_sees_nearly_the_same(make_segmenter: MakeSegmenter):
    images, names = noise(1, 40, 64), NAMES
    full = make_segmenter(short_side=0).decode(images, names)[1].softmax(-1)
    half = make_segmenter(short_side=0, dtype="bfloat16").decode(images, names)[1].softmax(-1)
    assert (full - half).abs().mean() < 0.1


def test_bad_images_are_refused(make_segmenter: MakeSegmenter):
    with pytest.raises(ValueError, match="images: expected RGB"):
        make_segmenter().segment(noise(20, 30), Vocabulary.of("mug"))


def test_it_is_built_by_name(weights: Path):
    config = from_mapping(SegmenterConfig, {"name": "xdecoder", "xdecoder.weights": str(weights)})
    segmenter = build_segmenter(config, device="cpu", dtype="float32")
    assert (segmenter.name, segmenter.device) == ("xdecoder", "cpu")
    assert segmenter.cadence == "frame"


def test_weights_that_are_nowhere_say_how_to_get_them(make_segmenter: MakeSegmenter):
    with pytest.raises(FileNotFoundError, match="ovseg train nothing"):
        make_segmenter(weights="robot_cell/nothing")
    with pytest.raises(FileNotFoundError, match="neither a file or folder"):
        make_segmenter(weights="nobody/nothing")
    with pytest.raises(FileNotFoundError, match=r"nobody/nothing/x\.pt .*ovseg pull"):
        make_segmenter(weights="nobody/nothing/x.pt")


@pytest.mark.parametrize(
    ("size_hw", "short", "long", "expected"),
    [
        ((375, 500), 500, 1500, (500, 667)),  # 666.67
        ((333, 500), 800, 1333, (800, 1201)),  # 1201.2
        ((300, 901), 500, 1500, (499, 1500)),  # 1501.67, so that the short side shrinks: 499.45
        ((480, 641), 360, 1500, (360, 481)),  # 480.75
        ((200, 101), 50, 1500, (99, 50)),  # 99.01
        ((400, 1002), 125, 300, (120, 300)),  # 119.76
        ((7, 3), 1, 100, (2, 1)),
        ((1, 5000), 500, 1500, (1, 1500)),  # a sliver keeps one row
    ],
)
def test_sizes_are_those_of_detectron2(size_hw, short, long, expected):
    assert shortest_edge_hw(*size_hw, short, long) == expected


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size_hw", [(60, 91), (131, 200), (40, 33)])
def test_images_are_resized_as_bytes_like_pillow(size_hw, mode):
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    exact, ours = resize_bytes(pixels, size_hw, mode=mode), round_by_axis(pixels, size_hw, mode)
    assert exact.dtype == ours.dtype == torch.float32
    assert ours.equal(ours.round())  # bytes, not what would be between them
    theirs = np.asarray(
        Image.fromarray(image).resize(size_hw[::-1], Image.Resampling[mode.upper()])
    )
    np.testing.assert_array_equal(exact[0].permute(1, 2, 0).numpy(), theirs)
    same = ours[0].permute(1, 2, 0).numpy() == theirs
    assert same.mean() > 0.997
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - theirs).max() <= 1
