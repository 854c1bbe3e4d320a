"""Score the names that a preset discovers on photographs whose objects are listed.

    python scripts/score_photographs.py FOLDER LIST.json [PRESET]

LIST maps file names to {"main": [...], "also": [...]}, as test/core/discovery/scikit_image.json
does (with its rule, which is the one followed here) for the pictures of scikit-image's package.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ovseg_ros.language import wordnet
from ovseg_ros.photographs import read_image
from ovseg_ros.pipeline import build_pipeline
from ovseg_ros.presets import pipeline_options

SENSES = 3
"""How many senses of a word count, the most frequent first."""


def means(name: str, truth: str) -> bool:
    """Return whether a name means, is a kind of, or is a wider word for what is there."""
    return (
        name == truth
        or wordnet.is_a(name, truth, senses=SENSES)
        or wordnet.is_a(truth, name, senses=SENSES)
    )


def main(folder: str, listed: str, preset: str = "robot_cell") -> None:
    """Print what is found in every picture, and the sums."""
    given = json.loads(Path(listed).read_text())
    pipeline = build_pipeline(pipeline_options(preset, []))
    assert pipeline.discoverer is not None
    hits = right = wrong = 0
    pictures = given.get("pictures", given)
    for file, truth in pictures.items():
        found = pipeline.discoverer.discover(read_image(Path(folder) / file), seed=0)
        good = [n for n in found.names if any(means(n, t) for t in truth["main"] + truth["also"])]
        bad = [name for name in found.names if name not in good]
        hit = any(means(name, t) for name in good for t in truth["main"])
        hits, right, wrong = hits + hit, right + len(good), wrong + len(bad)
        print(f"{file}: {'hit' if hit else 'missed'}; right {good}, wrong {bad}", flush=True)
    print(f"{hits} of {len(pictures)} main objects, {right} names right and {wrong} wrong")


if __name__ == "__main__":
    main(*sys.argv[1:])
