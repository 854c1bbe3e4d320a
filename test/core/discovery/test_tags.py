"""The tower's own tags, and who is asked about which image."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ovseg_ros.discovery.config import TagsConfig
from ovseg_ros.discovery.familiar import Familiar
from ovseg_ros.discovery.tags import Tags, load_tags
from ovseg_ros.language import things
from ovseg_ros.robot_cell.recording import RecordedSequence
from ovseg_ros.types import Discovery, Proposal


@pytest.fixture(scope="module")
def tags() -> Tags:
    return load_tags(TagsConfig(), device="cpu")


def scene(tags: Tags, *classes: str) -> torch.Tensor:
    """Last features of an image with one class per column, (6, 4 * N, 192)."""
    prototypes = tags._prototypes[[things.class_names().index(name) for name in classes]]
    columns = prototypes.repeat_interleave(4, 0) * 9
    noise = torch.randn(6, len(columns), 192, generator=torch.Generator().manual_seed(0))
    return columns + 0.05 * noise


def test_parts_are_named_at_the_basic_level_with_the_finer_name_beside(tags: Tags):
    found = tags.name_parts(scene(tags, "alaskan malamute", "mountain bike", "zebra"))
    named = {proposal.name: proposal.synonyms for proposal in found.proposals}
    assert named["dog"] == ("alaskan malamute",)
    assert named["bicycle"] == ("mountain bike",)
    assert "zebra" in named
    assert found.clusters is not None and found.clusters.shape == (6, 12)
    assert len(found.cluster_names) == found.clusters.max() + 1


def test_the_level_is_a_choice(tags: Tags):
    fine = Tags(
        tags._tower,
        replace(tags.config, level="fine"),
        {"mean": tags._mean, "precision": tags._precision},
    )
    assert fine.name_parts(scene(tags, "alaskan malamute", "zebra")).names == (
        "alaskan malamute",
        "zebra",
    )


def test_what_is_no_class_stays_unnamed(tags: Tags):
    noise = torch.randn(6, 8, 192, generator=torch.Generator().manual_seed(0))
    assert tags.name_parts(noise).proposals == ()


def test_the_robot_cell_is_familiar_and_a_cat_is_not(tags: Tags):
    demo = RecordedSequence()[0].image
    assert tags.strangeness(tags.look(demo)) < tags.config.limit
    assert tags.strangeness(scene(tags, "tabby cat")) > tags.config.limit


@pytest.mark.parametrize(("strangeness", "asked"), [(10.0, "mug"), (30.0, "dog")])
def test_only_strange_images_get_tags(strangeness: float, asked: str):
    known = SimpleNamespace(device="cpu", discover=lambda image, seed: _found("mug"))
    stub = SimpleNamespace(
        look=lambda image: None,
        strangeness=lambda looks: strangeness,
        name_parts=lambda looks, seed: _found("dog"),
    )
    both = Familiar(known, stub, 20.0)  # type: ignore[arg-type]
    assert both.discover(np.zeros((8, 8, 3), np.uint8)).names == (asked,)


def _found(name: str) -> Discovery:
    return Discovery(proposals=(Proposal(name=name, score=0.5),))
