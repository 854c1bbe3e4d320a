"""What the authors' evaluation changes by data set, and how they write classes."""

from __future__ import annotations

import pytest

from ovseg_ros.evaluation.datasets.classes import bundled_classes
from ovseg_ros.segmenters.pnp_ovss.config import PnpOvssConfig
from ovseg_ros.segmenters.systems import dataset_rules, spell, spellers


@pytest.mark.parametrize(
    ("dataset", "background"),
    [
        ("voc20/val", "always"),
        ("voc21/val", "always"),
        ("coco_object/val", "always"),
        ("pc59/val", "few"),
        ("pc60/val", "few"),
        ("ade150/val", "few"),
        ("coco_stuff/val", "few"),
        ("/data/mine", "few"),
    ],
)
def test_background_by_data_set(dataset: str, background: str):
    rules = dataset_rules("pnp_ovss", dataset)
    assert rules is not None
    assert rules.options == {"segmenter.pnp_ovss.masks.background": background}
    assert rules.protocol == {"background_word": False}
    assert "background" in rules.about


def test_end_marks_vote_where_their_batches_are_repeated():
    rules = dataset_rules("pnp_ovss", "voc21/val", PnpOvssConfig(as_released=True))
    assert rules is not None
    assert rules.options["segmenter.pnp_ovss.saliency.end_votes"] is True


def test_other_systems_change_nothing():
    assert dataset_rules("xdecoder", "voc21/val") is None


@pytest.mark.parametrize(
    ("dataset", "classes", "examples"),
    [
        ("voc21/val", "voc", {"table", "pottedplant", "tvmonitor", "aeroplane"}),
        ("pc59/val", "context59", {"table", "pottedplant", "tvmonitor", "shelves"}),
        ("ade150/val", "ade150", {"chestofdrawers", "trafficlight", "trashcan", "crtscreen"}),
    ],
)
def test_classes_as_the_authors_write_them(dataset: str, classes: str, examples: set[str]):
    names = bundled_classes(classes).names
    spelled = [spell("pnp_ovss", dataset, name) for name in names]
    assert examples <= set(spelled)
    assert len(set(spelled)) == len(names)
    assert not any(" " in name for name in spelled)


def test_only_systems_with_spellings_are_offered():
    assert spellers() == ("pnp_ovss",)
