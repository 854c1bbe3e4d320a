"""The weights that ship: the preset's segmenter on frames of the recorded sequence."""

from __future__ import annotations

import json

from ovseg_ros.models.weights import ASSETS
from ovseg_ros.presets import load_preset
from ovseg_ros.robot_cell.recording import RecordedSequence
from ovseg_ros.segmenters.build import build_segmenter
from ovseg_ros.types import Vocabulary


def test_the_small_xdecoder_sees_the_cell():
    segmenter = build_segmenter(load_preset("robot_cell/autoseg").segmenter, device="cpu")
    assert (segmenter.name, segmenter.cadence) == ("xdecoder", "frame")
    sequence = RecordedSequence()
    names = [name for name in sequence.categories[1:] if name != "unlabelled"]
    hits = pixels = 0
    for number in (0, len(sequence) // 2):
        frame = sequence[number]
        found = segmenter.segment(frame.image[None], Vocabulary.of(*names)).labels[0]
        seen = frame.labels > 0
        hits += int((found[seen] == frame.labels[seen]).sum())
        pixels += int(seen.sum())
    assert hits / pixels > 0.7


def test_the_card_says_how_they_were_made():
    folder = ASSETS / "xdecoder"
    card = json.loads((folder / "card.json").read_text())
    assert card["command"].startswith("ovseg train xdecoder")
    assert card["metrics"]["val"]["miou"] > 0.5
    assert (folder / "model.safetensors").stat().st_size < 15e6
