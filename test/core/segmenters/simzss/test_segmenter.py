"""SimZSS segments: cosine of patch and text, windows, odd images; flat cost; words only once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.config import from_mapping
from ovseg_ros.segmenters.build import SegmenterConfig, build_segmenter
from ovseg_ros.segmenters.simzss.model import SimZSS
from ovseg_ros.segmenters.simzss.segmenter import SimZSSSegmenter
from ovseg_ros.types import Category, Vocabulary

MakeSegmenter = Callable[..., SimZSSSegmenter]
NAMES = ("mug", "duck", "wooden table", "robot arm", "wall")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@torch.inference_mode()
def by_hand(segmenter: SimZSSSegmenter, pixels: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
    """Cosines of patches and text, (B, K, h, w), from images in [0, 1] at input size."""
    model: SimZSS = segmenter._model
    mean = torch.tensor(model.config.mean)[:, None, None]
    std = torch.tensor(model.config.std)[:, None, None]
    patches = model.encode_image((pixels - mean) / std)[1]
    text = model.encode_text(segmenter._tokenizer([f"a photo of a {n}." for n in names]))[0]
    return torch.stack([F.cosine_similarity(patches, vector, dim=-1) for vector in text], dim=1)


def as_pixels(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def test_similarity_is_the_cosine_of_patch_and_text(make_segmenter: MakeSegmenter):
    segmenter, images = make_segmenter(), noise(2, 16, 24)  # the size of training
    found = segmenter.similarity(images, NAMES)
    assert (found.shape, found.dtype) == ((2, 5, 4, 6), torch.float32)
    torch.testing.assert_close(found, by_hand(segmenter, as_pixels(images), NAMES))


@pytest.mark.parametrize(
    ("short_side", "image_hw", "input_hw"),
    [
        (0, (32, 48), (16, 24)),
        (0, (48, 32), (24, 16)),
        (24, (32, 48), (24, 36)),
        (0, (17, 31), (16, 28)),  # whole patches, the aspect as near as they allow
        (0, (1, 1), (16, 16)),
        (0, (1, 1000), (16, 64)),  # a sliver is squeezed to four times its short side
        (0, (1000, 1), (64, 16)),
    ],
)
def test_images_are_brought_to_the_size_of_training(
    make_segmenter: MakeSegmenter,
    short_side: int,
    image_hw: tuple[int, int],
    input_hw: tuple[int, int],
):
    segmenter, images = make_segmenter(short_side=short_side), noise(1, *image_hw)
    found = segmenter.similarity(images, NAMES)
    assert found.shape == (1, 5, input_hw[0] // 4, input_hw[1] // 4)
    pixels = F.interpolate(as_pixels(images), size=input_hw, mode="bilinear", antialias=True)
    torch.testing.assert_close(found, by_hand(segmenter, pixels, NAMES), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("image_hw", "input_hw"), [((40, 80), (16, 32)), ((20, 200), (4, 40)), ((200, 20), (40, 4))]
)
def test_a_longest_side_keeps_the_aspect(
    make_segmenter: MakeSegmenter, image_hw: tuple[int, int], input_hw: tuple[int, int]
):
    segmenter = make_segmenter(short_side=16, long_side=40)
    found = segmenter.similarity(noise(1, *image_hw), NAMES)
    assert found.shape == (1, 5, input_hw[0] // 4, input_hw[1] // 4)


class TestWindows:
    @pytest.mark.parametrize("window", [24, 25, 400])
    def test_one_that_covers_the_image_changes_nothing(
        self, make_segmenter: MakeSegmenter, window: int
    ):
        images = noise(2, 16, 24)
        whole = make_segmenter().similarity(images, NAMES)
        windowed = make_segmenter(window=window, stride=8).similarity(images, NAMES)
        torch.testing.assert_close(windowed, whole)

    @pytest.mark.parametrize(
        ("window", "stride", "tops", "lefts"),
        [
            (16, 8, [0, 8, 16], [0, 8, 16, 20]),
            (16, 16, [0, 16], [0, 16, 20]),
            (16, 100, [0, 16], [0, 16, 20]),  # no gaps: a stride is at most the window
            (18, 9, [0, 8, 16], [0, 8, 16, 20]),  # whole patches
            (32, 32, [0], [0, 4]),
            (3, 3, [*range(0, 32, 4)], [*range(0, 36, 4)]),
        ],
    )
    def test_overlaps_are_averaged(
        self,
        make_segmenter: MakeSegmenter,
        window: int,
        stride: int,
        tops: list[int],
        lefts: list[int],
    ):
        segmenter = make_segmenter(short_side=32, window=window, stride=stride)
        images = noise(2, 32, 36)
        side = max(4, window // 4 * 4)
        values: list[list[list[torch.Tensor]]] = [[[] for _ in range(9)] for _ in range(8)]
        for top in tops:
            for left in lefts:
                part = as_pixels(images[:, top : top + side, left : left + side])
                cosines = by_hand(segmenter, part, NAMES)
                for row in range(cosines.shape[2]):
                    for column in range(cosines.shape[3]):
                        place = values[top // 4 + row][left // 4 + column]
                        place.append(cosines[:, :, row, column])
        expected = torch.stack(
            [torch.stack([torch.stack(v).mean(0) for v in line], -1) for line in values], -2
        )
        torch.testing.assert_close(segmenter.similarity(images, NAMES), expected)


class TestMasks:
    @pytest.mark.parametrize(
        "image_hw", [(16, 24), (37, 53), (1, 1), (2, 700), (700, 2), (120, 160)]
    )
    @pytest.mark.parametrize("window", [0, 8])
    def test_masks_have_the_size_of_the_image(
        self, make_segmenter: MakeSegmenter, image_hw: tuple[int, int], window: int
    ):
        result = make_segmenter(window=window).segment(noise(2, *image_hw), Vocabulary.of(*NAMES))
        assert result.labels.shape == result.confidence.shape == (2, *image_hw)
        assert result.labels.dtype == np.uint8
        assert result.labels.min() >= 1
        assert result.labels.max() <= 5
        assert result.confidence.min() >= 255 // 5

    def test_every_pixel_has_the_best_name(self, make_segmenter: MakeSegmenter):
        segmenter, images = make_segmenter(), noise(1, 4 * 16, 4 * 24)
        pixels = F.interpolate(as_pixels(images), size=(16, 24), mode="bilinear", antialias=True)
        maps = F.interpolate(by_hand(segmenter, pixels, NAMES), size=(64, 96), mode="bilinear")
        result = segmenter.segment(images, Vocabulary.of(*NAMES))
        won = set(by_hand(segmenter, pixels, NAMES).argmax(1).flatten().tolist())
        sure = maps.topk(2, 1).values.diff(dim=1)[:, 0].abs() > 1e-5
        sure &= torch.tensor(sorted(won))[maps[:, sorted(won)].argmax(1)] == maps.argmax(1)
        assert sure.float().mean() > 0.9
        assert len(won) > 1
        np.testing.assert_array_equal(result.labels[sure], maps.argmax(1).numpy()[sure] + 1)

    def test_a_batch_equals_its_images(self, make_segmenter: MakeSegmenter):
        segmenter, images, words = make_segmenter(), noise(3, 20, 30), Vocabulary.of(*NAMES)
        together = segmenter.segment(images, words)
        for row in range(3):
            alone = segmenter.segment(images[row : row + 1], words)
            assert (together.labels[row] != alone.labels[0]).mean() < 0.01  # rounding of matmuls
            np.testing.assert_allclose(together.confidence[row], alone.confidence[0], atol=2)

    def test_labels_are_the_ids_of_the_vocabulary(self, make_segmenter: MakeSegmenter):
        segmenter, images = make_segmenter(), noise(1, 20, 30)
        plain = segmenter.segment(images, Vocabulary.of("mug", "duck"))
        spread = Vocabulary(categories=(Category(id=7, name="mug"), Category(id=300, name="duck")))
        result = segmenter.segment(images, spread)
        assert result.labels.dtype == np.uint16
        np.testing.assert_array_equal(result.labels, np.array([0, 7, 300])[plain.labels])
        assert result.vocabulary is spread

    def test_one_name_takes_everything(self, make_segmenter: MakeSegmenter):
        result = make_segmenter().segment(noise(1, 20, 30), Vocabulary.of("mug"))
        assert (result.labels == 1).all()
        assert (result.confidence == 255).all()

    def test_no_names_leave_everything_unlabelled_and_cost_nothing(
        self, make_segmenter: MakeSegmenter
    ):
        segmenter = make_segmenter()
        with mock.patch.object(segmenter._model, "encode_image", side_effect=AssertionError):
            result = segmenter.segment(noise(2, 20, 30), Vocabulary())
        assert result.labels.shape == (2, 20, 30)
        assert not result.labels.any()
        assert not result.confidence.any()
        assert not np.shares_memory(result.labels, result.confidence)

    @pytest.mark.parametrize(("background", "low", "high"), [(0, 1, 1), (0.8, 0.1, 0.9), (1, 0, 0)])
    def test_the_background_takes_what_resembles_no_name(
        self, make_segmenter: MakeSegmenter, background: float, low: float, high: float
    ):
        segmenter = make_segmenter(background=background)
        cosines = torch.rand(1, 5, 4, 6, generator=torch.Generator().manual_seed(0))
        with mock.patch.object(segmenter, "_match", return_value=(cosines, None)):
            result = segmenter.segment(noise(1, 20, 30), Vocabulary.of(*NAMES))
        assert low <= (result.labels > 0).mean() <= high

    def test_names_of_the_dictionary_and_of_the_text_tower_have_their_own_background(
        self, make_segmenter: MakeSegmenter
    ):
        segmenter = make_segmenter(background=0.3, taught_background=0.5)
        image, words = noise(1, 8, 8), Vocabulary.of("mug", "dog")
        for mug, dog, found in [(0.45, 0.1, 0), (0.55, 0.1, 1), (0.1, 0.35, 2), (0.45, 0.35, 2)]:
            patches = torch.tensor([mug, dog]).expand(1, 2, 2, 2)
            with (
                mock.patch.object(segmenter, "_patches", return_value=patches),
                mock.patch.object(segmenter, "class_text", return_value=torch.eye(2)),
                mock.patch.object(segmenter, "_classes", lambda name: (5,) * (name == "dog")),
            ):
                assert (segmenter.segment(image, words).labels == found).all()

    def test_a_low_temperature_is_sure(self, make_segmenter: MakeSegmenter):
        images, words = noise(1, 20, 30), Vocabulary.of(*NAMES)
        cold, warm = (make_segmenter(temperature=t).segment(images, words) for t in (0.01, 1.0))
        np.testing.assert_array_equal(cold.labels, warm.labels)
        assert cold.confidence.mean() > warm.confidence.mean() + 50

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    def test_half_precision_sees_nearly_the_same(self, make_segmenter: MakeSegmenter, dtype: str):
        images, words = noise(1, 20, 30), Vocabulary.of(*NAMES)
        full = make_segmenter().segment(images, words)
        half = make_segmenter(dtype=dtype).segment(images, words)
        assert (full.labels == half.labels).mean() > 0.9

    def test_bad_images_are_refused(self, make_segmenter: MakeSegmenter):
        with pytest.raises(ValueError, match="images: expected RGB"):
            make_segmenter().segment(noise(20, 30), Vocabulary.of("mug"))

    def test_views_and_read_only_frames_are_images_too(self, make_segmenter: MakeSegmenter):
        segmenter, words = make_segmenter(), Vocabulary.of(*NAMES)
        flipped = noise(1, 20, 30)[:, ::-1, ::2]
        expected = segmenter.segment(flipped.copy(), words)
        for images in (flipped, np.frombuffer(flipped.tobytes(), np.uint8).reshape(flipped.shape)):
            np.testing.assert_array_equal(segmenter.segment(images, words).labels, expected.labels)


class TestCost:
    @pytest.mark.parametrize("count", [3, 300])
    def test_known_words_run_one_tower_once(self, make_segmenter: MakeSegmenter, count: int):
        segmenter, images = make_segmenter(), noise(1, 20, 30)
        words = Vocabulary.of(*(f"thing {i}" for i in range(count)))
        segmenter.segment(images, words)
        assert segmenter.text.encoded == count
        model = segmenter._model
        with (
            mock.patch.object(model, "encode_image", wraps=model.encode_image) as image_tower,
            mock.patch.object(model, "encode_text", wraps=model.encode_text) as text_tower,
        ):
            segmenter.segment(images, words)
        assert (image_tower.call_count, text_tower.call_count) == (1, 0)

    def test_only_new_words_are_encoded(self, make_segmenter: MakeSegmenter):
        segmenter, images = make_segmenter(), noise(1, 20, 30)
        segmenter.segment(images, Vocabulary.of("mug", "duck"))
        segmenter.segment(images, Vocabulary.of("duck", "wall", "mug"))
        assert segmenter.text.encoded == 3
        segmenter.segment(images, Vocabulary.of("mug", "duck"))
        assert segmenter.text.encoded == 3

    def test_a_restart_encodes_nothing(self, make_segmenter: MakeSegmenter):
        images, words = noise(1, 20, 30), Vocabulary.of(*NAMES)
        before = make_segmenter().segment(images, words)
        again = make_segmenter()
        np.testing.assert_array_equal(again.segment(images, words).labels, before.labels)
        assert again.text.encoded == 0
        other = make_segmenter(templates="none")
        other.segment(images, words)
        assert other.text.encoded == 5

    @pytest.mark.parametrize("changed", ["config.json", "tokenizer.json", "model.safetensors"])
    def test_other_weights_encode_anew(
        self, make_segmenter: MakeSegmenter, weights: Path, tmp_path: Path, changed: str
    ):
        make_segmenter().similarity(noise(1, 20, 30), NAMES)
        folder = shutil.copytree(weights, tmp_path / "other")
        if changed == "model.safetensors":
            content = bytearray((folder / changed).read_bytes())
            content[-1] ^= 1
            (folder / changed).write_bytes(content)
        else:
            loaded = json.loads((folder / changed).read_text())
            (folder / changed).write_text(json.dumps(loaded, indent=1))
        other = make_segmenter(weights=str(folder))
        other.similarity(noise(1, 20, 30), NAMES)
        assert other.text.encoded == 5

    def test_the_same_number_of_other_words_is_another_vocabulary(
        self, make_segmenter: MakeSegmenter
    ):
        segmenter, images = make_segmenter(), noise(1, 20, 30)
        first = segmenter.similarity(images, ("mug", "duck"))
        second = segmenter.similarity(images, ("duck", "mug"))
        torch.testing.assert_close(first, second.flip(1))


def test_segmenters_are_built_by_name(weights: Path):
    config = from_mapping(SegmenterConfig, {"simzss.weights": str(weights)})
    segmenter = build_segmenter(config, device="cpu", dtype="float32")
    assert (segmenter.name, segmenter.device) == ("simzss", "cpu")
    assert segmenter.cadence == "frame"
    with pytest.raises(ValueError, match="name: expected one of 'simzss'"):
        SegmenterConfig(name="magic")


def test_weights_that_are_nowhere_are_named(make_segmenter: MakeSegmenter):
    for name in ("nobody/nothing", "robot_cell/nothing"):
        with pytest.raises(FileNotFoundError, match="nothing"):
            make_segmenter(weights=name)


@pytest.mark.parametrize("class_text", ["sentence", "concept"])
@pytest.mark.parametrize(("size", "seen"), [(20, 20), (21, 20), (23, 24), (1, 4)])
def test_whole_images_meet_sentences_at_their_own_size(
    make_segmenter: MakeSegmenter, class_text: str, size: int, seen: int
):
    segmenter, images = make_segmenter(class_text=class_text, short_side=64), noise(2, size, size)
    found = segmenter.classify(images, NAMES)
    model: SimZSS = segmenter._model
    pixels = F.interpolate(as_pixels(images), size=(seen, seen), mode="bilinear", antialias=True)
    with torch.inference_mode():
        first = model.encode_image(model.normalise(pixels))[0]
        prompts = [f"a photo of a {name}." for name in NAMES]
        text = model.encode_text(segmenter._tokenizer(prompts))[0]
        expected = F.cosine_similarity(first[:, None], text[None], dim=-1)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
