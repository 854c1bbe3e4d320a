"""The published shapes, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from ovseg_ros.segmenters.xdecoder.architecture import FOCAL_L, FOCAL_T, Architecture
from ovseg_ros.segmenters.xdecoder.model import XDecoder


@pytest.mark.parametrize(
    ("config", "tensors", "parameters"), [(FOCAL_L, 925, 340_463_353), (FOCAL_T, 721, 163_799_025)]
)
def test_published_models_build_from_their_shapes(
    config: Architecture, tensors: int, parameters: int
):
    """Checkpoints hold four tensors more, which captioning needs (see test_checkpoint)."""
    with torch.device("meta"):
        model = XDecoder(config)
    assert len(model.state_dict()) == tensors
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_json_and_back():
    values = json.loads(json.dumps(FOCAL_T.to_json()))
    assert Architecture.from_json(values) == FOCAL_T
    with pytest.raises(ValueError, match="no entry colour"):
        Architecture.from_json({**values, "colour": 1})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"depths": (2, 2)}, "depths: expected four"),
        ({"queries": 1}, "queries: expected"),
        ({"heads": 7}, "heads: expected a divisor of 512, got 7"),
        ({"groups": 3}, "groups: expected a divisor"),
        ({"width": 6}, "width: expected a multiple of 4"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, object], reason: str):
    with pytest.raises(ValueError, match=reason):
        replace(FOCAL_L, **change)
