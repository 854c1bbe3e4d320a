"""What BBoost's release does differently from the paper, and that the switch brings all of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.discovery import clustering, released
from ovseg_ros.discovery.bboost import BBoost
from ovseg_ros.discovery.captioner import Captioner
from ovseg_ros.discovery.config import BBoostConfig
from ovseg_ros.language.nouns import NounConfig

CONFIG = BBoostConfig(sizes=(96, 128), positional_dims=16, caption_size=128, inits=4)


def _both(captioner: Captioner, **options: object) -> tuple[BBoost, BBoost]:
    config = replace(CONFIG, **options)
    paper = BBoost(captioner, NounConfig(), config)
    return paper, BBoost(captioner, NounConfig(), replace(config, as_released=True))


def test_the_paper_is_the_default() -> None:
    assert BBoostConfig().as_released is False


def test_starts_are_distinct_and_the_same_for_every_image() -> None:
    starts = released.kmeans_starts(30, range(2, 5), 8)
    assert starts.shape == (24, 4)
    assert torch.equal(starts, released.kmeans_starts(30, range(2, 5), 8))
    assert all(len(set(row[:2].tolist())) == 2 for row in starts[:8])
    assert all(len(set(row.tolist())) == 4 for row in starts[16:])


def test_labels_are_resized_as_opencv_does() -> None:
    labels = np.arange(24 * 24).reshape(24, 24)
    theirs = cv2.resize(labels.astype(np.int32), (32, 32), interpolation=cv2.INTER_NEAREST)
    ours = released.resize_labels(torch.from_numpy(labels), (32, 32)).numpy()
    np.testing.assert_array_equal(ours, theirs)
    paper = clustering.resize_labels(torch.from_numpy(labels), (32, 32)).numpy()
    assert (paper != theirs).any()


def test_clusters_are_aligned_by_the_fewest_differing_points() -> None:
    rng = np.random.default_rng(0)
    others = 0
    for _ in range(20):
        runs = np.stack([rng.integers(0, 4, 30) ** 2, rng.integers(0, 3, 30)])  # 0, 1, 4, 9
        runs[0, :4] = 0, 1, 4, 9

        def cost(names: tuple[int, ...], runs: np.ndarray = runs) -> int:
            pairs = [(runs[1] == a, runs[0] == b) for a, b in enumerate(names)]
            return sum(int((own != target).sum()) for own, target in pairs)

        def names_of(aligned: np.ndarray, runs: np.ndarray = runs) -> tuple[int, ...]:
            return tuple(int(aligned[1][runs[1] == a][0]) for a in range(3))

        best = min(cost(names) for names in permutations((0, 1, 4, 9), 3))
        assert cost(names_of(released.align(runs))) == best
        by_iou = np.array([0, 1, 4, 9])[clustering.align(runs)]
        others += cost(names_of(by_iou)) != best
    assert others > 0


def test_smoothing_takes_rows_for_classes() -> None:
    """One round by hand: softmax over rows, neighbours are columns and clusters."""
    rng = np.random.default_rng(0)
    unary = rng.random((3, 4, 5), dtype=np.float32)  # clusters, rows, columns
    belief = np.exp(unary) / np.exp(unary).sum(1, keepdims=True)
    kernel = {d: np.exp(-((d / 0.8) ** 2) / 2) for d in range(-5, 6) if d}
    expected = np.zeros_like(unary)
    for c in range(3):
        for column in range(5):
            for dc, weight in kernel.items():
                for dx, other in kernel.items():
                    if 0 <= c + dc < 3 and 0 <= column + dx < 5:
                        expected[c, :, column] += weight * other * belief[c + dc, :, column + dx]
    found = released.smooth(unary, weight=6.0, theta=0.8, iterations=1)
    np.testing.assert_allclose(found, unary + 6 * expected, rtol=1e-4)


def test_positions_drift_from_image_to_image(captioner: Captioner) -> None:
    table = captioner.model.vision_model.embeddings.position_embedding.detach()

    def resize(grid: torch.Tensor, side: int) -> torch.Tensor:
        old = round(grid.shape[1] ** 0.5)
        maps = grid.unflatten(1, (old, old)).permute(0, 3, 1, 2)
        return F.interpolate(maps, (side, side), mode="bicubic").flatten(2).transpose(1, 2)

    drifting = released.DriftingPositions(table, 8)
    eight = resize(table[:, 1:], 8)
    torch.testing.assert_close(drifting.resize(8)[:, 1:], eight)
    torch.testing.assert_close(drifting.resize(6)[:, 1:], resize(eight, 6))
    torch.testing.assert_close(drifting.resize(8)[:, 1:], resize(resize(eight, 6), 8))
    torch.testing.assert_close(drifting.resize(8)[:, :1], table[:, :1])


def test_pixels_are_not_normalised(captioner: Captioner, image: np.ndarray) -> None:
    embed = captioner.model.vision_model.embeddings
    drifting = released.DriftingPositions(embed.position_embedding.detach(), 4)
    found = captioner.encode(image, 64, released=drifting)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    pixels = F.interpolate(pixels, size=(64, 64), mode="bilinear", antialias=True)
    patches = embed.patch_embedding(pixels).flatten(2).transpose(1, 2)[0]
    torch.testing.assert_close(found.inputs[1:] - found.positions[1:], patches.detach())


def test_patches_stand_one_cell_too_far_and_parts_at_the_first_places(
    captioner: Captioner, image: np.ndarray
) -> None:
    paper, repeated = _both(captioner, caption_mode="concat")
    whole = captioner.encode(image, 64)
    clusters = np.array([[0, 0], [1, 2]])
    lower_left = torch.tensor([8, 9, 12, 13])
    ours, theirs = (b.memories(whole, clusters)[1] for b in (paper, repeated))
    torch.testing.assert_close(ours[5:], whole.features[1:][lower_left])
    torch.testing.assert_close(theirs[5:], whole.features[:-1][lower_left])
    tokens = (whole.inputs - whole.positions)[1:][lower_left] + whole.positions[1:5]
    inputs = torch.cat((whole.inputs[:1], tokens))
    torch.testing.assert_close(theirs[:5], captioner._transform(inputs[None])[0])
    assert not torch.allclose(ours[:5], theirs[:5])


def test_a_released_discovery_names_something_else(captioner: Captioner, image: np.ndarray) -> None:
    paper, repeated = _both(captioner)
    ours, theirs = paper.discover(image, seed=1), repeated.discover(image, seed=1)
    assert theirs.names
    assert ours.clusters is not None
    assert theirs.clusters is not None
    assert theirs.clusters.shape == ours.clusters.shape
    assert (theirs.clusters != ours.clusters).any()
    first = repeated.discover(image, seed=1)
    assert first.captions != theirs.captions  # the positions have drifted


def test_top_k_keeps_unlikely_words_out(captioner: Captioner, image: np.ndarray) -> None:
    assert captioner.config.top_k == 50
    whole = captioner.encode(image, 64)

    def captions(top_k: int) -> list[list[str]]:
        twin = object.__new__(Captioner)
        vars(twin).update(vars(captioner), config=replace(captioner.config, top_k=top_k, passes=4))
        return twin.caption([whole.features], seed=0)

    assert len({*captions(1)[0]}) == 1  # the likeliest word each time
    assert len({*captions(0)[0]}) > 1
    with pytest.raises(ValueError, match="top_k: expected"):
        replace(captioner.config, top_k=-1)
