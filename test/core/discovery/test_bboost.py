"""BBoost as a whole, on a BLIP that knows nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from ovseg_ros.config import flatten, from_mapping
from ovseg_ros.discovery.bboost import BBoost
from ovseg_ros.discovery.build import build_discoverer
from ovseg_ros.discovery.captioner import Captioner
from ovseg_ros.discovery.config import BBoostConfig, DiscoveryConfig
from ovseg_ros.language.nouns import NounConfig

SMALL = {"sizes": (96, 128), "positional_dims": 16, "caption_size": 128, "inits": 4}


def _bboost(captioner: Captioner, **options: object) -> BBoost:
    return BBoost(captioner, NounConfig(), BBoostConfig(**{**SMALL, **options}))


def test_the_papers_values_are_the_defaults() -> None:
    config = DiscoveryConfig()
    assert config.bboost.sizes == (384, 512)
    assert (config.bboost.k_min, config.bboost.k_max, config.bboost.inits) == (2, 8, 8)
    assert (config.bboost.crf_weight, config.bboost.crf_theta) == (6.0, 0.8)
    assert (config.captioner.passes, config.captioner.top_p) == (5, 1.0)
    assert from_mapping(DiscoveryConfig, flatten(config)) == config


@pytest.mark.parametrize("mode", ["global", "local", "concat", "cls"])
def test_discover(captioner: Captioner, image: np.ndarray, mode: str) -> None:
    found = _bboost(captioner, caption_mode=mode).discover(image)
    assert found.clusters is not None
    assert found.clusters.shape == (8, 8)
    assert found.clusters.dtype == np.int64
    clusters = len(found.cluster_names)
    assert set(np.unique(found.clusters)) == set(range(clusters))
    assert 2 <= clusters <= 8
    assert len(found.captions) == 2 * clusters
    assert found.names
    assert set(found.cluster_names) <= {*found.names, ""}
    assert list(found.proposals) == sorted(found.proposals, key=lambda p: (-p.score, p.name))


def test_clusters_follow_the_image(captioner: Captioner, image: np.ndarray) -> None:
    clusters = _bboost(captioner).discover(image).clusters
    assert clusters is not None
    quarters = [clusters[r : r + 4, c : c + 4] for r in (0, 4) for c in (0, 4)]
    winners = [int(np.bincount(quarter.ravel()).argmax()) for quarter in quarters]
    assert len(set(winners)) == 4
    pure = [(q == w).mean() for q, w in zip(quarters, winners, strict=True)]
    assert min(pure) > 0.8


def test_same_seed_same_discovery(captioner: Captioner, image: np.ndarray) -> None:
    bboost = _bboost(captioner)
    first, again, other = (bboost.discover(image, seed=seed) for seed in (3, 3, 4))
    assert first.captions == again.captions
    assert first.proposals == again.proposals
    np.testing.assert_array_equal(first.clusters, again.clusters)
    assert first.captions != other.captions


def test_memories(captioner: Captioner, image: np.ndarray) -> None:
    whole = captioner.encode(image, 64)
    clusters = np.array([[0, 0], [1, 2]])
    sizes = {
        mode: [len(m) for m in _bboost(captioner, caption_mode=mode).memories(whole, clusters)]
        for mode in ("global", "local", "concat", "cls")
    }
    assert sizes == {
        "global": [8, 4, 4],
        "local": [9, 5, 5],
        "concat": [17, 9, 9],
        "cls": [1, 1, 1],
    }
    concat = _bboost(captioner).memories(whole, clusters)[1]
    lower_left = torch.tensor([8, 9, 12, 13])
    torch.testing.assert_close(concat[:5], captioner.encode_parts(whole, [lower_left])[0])
    torch.testing.assert_close(concat[5:], whole.patches[lower_left])


def test_a_cluster_too_fine_for_the_captioning_grid(
    captioner: Captioner, image: np.ndarray
) -> None:
    clusters = np.zeros((8, 8), dtype=np.int64)
    clusters[0, 0] = 1
    whole = captioner.encode(image, 64)
    for mode in ("global", "local", "concat"):
        memories = _bboost(captioner, caption_mode=mode).memories(whole, clusters)
        assert min(len(memory) for memory in memories) >= 1


@pytest.mark.parametrize("crf", ["pydensecrf", "torch", "none"])
def test_crf_backends(captioner: Captioner, image: np.ndarray, crf: str) -> None:
    assert _bboost(captioner, crf=crf).discover(image).cluster_names


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 400, 3)])
def test_odd_and_empty_images(captioner: Captioner, shape: tuple[int, int, int]) -> None:
    found = _bboost(captioner).discover(np.full(shape, 128, dtype=np.uint8))
    assert found.clusters is not None


def test_masks_at_the_images_edges(captioner: Captioner, image: np.ndarray) -> None:
    found = _bboost(captioner, refine_clusters=True).discover(image)
    assert found.clusters is not None
    assert found.clusters.shape == image.shape[:2]


def test_the_whole_image_is_asked_when_no_part_has_a_name(
    captioner: Captioner, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name_the_whole(memories: list[torch.Tensor], *, seed: int) -> list[list[str]]:
        return [["a mug", "of the"] if len(memory) == 65 else ["of the"] for memory in memories]

    monkeypatch.setattr(captioner, "caption", name_the_whole)
    found = _bboost(captioner).discover(image)
    assert [(p.name, p.score) for p in found.proposals] == [("mug", 0.5)]
    assert not any(found.cluster_names)


def test_no_names_is_an_empty_vocabulary_and_a_warning(
    captioner: Captioner,
    image: np.ndarray,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def say_nothing(memories: list[torch.Tensor], *, seed: int) -> list[list[str]]:
        return [["of the", ""] for _ in memories]

    monkeypatch.setattr(captioner, "caption", say_nothing)
    with caplog.at_level(logging.WARNING):
        found = _bboost(captioner).discover(image)
    assert found.proposals == ()
    assert not any(found.cluster_names)
    assert len(found.captions) == 2 * len(found.cluster_names) + 2  # the whole image was asked, too
    assert "vocabulary of this image is empty" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k_min": 5, "k_max": 4}, "k_max: expected >= k_min"),
        ({"sizes": ()}, "sizes: expected at least one"),
        ({"positional_dims": 6}, "positional_dims: expected a multiple of 4"),
        ({"caption_mode": "both"}, "caption_mode: expected one of"),
        ({"sizes": (100,)}, "sizes: expected multiples of 16"),
        ({"sizes": (32,)}, "sizes: expected multiples of 16 pixels with at least k_max"),
        ({"caption_size": 40}, "caption_size: expected multiples of 16"),
    ],
)
def test_wrong_options(captioner: Captioner, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _bboost(captioner, **options)


def test_build(blip_folder: Path, image: np.ndarray) -> None:
    options = {"captioner.weights": str(blip_folder), "captioner.passes": 1, "caption.size": 64}
    for name in ("bboost", "caption"):
        config = from_mapping(DiscoveryConfig, {**options, "name": name, "bboost": SMALL})
        discoverer = build_discoverer(config, device="cpu", dtype="float32")
        assert discoverer is not None
        assert (discoverer.name, discoverer.device) == (name, "cpu")
        found = discoverer.discover(image, seed=1)
        assert (found.clusters is None) == (name == "caption")
    assert build_discoverer(DiscoveryConfig(name="none"), device="cpu", dtype="float32") is None
    with pytest.raises(ValueError, match="size: expected a multiple of 16"):
        config = from_mapping(DiscoveryConfig, {**options, "name": "caption", "caption.size": 65})
        build_discoverer(config, device="cpu", dtype="float32")
    with pytest.raises(ValueError, match="name: expected one of 'bboost'"):
        DiscoveryConfig(name="magic")
