"""Names are what shows: emoji and Persian with their joiners, and nothing invisible."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovseg_ros.types import normalise_name

NAMES = [
    "teddy bear",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # family
    "\u2764\ufe0f\u200d\U0001f525",  # heart on fire
    "\U0001f469\U0001f3fd\u200d\U0001f52c",  # a scientist with a tone of skin
    "\U0001f3f3\ufe0f\u200d\U0001f308 flag",
    "\U0001f3f4\u200d\u2620\ufe0f",  # pirate flag
    "\U0001f9d1\u200d\U0001f91d\u200d\U0001f9d1",
    "\U0001f6b4\U0001f3fb\u200d\u2642\ufe0f",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # England
    "1\ufe0f\u20e3",
    "\u2139\ufe0f",
    "\U0001fae8",  # an emoji that Unicode 15 brought
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: I want
    "\u06a9\u062a\u0627\u0628\u200c\u062e\u0627\u0646\u0647",  # library
    "\u0915\u094d\u200d\u0937",  # Devanagari, an explicit half form
    "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala
    "\u676f\u5b50",
    "\u8fbb\U000e0100",  # an ideograph in one of its shapes
    "cafe\u0301",
    "\ud55c\uad6d",
]

INVISIBLE = [
    *"\u2800\u3164\u115f\u1160\uffa0\u034f\u17b4\u180b\u200b\u200c\u200d\u200e\u202e\u2060\ufeff\ufe0f",
    *"\u00ad\u0301\u0300\u20e3\u064b\U000e0067\U000e0100\U0001d159\U00013441\U000f0000\u0378",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names(name: str):
    assert normalise_name(name) == unicodedata.normalize("NFC", name)
    assert normalise_name(f"  a {name} ") == unicodedata.normalize("NFC", f"a {name}")


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_what_shows_nothing_is_no_name(character: str):
    for name in (character, character * 3, f"mug {character}", f"{character} mug"):
        with pytest.raises(ValueError, match="name: expected"):
            normalise_name(name)


@pytest.mark.parametrize(
    "character", "\u2800\u3164\u200b\u200c\u200d\u2060\ufe0f\u034f\u202e", ids=ascii
)
def test_names_that_look_alike_are_not_two(character: str):
    for name in (f"mu{character}g", f"mug{character}", f"{character}mug"):
        with pytest.raises(ValueError, match=r"printable characters only, got U\+"):
            normalise_name(name)


def test_joiners_join_something():
    for name in ("\U0001f468\u200d", "\u200d\U0001f468", "\U0001f468\u200d\u200d\U0001f469",
                 "\U0001f468\u200d \U0001f469", "\u0645\u200c", "\u0645\u200c 1"):  # fmt: skip
        with pytest.raises(ValueError, match="printable"):
            normalise_name(name)


@given(st.text(max_size=20))
def test_a_name_is_in_its_one_form_or_refused(text: str):
    try:
        name = normalise_name(text)
    except ValueError as error:
        assert str(error).startswith("name: expected")
    else:
        assert normalise_name(name) == name
        assert name.strip() == name != ""
