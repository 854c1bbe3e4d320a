"""Which frames are worth a discovery."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ovseg_ros.discovery.config import KeyFrameConfig
from ovseg_ros.discovery.trigger import KeyFrameTrigger, global_feature

RNG = np.random.default_rng(0)
SCENE = np.repeat(np.repeat(RNG.integers(40, 180, (6, 8, 3), np.uint8), 20, 0), 20, 1)
OTHER = SCENE[::-1, ::-1].copy()
NOISY = np.clip(SCENE + RNG.normal(0, 8, SCENE.shape), 0, 255).astype(np.uint8)
BRIGHTER = np.clip(SCENE * 1.3 + 10, 0, 255).astype(np.uint8)


def drift(a: np.ndarray, b: np.ndarray) -> float:
    return 1 - float(global_feature(a) @ global_feature(b))


def test_another_scene_drifts_and_noise_or_exposure_do_not():
    assert drift(SCENE, SCENE) == pytest.approx(0, abs=1e-5)
    assert drift(SCENE, NOISY) < 0.01
    assert drift(SCENE, BRIGHTER) < 0.05
    assert drift(SCENE, OTHER) > 0.5
    assert drift(SCENE, 255 - SCENE) == pytest.approx(2, abs=0.01)
    assert drift(SCENE, np.roll(SCENE, 1, axis=2)) > 0.3  # other colours in the same places


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
@settings(max_examples=50, deadline=None)
def test_every_picture_has_a_feature(image):
    feature = global_feature(image)
    assert feature.shape == (576,)
    length = np.linalg.norm(feature)  # none if it is uniform once it is small, in whole grey levels
    assert length == 0 or length == pytest.approx(1, abs=1e-4)


def test_uniform_pictures_alone_have_no_feature():
    flat = np.full((48, 64, 3), 128, np.uint8)
    assert not global_feature(flat).any()
    halves = flat.copy()
    halves[:, 32:] += 1  # one grey level over many pixels
    assert np.linalg.norm(global_feature(halves)) == pytest.approx(1, abs=1e-4)
    speck = flat.copy()
    speck[0, 0] += 1  # one pixel of a place's 12
    assert not global_feature(speck).any()


def test_without_a_drift_every_frame_is_chosen():
    frames = KeyFrameTrigger(KeyFrameConfig())
    assert all(frames.choose(SCENE, float(second)) for second in range(5))


def test_a_covered_lens_does_not_drift():
    trigger = KeyFrameTrigger(KeyFrameConfig(drift=0.3, repeats=1))
    dark = np.zeros((60, 80, 3), np.uint8)
    assert [trigger.choose(dark, float(k)) for k in range(4)] == [True, False, False, False]
    assert trigger.choose(SCENE, 4.0)
    assert trigger.drift == pytest.approx(0.5, abs=1e-5)


def test_a_drift_is_discovered_some_times_and_stillness_now_and_then():
    frames = KeyFrameTrigger(KeyFrameConfig(drift=0.3, repeats=2, longest_s=10.0))
    pictures = [SCENE] * 5 + [OTHER] * 4 + [NOISY[::-1, ::-1]] * 11
    chosen = [second for second, image in enumerate(pictures) if frames.choose(image, second)]
    # The first and its repeat, the drift and its repeat, then ten seconds after the last one.
    assert chosen == [0, 1, 5, 6, 16]
    assert frames.drift < 0.01


def test_slow_drift_adds_up():
    """What counts is the distance from the last discovery, not from the frame before."""
    frames = KeyFrameTrigger(KeyFrameConfig(drift=0.3, repeats=1, longest_s=1e4))
    wide = np.hstack([SCENE, OTHER])
    chosen = [x for x in range(0, 160, 4) if frames.choose(wide[:, x : x + 160].copy(), x)]
    assert 2 <= len(chosen) < 20
    assert chosen[0] == 0
