"""TIPSv2 segments: whole images and published windows, literally restated; words only once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from ovseg_ros.config import from_mapping, weights_of
from ovseg_ros.models.weights import ASSETS
from ovseg_ros.presets import load_preset
from ovseg_ros.segmenters.build import SegmenterConfig, build_segmenter
from ovseg_ros.segmenters.prompts import templates
from ovseg_ros.segmenters.tipsv2 import windows
from ovseg_ros.segmenters.tipsv2.model import values
from ovseg_ros.segmenters.tipsv2.segmenter import Tipsv2Segmenter
from ovseg_ros.types import Category, Vocabulary

MakeSegmenter = Callable[..., Tipsv2Segmenter]
NAMES = ("mug", "duck", "wooden table", "robot arm", "wall")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def class_text(segmenter: Tipsv2Segmenter) -> Tensor:
    """The nine sentences of every name, normalised, averaged, normalised."""
    rows = []
    for name in NAMES:
        sentences = [template.format(name) for template in templates("tipsv2")]
        tokens = segmenter.tower._tokenizer(sentences, padding="max_length", max_length=64)
        ids, mask = (torch.tensor(tokens[key]) for key in ("input_ids", "attention_mask"))
        found = segmenter.tower._text(input_ids=ids, attention_mask=mask).pooler_output
        rows.append(F.normalize(F.normalize(found, dim=-1).mean(0), dim=-1))
    return torch.stack(rows)


def cosines(segmenter: Tipsv2Segmenter, image: Tensor) -> Tensor:
    """Cosines (K, h, w) of an image (3, H, W) in 0..1 as the authors' notebook finds them."""
    size = [-(-side // 14) * 14 for side in image.shape[1:]]
    if size != list(image.shape[1:]):
        image = F.interpolate(image[None], size=size, mode="bicubic", align_corners=False)[0]
    patches = F.normalize(values(segmenter._vision, image[None])[0], dim=-1)
    return torch.einsum("cd,hwd->chw", class_text(segmenter), patches)


def slide(segmenter: Tipsv2Segmenter, image: Tensor, side: int, stride: int) -> Tensor:
    """Mean probabilities (K, H, W) of windows, every map at full size."""
    height, width = image.shape[1:]
    total, count = torch.zeros(len(NAMES), height, width), torch.zeros(height, width)
    for i in range(max(height - side + stride - 1, 0) // stride + 1):
        for j in range(max(width - side + stride - 1, 0) // stride + 1):
            bottom, right = min(i * stride + side, height), min(j * stride + side, width)
            top, left = max(bottom - side, 0), max(right - side, 0)
            part = image[:, top:bottom, left:right]
            maps = F.interpolate(
                cosines(segmenter, part)[None], size=part.shape[1:], mode="bilinear"
            )[0]
            total[:, top:bottom, left:right] += maps.softmax(0)
            count[top:bottom, left:right] += 1
    return total / count


def shrunk(image: np.ndarray, size_hw: tuple[int, int]) -> Tensor:
    """Return an image as the authors' Pillow resizes it, (3, h, w) in 0..1."""
    small = Image.fromarray(image).resize(size_hw[::-1], Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("image_hw", [(56, 56), (60, 90), (90, 60), (40, 56)])
@torch.inference_mode()
def test_whole_images_are_the_cosine_of_value_and_text(
    make_segmenter: MakeSegmenter, image_hw: tuple[int, int]
):
    segmenter, images = make_segmenter(), noise(2, *image_hw)
    found = segmenter.similarity(images, NAMES)
    size = segmenter.input_hw(image_hw)
    assert min(size) == 56
    for image, maps in zip(images, found, strict=True):
        pixels = shrunk(image, size)
        torch.testing.assert_close(maps, cosines(segmenter, pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("image_hw", "options", "input_hw"),
    [
        ((480, 640), {}, (448, 597)),  # as int(448 * 640 / 480)
        ((640, 480), {}, (597, 448)),
        ((448, 448), {}, (448, 448)),
        ((49, 49), {}, (448, 448)),
        ((1080, 1920), {}, (448, 796)),
        ((1080, 1920), {"long_side": 640}, (360, 640)),
        ((1, 1000), {}, (448, 1792)),  # a sliver is squeezed
        ((1, 1000), {"long_side": 640}, (1, 640)),
        ((30, 40), {"short_side": 42}, (42, 56)),
    ],
)
def test_sizes(
    make_segmenter: MakeSegmenter,
    image_hw: tuple[int, int],
    options: dict[str, int],
    input_hw: tuple[int, int],
):
    assert make_segmenter(**{"short_side": 448, **options}).input_hw(image_hw) == input_hw


class TestWindows:
    @pytest.mark.parametrize(
        ("window", "stride", "image_hw"),
        [
            (56, 42, (60, 100)),
            (56, 42, (56, 56)),
            (28, 20, (48, 64)),
            (30, 30, (50, 48)),  # no whole patches
            (448, 336, (48, 64)),  # larger than the image
            (28, 400, (56, 90)),  # a stride is at most the window
        ],
    )
    @pytest.mark.parametrize("chunk", [windows.CHUNK, 2000])
    @torch.inference_mode()
    def test_they_are_the_published_ones(
        self,
        make_segmenter: MakeSegmenter,
        monkeypatch: pytest.MonkeyPatch,
        window: int,
        stride: int,
        image_hw: tuple[int, int],
        chunk: int,
    ):
        monkeypatch.setattr(windows, "CHUNK", chunk)
        segmenter, images = make_segmenter(window=window, stride=stride), noise(2, *image_hw)
        result = segmenter.segment(images, Vocabulary.of(*NAMES))
        size = segmenter.input_hw(image_hw)
        for image, labels, confidence in zip(images, result.labels, result.confidence, strict=True):
            pixels = shrunk(image, size)
            maps = slide(segmenter, pixels, window, min(stride, window))
            maps = F.interpolate(maps[None], size=image_hw, mode="bilinear")[0]
            best, second = maps.topk(2, 0).values
            sure = ((best - second) > 1e-6).numpy()
            assert sure.mean() > 0.9
            np.testing.assert_array_equal(labels[sure], maps.argmax(0).numpy()[sure] + 1)
            share = (maps.log() / segmenter._temperature).softmax(0).amax(0)
            np.testing.assert_allclose(confidence, (255 * share).numpy(), atol=1.5)

    def test_one_window_is_the_whole_image(self, make_segmenter: MakeSegmenter):
        images, words = noise(1, 56, 56), Vocabulary.of(*NAMES)
        whole, one = (make_segmenter(window=w).segment(images, words) for w in (0, 56))
        assert (whole.labels == one.labels).mean() > 0.97
        assert np.abs(whole.confidence.astype(int) - one.confidence).mean() < 3

    @pytest.mark.parametrize(("level", "low", "high"), [(1.0, 0, 0), (1e-9, 0.01, 1)])
    def test_a_background(
        self, make_segmenter: MakeSegmenter, level: float, low: float, high: float
    ):
        segmenter = make_segmenter(window=56, background=level)
        result = segmenter.segment(noise(1, 50, 70), Vocabulary.of(*NAMES))
        assert low <= (result.labels > 0).mean() <= high


@pytest.mark.parametrize("window", [0, 56])
class TestMasks:
    @pytest.mark.parametrize("image_hw", [(37, 53), (1, 1), (2, 300), (120, 90)])
    def test_they_have_the_size_of_the_image(
        self, make_segmenter: MakeSegmenter, window: int, image_hw: tuple[int, int]
    ):
        result = make_segmenter(window=window).segment(noise(2, *image_hw), Vocabulary.of(*NAMES))
        assert result.labels.shape == result.confidence.shape == (2, *image_hw)
        assert result.labels.dtype == result.confidence.dtype == np.uint8
        assert 1 <= result.labels.min() <= result.labels.max() <= 5

    def test_labels_are_the_ids_of_the_vocabulary(self, make_segmenter: MakeSegmenter, window: int):
        segmenter, images = make_segmenter(window=window), noise(1, 20, 30)
        plain = segmenter.segment(images, Vocabulary.of("mug", "duck"))
        spread = Vocabulary(categories=(Category(id=7, name="mug"), Category(id=300, name="duck")))
        result = segmenter.segment(images, spread)
        assert result.labels.dtype == np.uint16
        np.testing.assert_array_equal(result.labels, np.array([0, 7, 300])[plain.labels])

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    def test_half_precision_sees_nearly_the_same(
        self, make_segmenter: MakeSegmenter, window: int, dtype: str
    ):
        images, words = noise(1, 60, 80), Vocabulary.of(*NAMES)
        full = make_segmenter(window=window).segment(images, words)
        half = make_segmenter(window=window, dtype=dtype).segment(images, words)
        assert (full.labels == half.labels).mean() > 0.9

    def test_a_temperature(self, make_segmenter: MakeSegmenter, window: int):
        images, words = noise(1, 20, 30), Vocabulary.of(*NAMES)
        cold, warm = (
            make_segmenter(window=window, temperature=t).segment(images, words)
            for t in (0.001, 1.0)
        )
        np.testing.assert_array_equal(cold.labels, warm.labels)
        assert cold.confidence.mean() > warm.confidence.mean() + 50


def test_the_temperature_is_the_models(
    make_segmenter: MakeSegmenter, weights: Path, tmp_path: Path
):
    assert make_segmenter()._temperature == pytest.approx(0.005065968)  # at initialisation
    folder = shutil.copytree(weights, tmp_path / "learned")
    tensors = load_file(folder / "model.safetensors")
    tensors["temperature"] = torch.tensor(0.01)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert make_segmenter(weights=str(folder))._temperature == pytest.approx(0.01)


class TestWords:
    def test_known_ones_run_one_tower_once(self, make_segmenter: MakeSegmenter):
        segmenter, images = make_segmenter(), noise(1, 20, 30)
        segmenter.segment(images, Vocabulary.of(*NAMES))
        assert segmenter.text.encoded == 5
        with mock.patch.object(segmenter.tower, "_read", side_effect=AssertionError):
            segmenter.segment(images, Vocabulary.of(*reversed(NAMES)))

    def test_a_restart_encodes_nothing_and_other_weights_do(
        self, make_segmenter: MakeSegmenter, weights: Path, tmp_path: Path
    ):
        make_segmenter().embed(NAMES)
        again = make_segmenter()
        again.embed(NAMES)
        assert again.text.encoded == 0
        folder = shutil.copytree(weights, tmp_path / "other")
        tensors = load_file(folder / "model.safetensors")
        tensors["text_encoder.ln_final.bias"] += 0.1  # by the authors' names
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        other = make_segmenter(weights=str(folder))
        other.embed(NAMES)
        assert other.text.encoded == 5

    def test_case_is_no_matter(self, make_segmenter: MakeSegmenter):
        segmenter = make_segmenter()
        np.testing.assert_allclose(segmenter.embed(["TV"]), segmenter.embed(["tv"]), atol=1e-6)


def test_it_is_built_by_name(weights: Path):
    config = from_mapping(SegmenterConfig, {"name": "tipsv2", "tipsv2.weights": str(weights)})
    segmenter = build_segmenter(config, device="cpu", dtype="float32")
    assert (segmenter.name, segmenter.device, segmenter.cadence) == ("tipsv2", "cpu", "frame")


def test_other_weights_are_refused(make_segmenter: MakeSegmenter):
    for name in ("nobody/nothing", str(ASSETS / "blip")):
        with pytest.raises(FileNotFoundError, match="weights: "):
            make_segmenter(weights=name)


@pytest.mark.parametrize(
    ("preset", "weights", "window"),
    [
        ("tipsv2", "google/tipsv2-l14", 0),
        ("tipsv2_b", "google/tipsv2-b14", 0),
        ("tipsv2_windows", "google/tipsv2-l14", 448),
    ],
)
def test_presets(preset: str, weights: str, window: int):
    config = load_preset(preset)
    own = config.segmenter.tipsv2
    assert config.segmenter.name == "tipsv2"
    assert (own.templates, own.short_side, own.window, own.stride) == ("tipsv2", 448, window, 336)
    assert dict(weights_of(config))["segmenter.tipsv2.weights"] == weights
