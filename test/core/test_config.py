"""Options: one dataclass tree for YAML, ROS parameters and people."""

from __future__ import annotations

import array
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovseg_ros.config import Config, describe, flatten, from_mapping, option
from ovseg_ros.pipeline import PipelineConfig


@dataclass(frozen=True, kw_only=True)
class Lens(Config):
    """The inner section."""

    kind: str = option("wide", "which lens", choices=("wide", "tele"))
    stops: tuple[float, ...] = option((2.8, 4.0), "apertures", low=1.0, high=32.0)
    notes: tuple[str, ...] = option((), "anything")


@dataclass(frozen=True, kw_only=True)
class Mount(Config):
    """The middle section."""

    lens: Lens = Lens()
    height_m: float = option(1.0, "height", low=0.0)
    tilt: int = option(0, "tilt", high=90)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tilt == 13:
            raise ValueError("tilt: expected any number but 13")


@dataclass(frozen=True, kw_only=True)
class Camera(Config):
    """The outer section."""

    rate_hz: int = option(30, "rate", low=1, high=120)
    on: bool = option(True, "whether it runs")
    mount: Mount = Mount()


FULL = {
    "rate_hz": 5,
    "on": False,
    "mount.height_m": 2.0,
    "mount.tilt": -3,
    "mount.lens.kind": "tele",
    "mount.lens.stops": [2.0, 8.0],
    "mount.lens.notes": [],
}


def test_options_are_read_from_nested_and_dotted_keys():
    nested = {
        "rate_hz": 5,
        "on": False,
        "mount": {
            "height_m": 2,  # ROS and YAML write whole numbers for floats
            "tilt": -3,
            "lens": {"kind": "tele", "stops": [2, 8.0], "notes": []},
        },
    }
    mixed = {**FULL}
    mixed["mount"] = {"tilt": mixed.pop("mount.tilt"), "lens.kind": mixed.pop("mount.lens.kind")}
    for mapping in (nested, FULL, mixed):
        camera = from_mapping(Camera, mapping)
        assert flatten(camera) == FULL
        assert type(camera.mount.height_m) is float
        assert camera.mount.lens.stops == (2.0, 8.0)
        assert all(type(stop) is float for stop in camera.mount.lens.stops)
        assert camera.mount.lens.notes == ()


def test_missing_keys_keep_their_defaults():
    assert from_mapping(Camera, {}) == Camera()
    assert from_mapping(Camera, {"mount": {}}) == Camera()
    changed = from_mapping(Camera, {"mount.lens.kind": "tele"})
    assert changed == Camera(mount=Mount(lens=Lens(kind="tele")))


def test_the_later_of_two_values_wins():
    preset = {"rate_hz": 5, "mount": {"tilt": 5, "lens": {"kind": "tele", "notes": ["a"]}}}
    camera = from_mapping(Camera, {**preset, "mount.lens.kind": "wide", "mount.tilt": 7})
    assert (camera.rate_hz, camera.mount.tilt) == (5, 7)
    assert (camera.mount.lens.kind, camera.mount.lens.notes) == ("wide", ("a",))
    camera = from_mapping(Camera, {"mount.lens.kind": "wide", **preset})
    assert camera.mount.lens.kind == "tele"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"rate": 5}, "rate: no such option; expected one of mount, on, rate_hz"),
        (
            {"mount": {"lens": {"kin": "tele"}}},
            "mount.lens.kin: no such option; expected one of kind, notes, stops",
        ),
        ({"mount.lens.kin": "x"}, "mount.lens.kin: no such option; expected one of kind"),
        ({"rate_hz.x": 5}, "rate_hz: expected int, got {'x': 5}"),
        ({"rate_hz": 0}, r"rate_hz: expected a value in \[1, 120\], got 0"),
        ({"rate_hz": 121}, r"rate_hz: expected a value in \[1, 120\], got 121"),
        ({"rate_hz": 5.0}, "rate_hz: expected int, got 5.0"),
        ({"rate_hz": True}, "rate_hz: expected int, got True"),
        ({"rate_hz": "5"}, "rate_hz: expected int, got '5'"),
        ({"rate_hz": None}, "rate_hz: expected int, got None"),
        ({"on": 1}, "on: expected bool, got 1"),
        ({"mount.height_m": -1}, "mount.height_m: expected at least 0.0, got -1.0"),
        ({"mount.height_m": float("nan")}, "mount.height_m: expected at least 0.0, got nan"),
        ({"mount.height_m": True}, "mount.height_m: expected float, got True"),
        ({"mount.tilt": 91}, "mount.tilt: expected at most 90, got 91"),
        ({"mount.tilt": 13}, "mount.tilt: expected any number but 13"),
        ({"mount": 3}, "mount: expected a mapping, got 3"),
        ({"mount": None}, "mount: expected a mapping, got None"),
        ({"mount": 3, "mount.tilt": 4}, "mount: expected a mapping or a value, got both"),
        ({"mount.tilt": 4, "mount": 3}, "mount: expected a mapping or a value, got both"),
        (
            {"mount.lens.kind": "zoom"},
            "mount.lens.kind: expected one of 'wide', 'tele', got 'zoom'",
        ),
        ({"mount.lens.stops": 2.0}, "mount.lens.stops: expected a list, got 2.0"),
        ({"mount.lens.stops": [2.0, "4"]}, "mount.lens.stops: expected float, got '4'"),
        ({"mount.lens.stops": [0.5]}, r"mount.lens.stops: expected a value in \[1.0, 32.0\]"),
        ({"mount.lens.stops": [float("nan")]}, "mount.lens.stops: .* got nan"),
        ({"mount.lens.notes": "abc"}, "mount.lens.notes: expected a list, got 'abc'"),
        ({"mount.lens.notes": {"a": 1}}, "mount.lens.notes: expected a list, got {'a': 1}"),
    ],
)
def test_a_wrong_option_is_named_in_full(mapping: Mapping[str, Any], message: str):
    with pytest.raises(ValueError, match=f"^{message}"):
        from_mapping(Camera, mapping)


def test_a_mapping_is_expected_at_the_top():
    with pytest.raises(ValueError, match=r"^Camera: expected a mapping, got 3"):
        from_mapping(Camera, 3)  # type: ignore[arg-type]


def test_sections_are_sections():
    with pytest.raises(ValueError, match=r"^mount: expected Mount, got \{\}"):
        Camera(mount={})  # type: ignore[arg-type]


def test_configurations_are_frozen_and_hashable():
    camera = Camera()
    with pytest.raises(FrozenInstanceError):
        camera.rate_hz = 3  # type: ignore[misc]
    assert hash(camera) == hash(Camera())
    assert Lens(stops=[3.0]).stops == (3.0,)  # type: ignore[arg-type]


def test_arrays_of_ros_become_tuples():
    lens = from_mapping(Lens, {"stops": array.array("d", [2.0, 4.0])})
    assert lens.stops == (2.0, 4.0)
    with pytest.raises(ValueError, match="stops: expected float"):
        from_mapping(Lens, {"stops": np.array([2.0])})  # numbers that YAML and ROS cannot hold


def test_leaves_are_described_for_people():
    leaves = {leaf.name: leaf for leaf in describe(Camera())}
    assert leaves.keys() == FULL.keys()
    rate, kind = leaves["rate_hz"], leaves["mount.lens.kind"]
    assert (rate.value, rate.help, rate.low, rate.high, rate.choices) == (30, "rate", 1, 120, None)
    assert kind.choices == ("wide", "tele")
    assert leaves["mount.lens.stops"].value == [2.8, 4.0]


cameras = st.builds(
    Camera,
    rate_hz=st.integers(1, 120),
    on=st.booleans(),
    mount=st.builds(
        Mount,
        height_m=st.floats(0, 1e6),
        tilt=st.integers(-90, 12),
        lens=st.builds(
            Lens,
            kind=st.sampled_from(["wide", "tele"]),
            stops=st.lists(st.floats(1, 32)).map(tuple),
            notes=st.lists(st.text()).map(tuple),
        ),
    ),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cameras)
def test_flat_parameters_give_the_same_tree_back(camera: Camera):
    assert from_mapping(Camera, flatten(camera)) == camera


def test_the_whole_pipeline_survives_the_round_trip_and_explains_itself():
    config = PipelineConfig()
    assert from_mapping(PipelineConfig, flatten(config)) == config
    assert [leaf.name for leaf in describe(config) if not leaf.help] == []
