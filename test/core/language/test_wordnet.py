"""The bundled nouns of WordNet 3.0."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovseg_ros.language import wordnet

ROOT = Path(__file__).parents[3]


def synonyms(noun: str, *, senses: int | None = None) -> set[str]:
    return {name for synset in wordnet.synsets(noun)[:senses] for name in wordnet.lemmas(synset)}


@pytest.mark.parametrize(
    "noun", ["mug", "teddy bear", "Teddy_Bear", "  soccer   ball ", "race car"]
)
def test_known(noun: str) -> None:
    assert wordnet.known(noun)


@pytest.mark.parametrize(
    "noun", ["", " ", "mugs", "quickly", "jenga", "bear teddy", "caf\u00e9\u2603"]
)
def test_unknown(noun: str) -> None:
    assert not wordnet.known(noun)
    assert wordnet.synsets(noun) == ()
    assert synonyms(noun) == wordnet.hypernyms(noun) == frozenset()
    assert not wordnet.is_a(noun, "entity")
    assert not wordnet.is_a("mug", noun)


def test_senses_come_in_wordnets_order() -> None:
    # Offsets as published: dog.n.01 is ImageNet's n02084071.
    assert wordnet.synsets("dog")[0] == 2084071
    assert wordnet.lemmas(2084071) == ("dog", "domestic dog", "canis familiaris")
    assert "cad" in synonyms("dog")
    assert synonyms("dog", senses=1) == {"dog", "domestic dog", "canis familiaris"}


def test_no_such_synset() -> None:
    with pytest.raises(ValueError, match="synset: expected the offset"):
        wordnet.lemmas(1)


@pytest.mark.parametrize(
    ("noun", "ancestor", "senses", "expected"),
    [
        ("mug", "mug", 1, True),
        ("mug", "container", None, True),
        ("container", "mug", None, False),
        ("duck", "animal", 1, True),
        ("sofa", "couch", 1, True),
        ("soccer ball", "ball", 1, True),
        ("teddy bear", "bear", None, False),
        ("dog", "scoundrel", 1, False),
        ("dog", "person", None, True),  # a cad
        ("dog", "person", 1, False),
        ("mug", "entity", 1, True),
        ("paris", "city", None, True),  # through instance hypernyms
    ],
)
def test_is_a(noun: str, ancestor: str, senses: int | None, expected: bool) -> None:
    assert wordnet.is_a(noun, ancestor, senses=senses) is expected


def test_hypernyms_do_not_contain_the_noun_itself() -> None:
    above = wordnet.hypernyms("duck", senses=1)
    assert {"waterfowl", "bird", "animal", "entity"} <= above
    assert "duck" not in above


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("ducks", "duck"),
        ("boxes", "box"),
        ("teddy bears", "teddy bear"),
        ("mice", "mouse"),
        ("men", "man"),
        ("firemen", "fireman"),
        ("babies", "baby"),
        ("knives", "knife"),
        ("scissors", "scissors"),
        ("mug", "mug"),
        ("xs", None),
        ("", None),
        ("blorps", None),
    ],
)
def test_base_form(plural: str, singular: str | None) -> None:
    assert wordnet.base_form(plural) == singular


@given(st.text(max_size=20))
def test_any_text_may_be_asked_for(text: str) -> None:
    base = wordnet.base_form(text)
    assert base is None or wordnet.known(base) or " " not in base
    assert wordnet.known(text) == bool(synonyms(text))


def test_build_script_writes_what_the_loader_reads(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "build_wordnet.py"
    spec = importlib.util.spec_from_file_location("build_wordnet", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    licence = "  1 This software and database is being provided\n"
    (tmp_path / "data.noun").write_text(
        licence + "00000017 03 n 02 Teddy_bear 0 teddy 0 003 @ 00000042 n 0000 ~ 00000099 n 0000 "
        "@i 00000050 n 0000 | a toy bear  \n"
    )
    (tmp_path / "index.noun").write_text(licence + "teddy n 2 1 @ 2 0 00000017 00000042  \n")
    (tmp_path / "noun.exc").write_text("mice mouse\n")
    assert list(module.read_synsets(tmp_path / "data.noun")) == ["17\tteddy bear|teddy\t42 50"]
    assert list(module.read_words(tmp_path / "index.noun")) == ["teddy\t17 42"]
    assert list(module.read_plurals(tmp_path / "noun.exc")) == ["mice\tmouse"]


def test_every_sense_and_every_hypernym_is_there() -> None:
    packed = (ROOT / "ovseg_ros" / "data" / "wordnet_nouns.txt.gz").read_bytes()
    synsets, words, _ = gzip.decompress(packed).decode("ascii").split("\n\n")
    rows = [line.split("\t") for line in synsets.split("\n")]
    offsets = {row[0] for row in rows}
    assert len(offsets) == len(rows) == 82_115  # as Princeton's statistics say
    assert {parent for row in rows for parent in row[2].split()} <= offsets
    senses = [line.split("\t")[1].split() for line in words.split("\n")]
    assert len(senses) == 117_798
    assert {offset for word in senses for offset in word} == offsets
